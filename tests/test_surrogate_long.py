"""Surrogate long videos: what happens when, and that it is this that the frames show."""

import hashlib
import io
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from datasets.surrogate.action_units import LEFT, RIGHT
from datasets.surrogate.avi import AviWriter
from datasets.surrogate.casme_squared import FEELING_COUNTS
from datasets.surrogate.corpus import CORPORA, render_corpus
from datasets.surrogate.emotions import EMOTION_SETS
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.long_scenario import LongScenario, sample_long_scenario
from datasets.surrogate.long_timeline import GAP_S, Rates, sample_timeline
from datasets.surrogate.plan import CorpusOptions, CorpusPlan
from datasets.surrogate.scenario import DIFFICULTIES, Difficulty
from mer_jax.errors import ConfigError
from mer_jax.spotting.interval import BLINK, EXPRESSIONS, GAZE, MACRO, MICRO, MICRO_LONGEST_S, SPEECH, TURN
from mer_jax.vision.video import VideoFrames
from tests.documents import ROOT

LONG = ("casme_squared_long", "samm_long")
TINY = {"num_subjects": 2, "num_clips": 2, "scale": 0.2, "duration_s": 10.0, "workers": 1}
# Nothing moves but what happens.
STILL = Difficulty(2.0, 0.35, 0.0, 0.0, 0.0, 0.8, 0.0, 0.0, 0.15, 0.3, 0.008)


def silent(_: str) -> None:
    pass


def make_scenario(difficulty: Difficulty = STILL, seed: int = 0, fps: float = 30.0, **options) -> LongScenario:
    return sample_long_scenario(
        np.random.default_rng([seed, 5]),
        sample_subject(seed, 5000),
        difficulty,
        fps=fps,
        num_frames=round(60 * fps),
        emotions=FEELING_COUNTS,
        unit_sets=EMOTION_SETS,
        **options,
    )


def make_plan(corpus: str, **options) -> CorpusPlan:
    release = CORPORA[corpus]
    full = {"num_subjects": 3, "num_clips": 6, "duration_s": release.duration_s}
    return release.plan(CorpusOptions(**{**full, **options}))


def mark(moments, num_frames: int, kinds: tuple[str, ...]) -> np.ndarray:
    """Whether each frame lies strictly within a moment of these kinds: at its ends it is at rest."""
    covered = np.zeros(num_frames, bool)
    for each in moments:
        if each.kind in kinds:
            covered[each.onset + 1 : each.offset] = True
    return covered


class TestTimeline:
    @pytest.mark.parametrize("fps", [30.0, 200.0])
    def test_expressions_are_as_long_as_their_kind_says(self, fps):
        for seed in range(5):
            for each in make_scenario(seed=seed, fps=fps).expressions:
                seconds = (each.moment.offset - each.moment.onset) / fps
                assert (seconds <= MICRO_LONGEST_S) == (each.moment.kind == MICRO)
                assert 0.15 < seconds <= 4
                assert each.moment.onset < each.moment.apex < each.moment.offset

    def test_there_are_several_of_each_kind_at_a_natural_rate(self):
        moments = [
            each
            for seed in range(20)
            for each in sample_timeline(
                np.random.default_rng(seed), 1800, 30.0, DIFFICULTIES["medium"], Rates(), is_expressive=True
            )
        ]
        a_minute = {kind: sum(each.kind == kind for each in moments) / 20 for kind in (*EXPRESSIONS, BLINK, GAZE)}
        assert a_minute[MICRO] == a_minute[MACRO] == 3
        assert 14 < a_minute[BLINK] < 22
        assert 6 < a_minute[GAZE] < 14
        assert {"lean", "nod", "turn", "look away", "speech"} <= {each.label for each in moments}
        speech = [each.num_frames / 30 for each in moments if each.kind == SPEECH]
        assert 1.9 < min(speech) < max(speech) <= 8

    def test_what_excludes_the_other_never_overlaps(self):
        for seed in range(20):
            moments = sample_timeline(
                np.random.default_rng(seed), 1800, 30.0, DIFFICULTIES["hard"], Rates(), is_expressive=True
            )
            own = sorted((each for each in moments if each.kind not in (BLINK, GAZE)), key=lambda each: each.onset)
            assert all(after.onset - before.offset > GAP_S * 30 for before, after in itertools.pairwise(own))
            assert own[0].onset >= GAP_S * 30
            assert own[-1].offset < 1800 - GAP_S * 30
            for kind in (BLINK, GAZE):
                same = sorted((each for each in moments if each.kind == kind), key=lambda each: each.onset)
                assert all(one.offset < other.onset for one, other in itertools.pairwise(same))

    @pytest.mark.parametrize(("difficulty", "is_expressive"), [("null", True), ("medium", False)])
    def test_without_expressions_there_are_the_same_disturbances(self, difficulty, is_expressive):
        scenario = make_scenario(DIFFICULTIES[difficulty], is_expressive=is_expressive)
        assert not scenario.expressions
        assert {BLINK, GAZE} < {each.kind for each in scenario.disturbances}

    def test_a_short_video_keeps_its_expressions(self):
        moments = sample_timeline(np.random.default_rng(0), 300, 30.0, STILL, Rates(30, 30), is_expressive=True)
        assert sum(each.kind in EXPRESSIONS for each in moments) > 2


