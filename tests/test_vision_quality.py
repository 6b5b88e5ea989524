import cv2
import numpy as np
import pytest

from mer_jax.vision.contact_sheet import draw_clip, stack_sheets
from mer_jax.vision.frame_runs import name_frames
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.quality import SUMMARY, inspect_clip, summarise_corpus
from tests.face_clips import read_clip


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        yield landmarker


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """16 frames of a talker who blinks from frame 8 on."""
    return read_clip("lbax4n", 20, 36)


def said(quality) -> str:
    return "\n".join(f"{finding.level}: {finding}" for finding in quality.findings)


def test_a_good_clip_has_its_numbers_and_its_blink(landmarker, clip):
    quality = inspect_clip(ArrayFrames(clip), landmarker)
    assert quality.usable
    assert set(quality.summary) == set(SUMMARY)
    assert quality.summary["detection_rate"] == 1
    assert quality.blinks == [(8, 10)]
    assert 50 < quality.summary["interocular_px"] < 60
    assert quality.summary["max_turn_degrees"] < 10
    assert quality.prepared.faces.shape == (18, 128, 128)
    assert len(quality.movement) == 16
    assert said(quality) == ""
    overview = summarise_corpus([quality, quality])
    assert overview["blinks"] == {"median": 1, "min": 1, "max": 1, "clips": 2}


def test_jitter_is_that_of_the_noise_and_not_of_the_movement(landmarker, clip):
    rng = np.random.default_rng(0)
    still = np.clip(clip[0].astype(float) + rng.normal(0, 4, (10, *clip[0].shape)), 0, 255).astype(np.uint8)
    noisy = inspect_clip(ArrayFrames(still), landmarker).summary["jitter_percent"]
    shifted = np.stack([np.roll(clip[0], 2 * t, axis=1) for t in range(10)])
    gliding = inspect_clip(ArrayFrames(shifted), landmarker).summary["jitter_percent"]
    assert 0.05 < noisy < 0.8
    assert gliding < 0.5  # though the face moves by 4 % of the distance between the eyes each frame
    frozen = inspect_clip(ArrayFrames(np.repeat(clip[:1], 5, axis=0)), landmarker)
    assert frozen.summary["jitter_percent"] == 0
    assert "the same as the frame before: 4 frames [frames 1-4]" in said(frozen)


def test_faults_are_named_with_their_frames(landmarker, clip):
    damaged = clip.copy()
    damaged[5:8] = 120
    damaged[12:14] = np.stack([cv2.GaussianBlur(each, (0, 0), 4) for each in clip[12:14]])
    damaged[14:] = np.clip(clip[14:].astype(int) * 3, 0, 255)
    quality = inspect_clip(ArrayFrames(damaged), landmarker, kind="video")
    assert quality.prepared.frame_indices[-1] == 7  # frames 8 to 15, the longer stretch
    whole = inspect_clip(ArrayFrames(damaged), landmarker, kind="clip")
    assert whole.prepared.frame_indices[-1] == 15
    text = said(quality)
    assert "warning: of one single shade: 3 frames [frames 5-7]" in text
    assert "warning: the face disappears and comes back [frames 5-7]" in text
    assert "blurred: sharpness" in text
    assert "[frames 12-13]" in text
    assert "% of the face is black or white [frames 14-15]" in text


def test_a_turned_a_small_and_a_drawn_face_are_told(landmarker, clip):
    small = cv2.resize(clip[0], None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    canvas = np.full((2, 288, 360, 3), 128, np.uint8)
    canvas[:, 80 : 80 + small.shape[0], 100 : 100 + small.shape[1]] = small
    assert "a face 40 px wide" in said(inspect_clip(ArrayFrames(canvas), landmarker))
    flat = cv2.pyrMeanShiftFiltering(cv2.resize(clip[0], None, fx=2, fy=2), 20, 60) // 48 * 48
    assert "has no texture: a drawing" in said(inspect_clip(ArrayFrames(np.stack([flat, flat])), landmarker))


def test_changes_of_the_whole_picture_are_told(landmarker, clip):
    flicker = clip.copy()
    flicker[::2] = clip[::2] // 2
    assert "the light flickers by" in said(inspect_clip(ArrayFrames(flicker), landmarker))
    cut = clip.copy()
    cut[9:] = np.roll(clip[9:], 140, axis=2)
    text = said(inspect_clip(ArrayFrames(cut), landmarker))
    assert "the whole picture changes: a cut [frame 9]" in text
    dark = said(inspect_clip(ArrayFrames(clip // 9), landmarker))
    assert "dark: gray level" in dark
    assert "blurred" not in dark


def test_frames_that_cannot_be_aligned_are_told(landmarker, clip):
    both = np.concatenate([clip[:8], read_clip("bbaf2n", 0, 8)])
    text = said(inspect_clip(ArrayFrames(both), landmarker))
    assert "no alignment to the onset in 8 of 18 prepared frames" in text


def test_more_faces_than_can_be_counted(landmarker, clip):
    six = np.concatenate([np.concatenate([clip[0]] * 3, axis=1)] * 2, axis=0)
    six = cv2.resize(six, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    assert "4 or more faces at once" in said(inspect_clip(ArrayFrames(np.stack([six, six])), landmarker))


def test_clips_without_a_face_are_errors_with_a_reason(landmarker):
    black = inspect_clip(ArrayFrames(np.zeros((4, 120, 160, 3), np.uint8)), landmarker)
    assert not black.usable
    assert "error: no face: the frames are black or of one single shade [frames 0-3]" in said(black)
    noise = np.random.default_rng(0).integers(0, 255, (3, 120, 160, 3), np.uint8)
    quality = inspect_clip(ArrayFrames(noise), landmarker, VisionOptions(face="2"))
    assert "no face in any frame: perhaps a profile" in said(quality)
    assert quality.summary["detection_rate"] == 0
    assert draw_clip(quality, "nöise").shape[2] == 3
    assert quality.apex_frame is None


def test_the_contact_sheet_shows_points_and_grows_over_several_sheets(landmarker, clip):
    quality = inspect_clip(ArrayFrames(clip[:3]), landmarker)
    picture = draw_clip(quality, "clip")
    assert (picture == (86, 180, 233)).all(axis=2).sum() > 50  # the colour of the points
    count = 20_000 // len(picture)
    assert [len(sheet) // len(picture) for sheet in stack_sheets([picture] * (count + 1))] == [count, 1]


def test_frames_are_named_briefly():
    assert name_frames([(4, 4)]) == "frame 4"
    assert name_frames([(n, n + 1) for n in range(0, 30, 5)]) == "frames 0-1, 5-6, 10-11, 15-16, 20-21 and 1 more"
