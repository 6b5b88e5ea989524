"""The surrogate corpus on the disk: layout, counts, determinism, interruption, wrong input."""

import collections
import fcntl
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.surrogate.corpus import render_corpus
from datasets.surrogate.plan import RENDERER_VERSION, CorpusOptions, apportion
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS
from datasets.surrogate.smic import plan_smic
from mer_jax.errors import ConfigError, CorpusError

REPOSITORY = Path(__file__).parents[1]
SMALL = {"num_subjects": 3, "num_clips": 6, "seed": 7}
# Of SMIC as first rendered: the plan of the whole corpus, and the small one's first frames.
MARKER, FILES = "9eba4c5618438908", "eea9e7fec4fbe216"
MEANS = [174.672, 127.436, 150.514, 165.436, 157.592, 164.56]
SMALL_COMMAND = ["--subjects", "3", "--clips", "6", "--seed", "7"]
CLIP = re.compile(r"HS/(s\d+)/micro/(positive|negative|surprise)/(s\d+)_(po|ne|sur)_(\d\d)/image(\d{6,8})\.bmp")


def silent(_: str) -> None:
    pass


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def start(out: Path, *extra: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "datasets.surrogate", "--out", str(out), *SMALL_COMMAND, *extra]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return render_corpus(tmp_path_factory.mktemp("corpus"), **SMALL, workers=1, log=silent)


def test_plan_has_the_counts_of_the_release():
    plan = plan_smic(CorpusOptions())
    clips = [clip for subject in plan.subjects for clip in subject.clips]
    assert collections.Counter(clip.spec.class_name for clip in clips) == {
        "positive": 51,
        "negative": 70,
        "surprise": 43,
    }
    counts = {subject.name: len(subject.clips) for subject in plan.subjects}
    assert counts == {
        "s1": 6, "s2": 6, "s3": 39, "s4": 19, "s5": 2, "s6": 4, "s8": 13, "s9": 4, "s11": 7, "s12": 9, "s13": 10,
        "s14": 10, "s15": 4, "s18": 7, "s19": 2, "s20": 22,
    }  # fmt: skip
    lengths = np.array([clip.spec.num_frames for clip in clips])
    assert lengths.min() >= 11
    assert lengths.max() <= 58
    assert 30 < lengths.mean() < 37  # the release: 33.7


def test_smic_stays_what_it_was(corpus):
    """Published numbers rest on these corpora: a change of plan or pixels needs another RENDERER_VERSION."""
    assert RENDERER_VERSION == 1
    plan = plan_smic(CorpusOptions())
    assert hashlib.sha256(json.dumps(plan.marker()).encode()).hexdigest()[:16] == MARKER
    paths = "\n".join("/".join(place) for place in plan.files())
    assert hashlib.sha256(paths.encode()).hexdigest()[:16] == FILES
    frames = [cv2.imread(str(min(folder.iterdir()))) for folder in sorted(corpus.glob("HS/*/micro/*/*"))]
    assert [frame.mean() for frame in frames] == pytest.approx(MEANS, abs=0.02)  # decoders differ a little


def test_truth_of_a_clip_is_consistent():
    plan = plan_smic(CorpusOptions(difficulty="real"))
    clips = [clip for subject in plan.subjects for clip in subject.clips]
    for clip in clips:
        spec = clip.spec
        assert 0 < spec.apex < spec.num_frames - 1
        assert set(spec.peaks) == set(spec.action_units)
        assert spec.action_units in [units for units, _ in UNIT_SETS[spec.shown_class]]
        assert all(len(path) == spec.num_frames for path in spec.activations.values())
    mislabelled = np.mean([clip.spec.class_name != clip.spec.shown_class for clip in clips])
    assert 0.02 < mislabelled < 0.16  # 8 % asked for
    median = np.median([max(clip.spec.peaks.values()) for clip in clips])
    assert 1.2 < median < 2.0  # % IOD


@pytest.mark.parametrize(("subjects", "clips"), [(1, 3), (3, 6), (16, 40), (20, 300)])
def test_other_sizes_keep_every_class_and_subject(subjects, clips):
    plan = plan_smic(CorpusOptions(num_subjects=subjects, num_clips=clips))
    assert len({subject.name for subject in plan.subjects}) == subjects
    assert sum(len(subject.clips) for subject in plan.subjects) == clips
    assert all(subject.clips for subject in plan.subjects)
    assert {clip.spec.class_name for subject in plan.subjects for clip in subject.clips} == set(UNIT_SETS)


def test_apportion_shares_all_and_leaves_nobody_out():
    assert apportion(164, (51, 70, 43)) == [51, 70, 43]
    assert apportion(12, (51, 70, 43)) == [4, 5, 3]
    assert apportion(3, (51, 70, 43)) == [1, 1, 1]
    assert apportion(5, (1, 1, 1000)) == [1, 1, 3]