class TestCurvesAreTheTruth:
    """With everything still that has no interval, curves leave their rest only within the intervals."""

    @pytest.mark.parametrize("version", [1, 2])
    @pytest.mark.parametrize("seed", range(4))
    def test_each_curve_moves_in_its_moments_only(self, seed, version):
        scenario = make_scenario(seed=seed, version=version)
        count, spec = scenario.num_frames, scenario.spec
        expressions = [each.moment for each in scenario.expressions]
        moved = np.zeros(count, bool)
        for path in spec.activations.values():
            moved |= path != 0
        assert not moved[~mark([*expressions, *scenario.disturbances], count, (*EXPRESSIONS, SPEECH))].any()
        for curve, kinds in ((spec.lid_closure, (BLINK,)), (spec.gaze, (GAZE,)), (spec.pose, (TURN, SPEECH))):
            changed = (np.abs(curve - curve[:1]) > 1e-9).any(1)
            within = mark(scenario.disturbances, count, kinds)
            assert not changed[~within].any()
            for each in scenario.disturbances:
                if each.kind in kinds:
                    assert changed[each.onset : each.offset + 1].any()

    @pytest.mark.parametrize("seed", range(4))
    def test_an_expression_peaks_at_its_apex_with_the_size_and_units_that_are_told(self, seed):
        scenario = make_scenario(seed=seed)
        for each in scenario.expressions:
            frames = slice(each.moment.onset, each.moment.offset + 1)
            sizes = {
                unit: max(scenario.spec.activations[unit, side][frames].max() for side in (RIGHT, LEFT))
                for unit in each.action_units
            }
            assert 100 * max(sizes.values()) == pytest.approx(each.peak_percent_iod, rel=1e-5)
            at_apex = max(
                scenario.spec.activations[unit, side][each.moment.apex]
                for unit in each.action_units
                for side in (RIGHT, LEFT)
            )
            assert 100 * at_apex == pytest.approx(each.peak_percent_iod, rel=1e-5)
            others = {unit for (unit, _), path in scenario.spec.activations.items() if path[frames].any()}
            assert others == set(each.action_units)

    def test_macro_expressions_are_larger(self):
        peaks = {kind: [] for kind in EXPRESSIONS}
        for seed in range(12):
            for each in make_scenario(seed=seed).expressions:
                peaks[each.moment.kind].append(each.peak_percent_iod)
        assert 2 < np.median(peaks[MACRO]) / np.median(peaks[MICRO]) < 4.5


class TestVideoFile:
    def test_every_frame_comes_back(self, tmp_path):
        frames = [np.full((48, 64, 3), (40, 5 * index, 200), np.uint8) for index in range(40)]
        with AviWriter(tmp_path / "a.avi", (48, 64), 30.0, 85) as video:
            for frame in frames:
                video.write(frame)
        read = VideoFrames(tmp_path / "a.avi")
        assert len(read) == 40
        assert np.allclose(read.timestamps_s, np.arange(40) / 30, atol=1e-4)
        assert read.stated_duration_s == pytest.approx(40 / 30, abs=0.01)
        assert all(np.abs(read[index].astype(int) - frames[index]).max() <= 4 for index in (0, 17, 39, 3))

    def test_opencv_seeks_in_it(self, tmp_path):
        with AviWriter(tmp_path / "a.avi", (48, 64), 29.97, 85) as video:
            for index in range(40):
                video.write(np.full((48, 64, 3), 5 * index, np.uint8))
        for backend in (cv2.CAP_FFMPEG, cv2.CAP_OPENCV_MJPEG):
            capture = cv2.VideoCapture(str(tmp_path / "a.avi"), backend)
            assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(29.97)
            assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 40
            assert capture.set(cv2.CAP_PROP_POS_FRAMES, 30)
            assert abs(int(capture.read()[1][0, 0, 0]) - 150) <= 3

    def test_what_was_stopped_does_not_look_complete(self, tmp_path):
        def stop_in_the_middle() -> None:
            with AviWriter(tmp_path / "a.avi", (48, 64), 30.0, 85) as video:
                video.write(np.zeros((48, 64, 3), np.uint8))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stop_in_the_middle()
        assert cv2.VideoCapture(str(tmp_path / "a.avi"), cv2.CAP_OPENCV_MJPEG).get(cv2.CAP_PROP_FRAME_COUNT) <= 0


