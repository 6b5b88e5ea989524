"""From a folder to clips in memory, with real processes that are really killed."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets.build import build, default_data_dir, main
from datasets.builder import ClipConfig
from datasets.cache import prepare_corpus
from datasets.cached import read_cached
from datasets.facts import read_facts
from datasets.read import load_clips, read_metadata
from datasets.release import known_corpora
from datasets.smic.release import Smic
from datasets.smic.smic_dataset_builder import Builder
from datasets.surrogate.corpus import render_corpus
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.system.files import seal
from mer_jax.vision.options import VisionOptions

OPTIONS = VisionOptions(num_frames=4, register=False)
NUM_CLIPS = 6
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("a folder with spaces and ümläuts")
    render_corpus(out, num_subjects=2, num_clips=NUM_CLIPS, workers=1, log=lambda line: None)
    return out


@pytest.fixture(scope="session")
def ready(rendered, tmp_path_factory):
    """A data folder in which everything is built."""
    data_dir = tmp_path_factory.mktemp("ready")
    build("smic", rendered, options=OPTIONS, data_dir=data_dir, workers=1, say=lambda line: None)
    return data_dir


@pytest.fixture
def data_dir(ready, tmp_path):
    """A copy of it that may be damaged."""
    return shutil.copytree(ready, tmp_path / "data")


@pytest.fixture
def source(rendered, tmp_path):
    """A copy of the corpus that may be changed; times are kept, so it counts as the same."""
    return shutil.copytree(rendered, tmp_path / "corpus")


def build_again(source, data_dir, **changes):
    said = []
    settings = {"options": OPTIONS, "data_dir": data_dir, "workers": 1, "say": said.append} | changes
    return build("smic", source, **settings), "\n".join(said)


class TestWhatIsBuilt:
    @pytest.fixture
    def builder_dir(self, ready):
        return ready / "surrogate_smic" / ClipConfig.make("hs", OPTIONS).name / "2.1.0"

    def test_clips_are_the_prepared_ones_sorted(self, builder_dir, rendered, ready):
        clips = load_clips(builder_dir)
        corpus = Smic.read(rendered)
        assert clips.clip_id == tuple(sorted(record.clip_id for record in corpus.records))
        assert (clips.provenance, clips.corpus_name) == ("surrogate", "smic")
        assert clips.class_names == ("negative", "positive", "surprise")
        assert set(clips.corpus) == {"smic"}
        cached = prepare_corpus(corpus.records, OPTIONS, ready / "cache", workers=1)
        assert cached.num_reused == NUM_CLIPS
        for clip in cached.clips:
            position = clips.clip_id.index(clip.record.clip_id)
            np.testing.assert_array_equal(clips.pictures[position], read_cached(clip).faces)
            assert clips.class_names[clips.label[position]] == clip.record.labels["emotion"]
            assert clips.subject[position] == clip.record.subject

    def test_each_example_says_where_it_comes_from(self, builder_dir, rendered):
        records = {record.clip_id: record for record in Smic.read(rendered).records}
        source = tfds.builder_from_directory(builder_dir).as_data_source("clips")
        for index in range(NUM_CLIPS):
            example = source[index]
            record = records[example["clip_id"].decode()]
            native = len(record.frames)
            assert (example["onset"], example["apex"], example["offset"]) == (0, -1, native - 1)
            assert example["num_frames_native"] == native
            numbers = example["frame_numbers"]
            assert (len(numbers), numbers[0], numbers[-1]) == (4, record.frame_numbers[0], record.frame_numbers[-1])

    def test_the_metadata_tell_how_it_was_made(self, builder_dir, rendered):
        metadata = read_metadata(builder_dir)
        assert metadata["provenance"] == "surrogate"
        assert metadata["surrogate"]["seed"] == 0
        assert "clips" not in metadata["surrogate"]
        assert metadata["vision_options"]["num_frames"] == 4
        assert metadata["vision_fingerprint"] == OPTIONS.fingerprint()
        assert metadata["source_fingerprint"] == Smic.read(rendered).source_fingerprint()
        assert metadata["skipped"] == {}
        assert metadata["num_frames"].keys() == metadata["amplitude"].keys() == metadata["checksums"].keys()
        assert len(metadata["checksums"]) == len(metadata["quality"]) == NUM_CLIPS

    def test_no_half_file_is_left(self, ready):
        assert not [path for path in ready.rglob("*") if path.name.endswith(".tmp") or "incomplete" in path.name]

    def test_the_fingerprint_is_that_of_the_content(self, builder_dir, rendered, tmp_path):
        elsewhere, _ = build_again(rendered, tmp_path)
        assert load_clips(elsewhere).fingerprint == load_clips(builder_dir).fingerprint
        other, _ = build_again(rendered, tmp_path, options=VisionOptions(num_frames=4, mask="none"))
        assert load_clips(other).fingerprint != load_clips(builder_dir).fingerprint
        assert other.parent.parent == elsewhere.parent.parent  # side by side


class TestBuildingAgain:
    def test_the_same_source_is_not_built_twice(self, rendered, data_dir):
        before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*.array_record*")}
        _, said = build_again(rendered, data_dir)
        assert f"built before from the same files: {NUM_CLIPS} clips" in said
        assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*.array_record*")} == before

    def test_a_changed_source_is_noticed_and_built_anew(self, source, data_dir):
        _, said = build_again(source, data_dir)
        assert "built before" in said
        clip = next((source / "SMIC_all_raw" / "HS" / "s1" / "micro").glob("*/*"))
        shutil.rmtree(clip)
        builder_dir, said = build_again(source, data_dir)
        assert "has changed since" in said
        assert f"prepared 0 clips, {NUM_CLIPS - 1} were ready" in said
        assert clip.name not in load_clips(builder_dir).clip_id
        assert f"{clip.name}" not in read_metadata(builder_dir)["checksums"]

    def test_touched_files_are_built_anew_from_the_cache(self, source, data_dir):
        build_again(source, data_dir)
        os.utime(next(source.rglob("*.bmp")), (1, 1))
        _, said = build_again(source, data_dir)
        assert "has changed since" in said
        assert f"prepared 0 clips, {NUM_CLIPS} were ready" in said

    @pytest.mark.parametrize("damaged", ["*.array_record*", "metadata.json", "dataset_info.json", "features.json"])
    @pytest.mark.parametrize("how", ["lost", "truncated"])
    def test_a_damaged_dataset_is_built_anew(self, rendered, data_dir, damaged, how):
        (path,) = (data_dir / "surrogate_smic").glob(f"hs*/2.1.0/{damaged}")
        if how == "lost":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:100])
        builder_dir, said = build_again(rendered, data_dir)
        assert "not usable any more, so it is built again" in said
        assert len(load_clips(builder_dir)) == NUM_CLIPS

    def test_an_empty_version_folder_is_no_dataset(self, rendered, tmp_path, ready):
        (tmp_path / "surrogate_smic" / ClipConfig.make("hs", OPTIONS).name / "2.1.0").mkdir(parents=True)
        builder_dir, _ = build_again(rendered, tmp_path, cache_dir=ready / "cache")
        assert len(load_clips(builder_dir)) == NUM_CLIPS

    def test_what_a_killed_build_left_is_cleared_away(self, rendered, data_dir):
        (version,) = (data_dir / "surrogate_smic").glob("hs*/2.1.0")
        stale = version.rename(version.with_name("incomplete.ABCDEF_2.1.0"))
        _, said = build_again(rendered, data_dir)
        assert "built before" not in said
        assert not stale.exists()


def test_a_source_that_may_only_be_read_is_only_read(source, tmp_path):
    before = {path: path.lstat().st_mtime_ns for path in source.rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    build_again(source, tmp_path / "data")
    assert {path: path.lstat().st_mtime_ns for path in source.rglob("*")} == before


def test_a_clip_without_a_face_is_said_each_time(source, tmp_path):
    clip = next((source / "SMIC_all_raw" / "HS" / "s1" / "micro").glob("*/*"))
    _, black = cv2.imencode(".bmp", np.zeros((480, 640, 3), np.uint8))
    for frame in clip.iterdir():
        frame.write_bytes(black.tobytes())
    builder_dir, said = build_again(source, tmp_path / "data")
    assert re.search(rf"left out: {clip.name}: no face in .*{clip.name}", said)
    assert clip.name in read_metadata(builder_dir)["skipped"]
    assert len(load_clips(builder_dir)) == NUM_CLIPS - 1
    _, said = build_again(source, tmp_path / "data")
    assert "built before" in said
    assert f"left out: {clip.name}" in said


def test_a_clip_whose_preparation_fails_is_left_out_unless_it_is_kept(source, tmp_path):
    """Frames that are all the same picture are decoded and hold a face, and show no movement at all."""
    clip = next((source / "SMIC_all_raw" / "HS" / "s1" / "micro").glob("*/*"))
    first, *others = sorted(clip.iterdir())
    for frame in others:
        frame.write_bytes(first.read_bytes())
    builder_dir, said = build_again(source, tmp_path / "data")
    assert f"left out: {clip.name}: all prepared frames are the same picture" in said
    assert read_metadata(builder_dir)["skipped"][clip.name]["reason"] == "unfit after preparation"
    facts = read_facts(builder_dir)
    assert "all prepared frames are the same picture" in facts.left_out[clip.name]
    assert len(load_clips(builder_dir)) == NUM_CLIPS - 1
    builder_dir, said = build_again(source, tmp_path / "data", keep=True)
    assert "--keep has changed since" in said
    assert len(load_clips(builder_dir)) == NUM_CLIPS
    assert "all prepared frames are the same picture" in read_facts(builder_dir).doubtful[clip.name]


def test_no_usable_clip_is_an_error(source, tmp_path):
    for frame in source.rglob("*.bmp"):
        frame.write_bytes(b"no image")
    with pytest.raises(CorpusError, match=r"no clip of .* can be used"):
        build_again(source, tmp_path / "data", skip_unreadable=True)
    with pytest.raises(CorpusError, match=r"cannot be decoded .*\.bmp|\.bmp cannot be decoded"):
        build_again(source, tmp_path / "data")


class TestTheBuilderAlone:
    """TFDS users need none of our commands."""

    def test_it_prepares_by_itself(self, rendered, tmp_path, ready):
        surrogates = Builder.of_provenance("surrogate")
        builder = surrogates(config=ClipConfig.make("hs", OPTIONS), data_dir=tmp_path, cache_dir=ready / "cache")
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=rendered, try_download_gcs=False)
        )
        assert builder.info.splits["clips"].num_examples == NUM_CLIPS
        assert len(load_clips(builder.data_path)) == NUM_CLIPS

    def test_its_folder_describes_it(self):
        metadata = Builder.get_metadata()
        assert "164 clips" in metadata.description
        assert "10.1109/FG.2013.6553717" in metadata.citation
        assert set(metadata.tags) <= set(tfds.core.dataset_metadata.valid_tags())
        assert [config.name for config in Builder.BUILDER_CONFIGS] == list(Smic.parts)

    def test_options_name_the_config(self):
        names = {
            ClipConfig.make("hs", options).name
            for options in (VisionOptions(), VisionOptions(mask="none"), VisionOptions(num_frames=20))
        }
        assert len(names) == 3
        assert "hs" in names
        assert all(re.fullmatch(r"hs_t(18|20)_[0-9a-f]{12}", name) for name in names - {"hs"})


class TestWrongArguments:
    def test_unknown_names_are_answered_with_near_ones(self, rendered, tmp_path):
        with pytest.raises(ConfigError, match="no corpus is called 'smik'; did you mean 'smic'"):
            build("smik", rendered, data_dir=tmp_path)
        with pytest.raises(ConfigError, match="smic has no variant 'hdd'; known: '3class', 'hs'"):
            build_again(rendered, tmp_path, variant="hdd")
        with pytest.raises(ConfigError, match="workers is 0; expected 1 or more"):
            build_again(rendered, tmp_path, workers=0)
        with pytest.raises(ConfigError, match="num_frames is 1"):
            build_again(rendered, tmp_path, options=VisionOptions(num_frames=1))

    def test_a_data_dir_that_cannot_be_made(self, rendered, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(CorpusError, match=r"cannot write .*file.*--data_dir"):
            build_again(rendered, tmp_path / "file")


class TestReading:
    def test_nothing_is_built(self, tmp_path):
        with pytest.raises(CorpusError, match=r"nothing is built in .*nowhere. Build it first"):
            load_clips(tmp_path / "nowhere")
        with pytest.raises(CorpusError, match=r"metadata.json cannot be read"):
            load_clips(tmp_path)

    @pytest.mark.parametrize("lacking", ["labels", "checksums", "skipped", "source_fingerprint"])
    def test_what_an_older_version_built(self, data_dir, lacking):
        (path,) = (data_dir / "surrogate_smic").glob("hs*/2.1.0/metadata.json")
        metadata = json.loads(path.read_text())
        del metadata[lacking]
        path.write_text(json.dumps(metadata))
        with pytest.raises(CorpusError, match=rf"does not say {lacking}: another version .*build again"):
            load_clips(path.parent)

    def test_other_content_than_was_built(self, data_dir):
        (path,) = (data_dir / "surrogate_smic").glob("hs*/2.1.0/metadata.json")
        metadata = json.loads(path.read_text())
        first = min(metadata["checksums"])
        metadata["checksums"][first] = "0" * 32
        path.write_text(json.dumps(metadata))
        with pytest.raises(CorpusError, match=r"metadata\.json is damaged: its checksum differs"):
            load_clips(path.parent)
        path.write_text(json.dumps(seal(metadata)))
        with pytest.raises(CorpusError, match=f"clip '{first}' is not what was built: its checksum differs"):
            load_clips(path.parent)
        del metadata["checksums"][first]
        path.write_text(json.dumps(seal(metadata)))
        with pytest.raises(CorpusError, match=f"{NUM_CLIPS} clips are there, {NUM_CLIPS - 1} were built"):
            load_clips(path.parent)

    def test_no_flipped_bit_is_believed(self, data_dir, tmp_path):
        (folder,) = (data_dir / "surrogate_smic").glob("hs*/2.1.0")
        whole, rng, refused = load_clips(folder), random.Random(0), 0
        for path in sorted(folder.iterdir()) * 25:
            content = bytearray(path.read_bytes())
            bit = rng.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            damaged = shutil.copytree(folder, tmp_path / "damaged", dirs_exist_ok=True)
            (damaged / path.name).write_bytes(content)
            try:
                clips = load_clips(damaged)
            except CorpusError:
                refused += 1
                continue
            assert (clips.fingerprint, clips.subject, clips.clip_id) == (
                whole.fingerprint,
                whole.subject,
                whole.clip_id,
            )
            np.testing.assert_array_equal(clips.pictures, whole.pictures)
            np.testing.assert_array_equal(clips.label, whole.label)
        assert refused > 50

    def test_damaged_records(self, data_dir):
        (path,) = (data_dir / "surrogate_smic").glob("hs*/2.1.0/*.array_record*")
        content = bytearray(path.read_bytes())
        content[len(content) // 3 : len(content) // 3 + 4000] = bytes(4000)
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=r"cannot be read: .*Delete that folder and build again"):
            load_clips(path.parent)


# ---- the command, as a process of its own


def start(source, data_dir, *more):
    command = [sys.executable, "-m", "datasets.build", "smic", "--manual_dir", source, "--data_dir", data_dir]
    return subprocess.Popen(
        [*command, "--num_frames", "4", "--no-register", *more],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def wait_for_clips(data_dir, count):
    deadline = time.monotonic() + 60
    while len(list((data_dir / "cache").rglob("*.npz"))) < count:
        assert time.monotonic() < deadline, "no clip was prepared within a minute"
        time.sleep(0.01)


def processes_of(session):
    listed = subprocess.run(["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [state for state in listed.stdout.split() if not state.startswith("Z")]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_ended_continues(rendered, tmp_path, end):
    process = start(rendered, tmp_path, "--workers", "2")
    wait_for_clips(tmp_path, 1)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does it
    else:
        process.send_signal(end)
    code, _, stderr = finish(process)
    if end == signal.SIGINT:
        assert code == 130
        assert "Traceback" not in stderr
        assert "the same command continues" in stderr
    else:
        assert code == -end
    deadline = time.monotonic() + 20
    while processes_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(process.pid) == []

    builder_dir, said = build_again(rendered, tmp_path)
    assert int(re.search(r"(\d+) were ready", said).group(1)) >= 1
    assert len(load_clips(builder_dir)) == NUM_CLIPS
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("incomplete")]


def test_two_builds_at_once_make_one_dataset(rendered, tmp_path):
    first, second = (start(rendered, tmp_path, "--workers", "1") for _ in range(2))
    results = [finish(first), finish(second)]
    assert [code for code, _, _ in results] == [0, 0], results
    told = "".join(stdout for _, stdout, _ in results)
    assert told.count(f"built {NUM_CLIPS} clips in ") == 1
    assert told.count("built before from the same files") == 1
    (builder_dir,) = (tmp_path / "surrogate_smic").glob("hs*/2.1.0")
    assert len(load_clips(builder_dir)) == NUM_CLIPS


def test_a_full_disk_while_the_dataset_is_written(rendered, tmp_path, ready):
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    call = f"build('smic', {str(rendered)!r}, options=VisionOptions(num_frames=4, register=False), workers=1,"
    places = f"data_dir={str(tmp_path / 'data')!r}, cache_dir={str(ready / 'cache')!r})"
    imports = "from datasets.build import build; from mer_jax.vision.options import VisionOptions;"
    done = subprocess.run(
        [sys.executable, "-c", f"{limit}{imports}{call}{places}"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.search(r"CorpusError: cannot write .*Make room there", done.stderr), done.stderr
    assert not [path for path in (tmp_path / "data").rglob("*") if path.name.startswith(("incomplete", "2.1.0"))]


class TestCommand:
    def run(self, *arguments):
        return main([str(each) for each in arguments])

    def test_it_builds_and_needs_no_tensorflow(self, rendered, tmp_path):
        code = (
            "import sys; from datasets.build import main; "
            f"code = main(['smic', '--manual_dir', {str(rendered)!r}, '--data_dir', {str(tmp_path)!r}, "
            "'--num_frames', '4', '--no-register', '--workers', '1']); "
            "sys.exit(code or bool({'tensorflow', 'apache_beam'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if not line.startswith("preparing:")] == []
        assert done.stdout.startswith("SMIC (hs, raw, 3class), surrogate: 6 of 6 clips, 2 of 2 subjects")
        assert f"built {NUM_CLIPS} clips in {tmp_path}" in done.stdout
        assert "rendered faces, not recordings" in done.stdout

    def test_folders_may_come_from_the_environment(self, rendered, data_dir, monkeypatch, capsys):
        monkeypatch.setenv("MER_MANUAL_DIR", str(rendered))
        monkeypatch.setenv("MER_DATA_DIR", str(data_dir))
        assert self.run("smic", "--num_frames", 4, "--no-register", "--config", "hs") == 0
        assert "built before" in capsys.readouterr().out

    def test_errors_are_one_message(self, tmp_path, capsys, monkeypatch):
        assert self.run("smic", "--manual_dir", tmp_path) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: no SMIC (hs) in ")
        assert error.count("\n") == 1
        monkeypatch.delenv("MER_MANUAL_DIR", raising=False)
        assert self.run("smic") == 1
        assert "expected --manual_dir or MER_MANUAL_DIR" in capsys.readouterr().err
        assert main(["smic", "--manual_dir", str(tmp_path), "--beam_options", "'"]) == 1
        assert "No closing quotation; expected flags as a shell reads them" in capsys.readouterr().err
        assert self.run("casme", "--manual_dir", tmp_path) == 1
        assert "no corpus is called 'casme'" in capsys.readouterr().err


def test_corpora_are_found_by_their_folders(monkeypatch):
    assert "smic" in known_corpora()
    assert "surrogate" not in known_corpora()
    monkeypatch.delenv("MER_DATA_DIR", raising=False)
    assert default_data_dir() == Path("data")