def test_layout_is_that_of_the_release(corpus):
    assert corpus.name == "SMIC_all_raw"
    frames = [path.relative_to(corpus).as_posix() for path in corpus.rglob("*.bmp")]
    matches = [CLIP.fullmatch(frame) for frame in frames]
    assert all(matches), frames[:3]
    numbers = collections.defaultdict(set)  # of the clips of a subject and class
    counters = collections.defaultdict(list)  # of the frames of a clip
    for match in matches:
        subject, class_name, again, token, number, counter = match.groups()
        assert subject == again
        assert {"po": "positive", "ne": "negative", "sur": "surprise"}[token] == class_name
        numbers[subject, class_name].add(int(number))
        counters[subject, class_name, number].append(int(counter))
    assert len(counters) == 6
    assert {subject for subject, _, _ in counters} == {"s1", "s2", "s3"}
    assert all(each == set(range(1, len(each) + 1)) for each in numbers.values())
    assert all(sorted(each) == list(range(min(each), max(each) + 1)) for each in counters.values())
    assert not [path for path in corpus.parent.iterdir() if path != corpus], "something temporary was left behind"
    assert {path.name for path in corpus.iterdir()} == {"HS", "SURROGATE.json", "SURROGATE.txt"}


def test_frames_are_pictures_of_the_right_size(corpus):
    frame = cv2.imread(str(next(corpus.rglob("*.bmp"))))
    assert frame.shape == (480, 640, 3)
    assert frame.std() > 20


def test_marker_tells_the_truth_of_every_clip(corpus):
    marker = json.loads((corpus / "SURROGATE.json").read_text())
    assert marker["surrogate"] is True
    assert (marker["corpus"], marker["seed"], marker["difficulty"]) == ("smic", 7, "medium")
    assert isinstance(marker["renderer_version"], int)
    assert len(marker["clips"]) == 6
    for clip_id, clip in marker["clips"].items():
        folder = corpus / clip["folder"]
        assert folder.name == clip_id
        assert folder.parent.name == clip["class"]
        assert clip["onset"] == 0 < clip["apex"] < clip["offset"] == len(list(folder.iterdir())) - 1
        assert set(clip["peak_percent_iod"]) == set(clip["action_units"])
    assert "rendered faces, not SMIC" in (corpus / "SURROGATE.txt").read_text()


def test_bytes_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    assert digests(render_corpus(tmp_path, **SMALL, workers=2, log=silent)) == digests(corpus)


def test_another_seed_gives_other_subjects():
    one, other = (plan_smic(CorpusOptions(num_subjects=1, num_clips=3, seed=seed)) for seed in (0, 1))
    assert not np.allclose(one.subjects[0].subject.vertices, other.subjects[0].subject.vertices)


def test_exact_frames_are_bmp(tmp_path):
    root = render_corpus(tmp_path, num_subjects=1, num_clips=3, seed=2, workers=1, exact=True, log=silent)
    frames = list(root.rglob("*.bmp"))
    assert all(path.stat().st_size == 640 * 480 * 3 + 54 for path in frames)
    assert frames[0].read_bytes()[:2] == b"BM"
    for path in frames:
        path.unlink()  # 90 MB that pytest would keep


def wait_for_a_finished_subject(process: subprocess.Popen, out: Path) -> list[Path]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if finished := sorted(out.glob(".SMIC_all_raw.rendering/HS/*/micro/*/*/*.bmp")):
            return finished
        time.sleep(0.02)
    raise AssertionError(f"no subject was finished: {process.communicate()}")


@pytest.mark.parametrize(("kill", "workers"), [(signal.SIGKILL, 2), (signal.SIGINT, 2), (signal.SIGINT, 1)])
def test_interrupted_run_is_continued(corpus, tmp_path, kill, workers):
    process = start(tmp_path, "--workers", str(workers))
    finished = wait_for_a_finished_subject(process, tmp_path)
    before = {path.relative_to(tmp_path / ".SMIC_all_raw.rendering"): path.stat().st_mtime_ns for path in finished}
    if kill is signal.SIGINT:
        os.killpg(process.pid, kill)  # what a terminal does on Ctrl-C
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    if kill is signal.SIGINT:
        assert process.returncode == 130, errors
        assert errors.strip() == "interrupted; the same command continues where this one stopped"
    assert not (tmp_path / "SMIC_all_raw").exists()

    lines = []
    root = render_corpus(tmp_path, **SMALL, workers=1, log=lines.append)
    assert any("continuing after" in line for line in lines)
    assert digests(root) == digests(corpus)
    assert {path: (root / path).stat().st_mtime_ns for path in before} == before, (
        "a finished subject was rendered again"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["SMIC_all_raw"]


# The child changes a limit of its own and executes at once: JAX, which other tests have loaded, is not used in it.
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_disk_that_takes_no_more_is_one_sentence_and_resumable(corpus, tmp_path):
    def limit():  # a file may grow to 20 kB, which stops at the first frame
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    _, errors = (process := start(tmp_path, "--workers", "2", preexec_fn=limit)).communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith(f"error: cannot write the surrogate corpus: {tmp_path}: File too large. Make room or")
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("*.bmp")), "partial work still takes room"
    assert digests(render_corpus(tmp_path, **SMALL, workers=1, log=silent)) == digests(corpus)