class TestLayout:
    """The trees and sheets that `datasets/*/long.py` and the documents of the corpora describe."""

    def test_casme_squared(self):
        plan = make_plan("casme_squared_long")
        paths = [f"{folder}/{name}".lstrip("/") for folder, name in plan.files()]
        films = (
            r"0101disgustingteeth|0102eatingworms|0401girlcrashing|0402beatingpregnantwoman|0502funnyerrors"
            r"|0503unnyfarting|0505funnyinnovations|0507climbingthewall|0508funnydunkey"
        )
        videos = [path for path in paths if re.fullmatch(rf"rawvideo/s(\d\d)/\1_({films})\.avi", path)]
        assert len(set(videos)) == 6
        assert sorted(set(paths) - set(videos)) == ["CAS(ME)^2code_final.xlsx", "SURROGATE_disturbances.csv"]
        book = openpyxl.load_workbook(io.BytesIO(plan.documents["CAS(ME)^2code_final.xlsx"]))
        assert book.sheetnames == ["CASFEcode_final", "naming rule1", "naming rule2"]
        rows = list(book["CASFEcode_final"].values)
        truth = [each for clip in plan.marker()["clips"].values() for each in clip["expressions"]]
        assert [(row[2] - 1, row[3] - 1, row[4] - 1) for row in rows] == [
            (each["onset"], each["apex"], each["offset"]) for each in truth
        ]
        assert [row[7] for row in rows] == [f"{each['type']}-expression" for each in truth]
        assert all(re.fullmatch(r"(anger[12]|disgust[12]|happy[1-5])_\d+", row[1]) for row in rows)
        assert {row[6] for row in rows} <= {"positive", "negative", "surprise", "others"}

    def test_samm(self):
        plan = make_plan("samm_long")
        paths = [f"{folder}/{name}".lstrip("/") for folder, name in plan.files()]
        frames = [path for path in paths if re.fullmatch(r"SAMM_longvideos/(\d{3}_\d)/\1_\d{4,5}\.jpg", path)]
        assert len(frames) == 6 * 3000
        assert sorted(set(paths) - set(frames)) == [
            "SAMM_LongVideos_V3_Release.xlsx", "SAMM_Micro_FACS_Codes_v2.xlsx", "SURROGATE_disturbances.csv",
        ]  # fmt: skip
        assert {"SAMM_longvideos/006_1/006_1_0001.jpg", "SAMM_longvideos/006_2/006_2_00001.jpg"} < set(frames)
        book = openpyxl.load_workbook(io.BytesIO(plan.documents["SAMM_LongVideos_V3_Release.xlsx"]), data_only=True)
        assert book.sheetnames == ["FACS_Movement_Only"]
        rows = list(book["FACS_Movement_Only"].values)
        assert rows[9] == (
            "Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units",
            "Notes",
        )  # fmt: skip
        truth = [each for clip in plan.marker()["clips"].values() for each in clip["expressions"]]
        assert len(rows) - 10 == len(truth) > 0
        assert {row[7] for row in rows[10:]} == {"Macro", "Micro - 1/2"}
        assert all(row[6] == row[5] - row[3] + 1 and isinstance(row[0], str) for row in rows[10:])

    @pytest.mark.parametrize("corpus", LONG)
    @pytest.mark.parametrize("difficulty", DIFFICULTIES)
    def test_some_videos_have_nothing_and_with_null_none_has_anything(self, corpus, difficulty):
        plan = make_plan(corpus, difficulty=difficulty)
        clips = plan.marker()["clips"].values()
        still = sum(not clip["expressions"] for clip in clips)
        assert still == (6 if difficulty == "null" else 2)
        assert all(clip["num_disturbances"] for clip in clips)

    def test_other_seeds_show_other_people(self):
        one, other = (make_plan("casme_squared_long", seed=seed) for seed in (0, 1))
        assert not np.allclose(one.subjects[0].subject.vertices, other.subjects[0].subject.vertices)
        assert one.marker()["clips"] != other.marker()["clips"]

    @pytest.mark.parametrize(
        ("corpus", "options", "match"),
        [
            ("casme_squared_long", {"duration_s": 3}, r"3 s; expected 10 to 3600"),
            ("casme_squared_long", {"num_subjects": 1, "num_clips": 10}, r"at most 9 films each"),
            ("samm_long", {"num_subjects": 5, "num_clips": 3}, r"needs at least one"),
            ("smic", {"duration_s": 20.0}, r"duration is for long videos \(casme_squared_long, samm_long\)"),
        ],
    )
    def test_wrong_options_are_explained(self, tmp_path, corpus, options, match):
        with pytest.raises(ConfigError, match=match):
            render_corpus(tmp_path, corpus=corpus, log=silent, **options)
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    return render_corpus(tmp_path_factory.mktemp("long"), corpus="casme_squared_long", log=silent, **TINY)


