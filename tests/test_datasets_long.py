"""Readers of long videos: whole, faulty and foreign copies, the TFDS config, and the CSV of the truth."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets.build import build
from datasets.build import main as build_main
from datasets.check import main as check_main
from datasets.long_tfds import load_long
from datasets.long_videos import find_long_release, long_corpora, read_long
from datasets.read import load_clips
from datasets.surrogate.avi import AviWriter
from datasets.surrogate.corpus import CORPORA
from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from datasets.truth import main as truth_main
from datasets.truth import read_disturbances
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.spotting.interval import BLINK, EXPRESSIONS, GAZE, MACRO, SPEECH, TURN

CASME, SAMM = "casme_squared", "samm"


def silent(_: str) -> None:
    pass


def write_long(root: Path, corpus: str, *, is_licensed: bool = False, **options) -> CorpusPlan:
    """Writes a surrogate with frames of one gray: what readers see of it are names, numbers and tables."""
    release = CORPORA[f"{corpus}_long"]
    full = {"num_subjects": 2, "num_clips": 4, "duration_s": 20.0 if corpus == CASME else 10.0}
    plan = release.plan(CorpusOptions(**{**full, **options}))
    picture = cv2.imencode(".jpg", np.full((4, 4), 90, np.uint8))[1].tobytes()
    top = root / plan.root_name
    for subject in plan.subjects:
        for clip in subject.clips:
            for folder, name in clip.files():
                (top / folder).mkdir(parents=True, exist_ok=True)
                if not clip.video:
                    (top / folder / name).write_bytes(picture)
            if clip.video:
                with AviWriter(top / clip.video, (16, 16), plan.geometry.fps, 80) as video:
                    for _ in range(clip.spec.num_frames):
                        video.write(np.full((16, 16, 3), 90, np.uint8))
    for path, content in plan.documents.items():
        (top / path).write_bytes(content)
    if not is_licensed:
        (top / "SURROGATE.json").write_text(json.dumps(plan.marker()))
    return plan


def truth_of(plan: CorpusPlan) -> dict[str, list[tuple]]:
    return {
        name: [(each["type"], each["onset"], each["apex"], each["offset"]) for each in clip["expressions"]]
        for name, clip in plan.marker()["clips"].items()
    }


def intervals_of(videos) -> dict[str, list[tuple]]:
    return {
        video.name: [(each.kind, each.onset_frame, each.apex_frame, each.offset_frame) for each in video.intervals]
        for video in videos
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, tuple[Path, CorpusPlan]]:
    """A clean copy of each corpus."""
    found = {}
    for corpus in (CASME, SAMM):
        root = tmp_path_factory.mktemp(corpus)
        found[corpus] = (root, write_long(root, corpus))
    return found


@pytest.mark.parametrize("corpus", [CASME, SAMM])
class TestRead:
    def test_intervals_are_those_that_were_rendered(self, written, corpus):
        root, plan = written[corpus]
        videos = read_long(corpus, root)
        assert intervals_of(videos) == truth_of(plan)
        assert sum(not video.intervals for video in videos) == 1
        assert {kind for video in videos for kind, *_ in intervals_of([video])[video.name]} == set(EXPRESSIONS)
        for video in videos:
            assert video.path.exists()
            assert video.duration_s == pytest.approx(20 if corpus == CASME else 10)
            assert len(video.emotions) == len(video.intervals)

    def test_emotions_are_those_that_the_release_states(self, written, corpus):
        root, plan = written[corpus]
        told = {
            (name, each["onset"]): each["label"]
            for name, clip in plan.marker()["clips"].items()
            for each in clip["expressions"]
        }
        for video in read_long(corpus, root):
            for each in video.expressions:
                label = told[video.name, each.interval.onset_frame]
                if corpus == SAMM and each.interval.kind == MACRO:
                    assert (each.emotion, each.coarse_emotion) == ("", "")
                else:
                    assert each.emotion == label.replace("others", "other" if corpus == SAMM else "others")
                    assert each.coarse_emotion in ("negative", "positive", "surprise", "others")
                assert each.action_units

    def test_nothing_is_found_to_be_wrong(self, written, corpus):
        found = find_long_release(corpus).read_long(written[corpus][0])
        assert (found.findings, found.provenance) == ({}, "surrogate")
        lines = list(found.lines())
        assert lines[0].startswith("SURROGATE ")
        assert lines[2].endswith("videos without any: 1")

    def test_a_licensed_copy_is_compared_with_what_was_published(self, tmp_path, corpus):
        write_long(tmp_path, corpus, is_licensed=True)
        found = find_long_release(corpus).read_long(tmp_path)
        assert found.provenance == "licensed"
        assert any(told.startswith("4 videos; published are") for told in found.findings["counts"])

    def test_with_null_there_is_nothing_to_find(self, tmp_path, corpus):
        write_long(tmp_path, corpus, difficulty="null")
        assert [video.intervals for video in read_long(corpus, tmp_path)] == [()] * 4

    def test_what_is_not_there_is_said(self, tmp_path, corpus):
        with pytest.raises(CorpusError, match=rf"no long videos of .* in .*datasets/{corpus}/README.md"):
            read_long(corpus, tmp_path)
        plan = write_long(tmp_path, corpus)
        for table in (tmp_path / plan.root_name).glob("*.xlsx"):
            table.unlink()
        with pytest.raises(CorpusError, match=r"its annotation is not there"):
            read_long(corpus, tmp_path)

    def test_a_missing_video_costs_its_rows_only_and_is_said(self, tmp_path, corpus):
        plan = write_long(tmp_path, corpus)
        gone = next(clip for subject in plan.subjects for clip in subject.clips if clip.truth["expressions"])
        path = tmp_path / plan.root_name / gone.truth["path"]
        path.unlink() if path.is_file() else shutil.rmtree(path)
        found = find_long_release(corpus).read_long(tmp_path)
        assert len(found.videos) == 3
        assert len(found.findings["rows_without_folder"]) == len(gone.truth["expressions"])


class TestFaults:
    def test_casme_squared(self, tmp_path):
        plan = write_long(tmp_path, CASME, quirks=True)
        found = find_long_release(CASME).read_long(tmp_path)
        told, rendered = intervals_of(found.videos), truth_of(plan)
        assert {name: len(each) for name, each in told.items()} == {name: len(each) for name, each in rendered.items()}
        differing = [
            (one, other) for name in told for one, other in zip(told[name], rendered[name], strict=True) if one != other
        ]
        ended_at_apex, clamped, middle = differing
        assert ended_at_apex[0] == (*ended_at_apex[1][:3], ended_at_apex[1][2])
        assert clamped[0][2] == clamped[1][3]
        assert middle[0][2] == pytest.approx((middle[1][1] + middle[1][3]) / 2, abs=1)
        assert len(found.findings["apex_out_of_range"]) == 1
        assert len(found.findings["repairs"]) == 2

    def test_samm_onset_and_offset_of_0(self, tmp_path):
        plan = write_long(tmp_path, SAMM, quirks=True)
        found = find_long_release(SAMM).read_long(tmp_path)
        name, rendered = next((name, each) for name, each in truth_of(plan).items() if each)
        first, second = intervals_of(found.videos)[name][:2]
        assert (first[1], *first[2:]) == (0, *rendered[0][2:])
        assert second == (*rendered[1][:3], rendered[1][2])
        assert "onset 0 lies before the video" in found.findings["repairs"][0]

    def test_a_video_that_ends_too_early(self, tmp_path):
        plan = write_long(tmp_path, SAMM)
        clip = next(clip for subject in plan.subjects for clip in subject.clips if clip.truth["expressions"])
        folder = tmp_path / plan.root_name / clip.truth["path"]
        last = clip.truth["expressions"][-1]
        for path in sorted(folder.iterdir())[last["onset"] + 10 :]:
            path.unlink()
        found = find_long_release(SAMM).read_long(tmp_path)
        assert any("lies behind the video; its last frame is used" in each for each in found.findings["repairs"])
        assert intervals_of(found.videos)[clip.clip_id][-1][3] == last["onset"] + 9

    def test_missing_frames_shift_positions_and_are_said(self, tmp_path):
        plan = write_long(tmp_path, SAMM)
        clip = next(clip for subject in plan.subjects for clip in subject.clips if clip.truth["expressions"])
        sorted((tmp_path / plan.root_name / clip.truth["path"]).iterdir())[5].unlink()
        found = find_long_release(SAMM).read_long(tmp_path)
        assert "lacks 1 of its frames" in found.findings["frames_missing"][0]
        assert [each[1] for each in intervals_of(found.videos)[clip.clip_id]] == [
            each["onset"] - 1 for each in clip.truth["expressions"]
        ]

    def test_a_damaged_video_is_left_out_and_named(self, tmp_path):
        plan = write_long(tmp_path, CASME)
        clip = plan.subjects[0].clips[0]
        (tmp_path / plan.root_name / clip.video).write_bytes(b"RIFF")
        found = find_long_release(CASME).read_long(tmp_path)
        assert len(found.videos) == 3
        assert Path(clip.video).name in found.findings["unusable"][0]

    def test_folders_of_frames_are_preferred_and_other_peoples_names_are_said(self, tmp_path):
        plan = write_long(tmp_path, CASME)
        top = tmp_path / plan.root_name
        truth = truth_of(plan)
        for clip in (clip for subject in plan.subjects for clip in subject.clips):
            folder = top / "rawpic" / "rawpic" / clip.clip_id.removesuffix(".avi")
            folder.mkdir(parents=True)
            for number in range(1, clip.spec.num_frames + 1):
                (folder / f"img{number:03d}.jpg").write_bytes(b"x")
        (top / "rawpic/rawpic/s15/23_0101disgustingteeth").mkdir()
        found = find_long_release(CASME).read_long(tmp_path)
        assert found.root.name == "rawpic"
        assert intervals_of(found.videos) == {name.removesuffix(".avi"): each for name, each in truth.items()}
        assert "rawvideo holds long videos too" in found.findings["not_read"][0]
        assert any("named after another subject" in each for each in found.findings["other"])


class TestTfds:
    def test_the_command_builds_what_tfds_reads(self, written, tmp_path, capsys):
        root, _ = written[CASME]
        arguments = [CASME, "--manual_dir", str(root), "--variant", "long", "--data_dir", str(tmp_path)]
        assert build_main(arguments) == 0
        assert "built 4 long videos" in capsys.readouterr().out
        assert build_main(arguments) == 0
        assert "built before from the same files" in capsys.readouterr().out
        source = tfds.builder("surrogate_casme_squared/long", data_dir=tmp_path).as_data_source("videos")
        assert {example["provenance"] for example in source} == {b"surrogate"}
        videos = load_long(tmp_path / "surrogate_casme_squared/long/2.1.0")
        assert videos == read_long(CASME, root)

    def test_the_check_knows_them(self, written, tmp_path, capsys):
        arguments = [CASME, "--manual_dir", str(written[CASME][0]), "--variant", "long"]
        assert check_main(arguments) == 0
        assert capsys.readouterr().out.startswith("SURROGATE CAS(ME)^2, long videos, surrogate: 4 videos of 2 people")
        assert check_main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["num_frames"] == 4 * 600
        assert check_main([CASME, "--manual_dir", str(tmp_path), "--variant", "long"]) == 1

    def test_samm_and_the_licensed_name(self, tmp_path):
        write_long(tmp_path / "release", SAMM, is_licensed=True, num_clips=2)
        folder = build(SAMM, tmp_path / "release", variant="long", data_dir=tmp_path / "data", say=silent)
        assert folder == tmp_path / "data/samm/long/2.1.0"
        assert load_long(folder) == read_long(SAMM, tmp_path / "release")
        moved = tmp_path / "moved"
        assert load_long(folder, root=moved)[0].path == moved / "006_1"

    def test_a_changed_copy_is_built_again(self, tmp_path):
        plan = write_long(tmp_path / "release", CASME)
        folder = build(CASME, tmp_path / "release", variant="long", data_dir=tmp_path / "data", say=silent)
        (tmp_path / "release" / plan.root_name / plan.subjects[0].clips[0].video).unlink()
        told = []
        build(CASME, tmp_path / "release", variant="long", data_dir=tmp_path / "data", say=told.append)
        assert any("has changed since" in line for line in told)
        assert len(load_long(folder)) == 3

    def test_damage_and_mix_ups_are_said(self, written, tmp_path):
        folder = build(CASME, written[CASME][0], variant="long", data_dir=tmp_path, say=silent)
        with pytest.raises(CorpusError, match=r"holds long videos, not clips"):
            load_clips(folder)
        path = folder / "metadata.json"
        path.write_text(path.read_text().replace("surrogate", "licensed"))
        with pytest.raises(CorpusError, match=r"its checksum differs"):
            load_long(folder)
        with pytest.raises(CorpusError, match=r"nothing is built in"):
            load_long(tmp_path / "elsewhere")

    def test_corpora_without_long_videos_are_refused(self, tmp_path):
        assert long_corpora() == [CASME, SAMM]
        with pytest.raises(ConfigError, match=r"no long videos of corpus 'smic' are known"):
            build("smic", tmp_path, variant="long", data_dir=tmp_path, say=silent)


class TestTruth:
    @pytest.mark.parametrize("corpus", [CASME, SAMM])
    def test_the_files_say_what_was_rendered(self, written, tmp_path, corpus, capsys):
        root, plan = written[corpus]
        assert (
            truth_main([corpus, "--manual_dir", str(root), "--out", str(tmp_path / "new"), "--labels", "coarse"]) == 0
        )
        assert "SURROGATE" in capsys.readouterr().out
        rows = {
            name: list(csv.DictReader((tmp_path / "new" / f"{name}.csv").read_text().splitlines()))
            for name in ("truth", "videos", "disturbances")
        }
        assert list(rows["truth"][0]) == [
            "file", "subject", "frame_rate", "num_frames", "onset_frame", "apex_frame", "offset_frame", "type", "label",
            "provenance",
        ]  # fmt: skip
        told = [
            (row["file"], row["type"], int(row["onset_frame"]), int(row["apex_frame"]), int(row["offset_frame"]))
            for row in rows["truth"]
        ]
        assert told == [(name, *each) for name, expressions in truth_of(plan).items() for each in expressions]
        assert {row["label"] for row in rows["truth"]} <= {"negative", "positive", "surprise", "others", ""}
        assert {row["file"] for row in rows["videos"]} == set(truth_of(plan))
        assert {row["type"] for row in rows["disturbances"]} <= {BLINK, GAZE, SPEECH, TURN}
        assert {row["provenance"] for each in rows.values() for row in each} == {"SURROGATE"}

    def test_disturbances_of_recordings_are_not_known(self, written, tmp_path):
        corpus = find_long_release(CASME).read_long(written[CASME][0])
        found = read_disturbances(corpus)
        assert set(found) == {video.name for video in corpus.videos}
        assert all(
            each.onset_frame <= (each.apex_frame or 0) <= each.offset_frame for own in found.values() for each, _ in own
        )
        write_long(tmp_path, CASME, is_licensed=True)
        with pytest.raises(CorpusError, match=r"only a surrogate knows"):
            read_disturbances(find_long_release(CASME).read_long(tmp_path))

    def test_a_mistake_is_one_line(self, tmp_path, capsys):
        assert truth_main([CASME, "--manual_dir", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()