def test_a_script_without_a_main_guard_may_render(corpus, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from datasets.surrogate.corpus import render_corpus\n"
        f"print(render_corpus({str(tmp_path / 'out')!r}, **{SMALL!r}, workers=2, log=lambda line: None))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'SMIC_all_raw'}\n"
    assert digests(tmp_path / "out" / "SMIC_all_raw") == digests(corpus)


def test_finished_corpus_is_reused(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    lines = []
    assert render_corpus(corpus.parent, **SMALL, log=lines.append) == corpus
    assert lines == [f"surrogate SMIC: already rendered in {corpus}"]
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 8}, r"other options \(seed 7 instead of 8\)"),
        ({"difficulty": "easy"}, r"other options \(difficulty 'medium' instead of 'easy'\)"),
        ({"num_clips": 7}, r"other options \(num_clips 6 instead of 7\)"),
    ],
)
def test_finished_corpus_of_other_options_is_refused(corpus, changed, told):
    with pytest.raises(CorpusError, match=told):
        render_corpus(corpus.parent, **{**SMALL, **changed}, log=silent)


def test_unfinished_corpus_of_other_options_is_discarded(corpus, tmp_path):
    partial = tmp_path / ".SMIC_all_raw.rendering"
    (partial / "HS/s1").mkdir(parents=True)
    (partial / "SURROGATE.json").write_text('{"surrogate": true, "seed": 99}')
    lines = []
    root = render_corpus(tmp_path, **SMALL, workers=1, log=lines.append)
    assert "discarding an unfinished corpus of other options" in lines[0]
    assert digests(root) == digests(corpus)


def test_foreign_folder_is_left_alone(tmp_path):
    foreign = tmp_path / "SMIC_all_raw/HS/s1/micro/positive/s1_po_01/image000001.bmp"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"licensed")
    with pytest.raises(CorpusError, match=r"exists and is no surrogate corpus .* Nothing was touched"):
        render_corpus(tmp_path, **SMALL, log=silent)
    assert foreign.read_bytes() == b"licensed"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_corpus_is_noticed(tmp_path, damage):
    options = {"num_subjects": 1, "num_clips": 3, "seed": 4}
    root = render_corpus(tmp_path, **options, workers=1, log=silent)
    damage(next(root.rglob("*.bmp")))
    with pytest.raises(CorpusError, match=r"holds \d+ frames that are not empty; expected the \d+ from image\d+\.bmp"):
        render_corpus(tmp_path, **options, log=silent)


def test_a_second_renderer_waits(corpus, tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    lines = []

    def log(line):
        lines.append(line)
        if "another process is rendering" in line:
            fcntl.flock(handle, fcntl.LOCK_UN)

    try:
        assert digests(render_corpus(tmp_path, **SMALL, workers=1, log=log)) == digests(corpus)
    finally:
        os.close(handle)
    assert lines[0] == f"another process is rendering into {tmp_path}; waiting for it"


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(CorpusError, match=r"cannot write the surrogate corpus: .*out: File exists"):
        render_corpus(tmp_path / "out", **SMALL, log=silent)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"difficulty": "esay"}, "unknown difficulty 'esay'; did you mean 'easy'"),
        ({"corpus": "smik"}, "no surrogate of corpus 'smik'; did you mean 'smic'"),
        ({"num_clips": 10}, "clips is 10, but each of 16 subjects and of 3 classes needs at least one: give 16"),
        ({"num_subjects": 1, "num_clips": 2}, "clips is 2, .* give 3 or more"),
        ({"num_subjects": 0}, "subjects is 0; expected 1 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"workers": 0}, "workers is 0; expected 1 or more"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        render_corpus(tmp_path / "new", **options, log=silent)
    assert not (tmp_path / "new").exists()


def test_command_prints_errors_without_a_traceback(tmp_path):
    _, errors = (process := start(tmp_path, "--difficulty", "esay")).communicate(timeout=60)
    assert (process.returncode, errors) == (1, "error: unknown difficulty 'esay'; did you mean 'easy'?\n")


def test_presets_get_harder_in_their_order():
    amplitudes = [preset.amplitude for preset in DIFFICULTIES.values()]
    assert amplitudes == sorted(amplitudes, reverse=True)
    assert list(DIFFICULTIES) == ["easy", "medium", "real", "hard", "null"]
    assert DIFFICULTIES["null"].amplitude == 0 < DIFFICULTIES["null"].distractor_amplitude