class TestRendered:
    def test_the_marker_says_that_nothing_is_recorded(self, rendered):
        marker = json.loads((rendered / "SURROGATE.json").read_text())
        assert (marker["surrogate"], marker["variant"], marker["duration_s"]) == (True, "long", 10)
        assert "rendered faces" in (rendered / "SURROGATE.txt").read_text()
        assert all("surrogate" in line for line in (rendered / "SURROGATE_disturbances.csv").read_text().split()[1:2])

    def test_frames_show_what_the_truth_says(self, rendered):
        """The picture changes more around the eyes in a blink, and more in a macro-expression, than at rest."""
        marker = json.loads((rendered / "SURROGATE.json").read_text())
        name, truth = next((name, clip) for name, clip in marker["clips"].items() if clip["expressions"])
        frames = VideoFrames(rendered / "rawvideo" / name)
        assert (len(frames), truth["num_frames"]) == (300, 300)
        gray = np.stack([frames.gray(index) for index in range(300)]).astype(np.float32)
        macro = next(each for each in truth["expressions"] if each["type"] == MACRO)
        face = gray[:, 20:80, 34:94]
        before = face[macro["onset"] - 4 : macro["onset"]].mean(0)
        apex = face[macro["apex"] - 1 : macro["apex"] + 2].mean(0)
        rest = face[macro["onset"] - 12 : macro["onset"] - 8].mean(0)
        largest = [np.sort(np.abs(one - before).ravel())[-40:].mean() for one in (apex, rest)]
        assert largest[0] > 1.5 * largest[1]

    def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(self, rendered, tmp_path):
        again = render_corpus(tmp_path, corpus="casme_squared_long", log=silent, **{**TINY, "workers": 2})
        digests = [
            {
                str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in root.rglob("*")
                if path.is_file()
            }
            for root in (rendered, again)
        ]
        assert digests[0] == digests[1]
        assert len(digests[0]) == 6

    def test_a_finished_corpus_is_left_alone_and_other_options_are_refused(self, rendered):
        told = []
        options = {**TINY, "corpus": "casme_squared_long"}
        assert render_corpus(rendered.parent, log=told.append, **options) == rendered
        assert "already rendered" in told[0]
        with pytest.raises(Exception, match=r"duration_s 10.0 instead of 20.0"):
            render_corpus(rendered.parent, log=silent, **{**options, "duration_s": 20.0})


_MEASURE = """
import resource, sys
from datasets.surrogate.corpus import render_corpus
render_corpus(sys.argv[1], corpus="casme_squared_long", num_subjects=1, num_clips=1, workers=1, scale=0.5,
              duration_s=float(sys.argv[2]), log=lambda line: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow  # renders 3,900 frames
def test_memory_does_not_grow_with_the_video(tmp_path):
    """Two minutes of 320x240 would take 790 MB at once; ten seconds of it and all of it take the same."""
    peaks = [
        float(
            subprocess.run(
                [sys.executable, "-c", _MEASURE, str(tmp_path / seconds), seconds],
                cwd=ROOT, check=True, capture_output=True, text=True,
            ).stdout
        )
        for seconds in ("10", "120")
    ]  # fmt: skip
    assert peaks[1] - peaks[0] < 30, peaks
