from collections import Counter

import cv2
import numpy as np
import pytest

from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.scenario import DIFFICULTIES, UNIT_SETS, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker, roll_degrees
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.quality import inspect_clip
from mer_jax.vision.turn import TurnedFrames, find_turn, turn_frames
from mer_jax.vision.verdict import Reason, Verdict
from tests.face_clips import CLIPS, read_clip


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


def turned_back(frames: np.ndarray, degrees: int) -> np.ndarray:
    """Frames that have to be turned clockwise by so many degrees."""
    return np.ascontiguousarray(np.rot90(frames, degrees // 90, axes=(-3, -2)))


@pytest.mark.parametrize("clip", CLIPS)
def test_no_upright_frame_of_a_real_face_is_turned(landmarker, clip):
    assert Counter(find_turn([frame], landmarker) for frame in read_clip(clip)) == {0: 75}


def test_no_upright_rendered_frame_is_turned(landmarker):
    camera, turns = Camera(GEOMETRY.shape, GEOMETRY.noise), Counter()
    for number in range(3):
        subject = sample_subject(5, number, GEOMETRY.tones)
        rng, length = np.random.default_rng([5, number]), GEOMETRY.duration_s
        spec = sample_clip(rng, subject, list(UNIT_SETS)[number], DIFFICULTIES["real"], fps=100.0, duration_s=length)
        frames = [frame.image for frame in render_clip(make_renderer(subject, GEOMETRY), camera, spec)][::2]
        turns.update(find_turn([frame], landmarker) for frame in frames)
    assert turns.total() >= 25
    assert set(turns) == {0}


def test_hard_upright_frames_are_not_turned(landmarker):
    for frame in read_clip("swiz3n")[::15]:
        for hard in (frame // 6, cv2.GaussianBlur(frame, (0, 0), 4), np.clip(frame.astype(int) * 3, 0, 255)):
            assert find_turn([hard.astype(np.uint8)], landmarker) == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("clip", CLIPS)
def test_how_to_turn_a_frame_is_found(landmarker, clip, degrees):
    for frame in read_clip(clip)[::15]:
        assert find_turn([turned_back(frame, degrees)], landmarker) == degrees


def test_frames_without_a_face_are_not_turned(landmarker):
    assert find_turn([np.zeros((120, 160, 3), np.uint8)], landmarker) == 0
    assert find_turn([], landmarker) == 0


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_clips_are_prepared_like_upright_ones(landmarker, degrees):
    clip = read_clip("lbax4n", 0, 8)
    upright = prepare_clip(ArrayFrames(clip), VisionOptions(num_frames=4), landmarker)
    for turn in (str(degrees), "auto"):
        frames = ArrayFrames(turned_back(clip, degrees))
        prepared = prepare_clip(frames, VisionOptions(num_frames=4, turn=turn), landmarker)
        np.testing.assert_array_equal(prepared.faces, upright.faces)
        np.testing.assert_array_equal(prepared.landmarks, upright.landmarks)
    assert turn_frames(ArrayFrames(clip), "auto", landmarker)[0].shape == clip[0].shape
    np.testing.assert_array_equal(
        TurnedFrames(ArrayFrames(turned_back(clip, degrees)), degrees).gray(3).shape, (288, 360)
    )


@pytest.mark.parametrize(("degrees", "position"), [(90, "on its side"), (180, "upside down"), (270, "on its side")])
def test_a_turned_clip_fails_and_the_option_mends_it(landmarker, degrees, position):
    frames = ArrayFrames(turned_back(read_clip("swiz3n", 0, 8), degrees))
    quality = inspect_clip(frames, landmarker)
    assert quality.verdict is Verdict.FAIL
    (finding,) = [finding for finding in quality.findings if finding.level == "error"]
    assert finding.reason is Reason.TURNED
    assert finding.message.startswith(f"the picture is {position}: turn by {degrees} degrees clockwise")
    assert finding.message.endswith(f" (option turn, --turn {degrees})")
    assert ("90 counterclockwise" in finding.message) == (degrees == 270)
    mended = inspect_clip(frames, landmarker, VisionOptions(turn="auto"))
    assert mended.verdict is Verdict.OK
    assert mended.frame_size == (360, 288)
    assert [str(f) for f in mended.findings] == [f"frames are turned by {degrees} degrees clockwise"]


def test_roll_is_the_angle_of_the_line_between_the_eyes():
    ibug = np.zeros((68, 2), np.float32)
    ibug[42:48] = [10.0, 10.0]
    assert roll_degrees(ibug) == pytest.approx(45)
    ibug[42:48] = [-10.0, 0.0]
    assert roll_degrees(ibug) == pytest.approx(180)
