import cv2
import numpy as np
import pytest

from mer_jax.errors import NoFaceError
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import CROPS, VisionOptions
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.quality import inspect_clip
from mer_jax.vision.second_look import detect_in_parts, detect_near, smallest_face_px
from mer_jax.vision.verdict import Reason
from mer_jax.vision.video import VideoFrames
from tests.face_clips import CLIPS, read_clip
from tests.video_files import CASES


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        yield landmarker


def place(frames: np.ndarray, scale: float, left: int, top: int, width: int = 1920, height: int = 1080) -> np.ndarray:
    """Shrinks frames and puts them into larger ones."""
    small = np.stack([cv2.resize(each, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for each in frames])
    shades = np.linspace(90, 130, width).astype(np.uint8)[:, None]
    canvas = np.tile(shades, (len(frames), height, 1, 3))
    canvas[:, top : top + small.shape[1], left : left + small.shape[2]] = small
    return canvas


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("left", "top"), [(0, 0), (901, 433), (1715, 860)])
def test_a_face_of_60_pixels_in_hd_is_found_wherever_it_is(landmarker, clip, left, top):
    frame = read_clip(clip, 0, 1)[0]
    alone = landmarker.detect(frame)
    scale = 60 / alone.width_px
    (canvas,) = place(frame[None], scale, left, top)
    assert landmarker.detect_all(canvas) == ()
    (face,) = detect_in_parts(canvas, landmarker)
    expected = (alone.ibug + 0.5) * scale - 0.5 + [left, top]
    assert np.linalg.norm(face.ibug - expected, axis=1).mean() < 3
    assert face.num_faces == 1
    (again,) = detect_near(canvas, face, landmarker)
    assert np.abs(again.ibug - face.ibug).max() < 3


def test_two_small_faces_are_two(landmarker):
    first = place(read_clip("lbax4n", 0, 1), 0.6, 200, 200)
    (canvas,) = first
    other = cv2.resize(read_clip("bbaf2n", 0, 1)[0], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    canvas[700 : 700 + len(other), 1300 : 1300 + other.shape[1]] = other
    faces = detect_in_parts(canvas, landmarker)
    assert [face.num_faces for face in faces] == [2, 2]
    assert faces[0].width_px >= faces[1].width_px
    assert sorted(face.box[0] > 960 for face in faces) == [False, True]


@pytest.mark.parametrize("name", ["face_in_hd_80.mp4", "face_in_hd_120.mp4"])
def test_a_small_face_in_hd_video_is_found_in_every_frame_and_said(landmarker, name):
    quality = inspect_clip(VideoFrames(CASES / name), landmarker, kind="video")
    assert quality.usable
    assert quality.summary["detection_rate"] == 1
    notes = [finding.message for finding in quality.findings if finding.reason is Reason.SECOND_LOOK]
    assert any(
        note.startswith("the face is small in the frame: found by a second look at parts of it, ") for note in notes
    )
    assert quality.prepared.quality["second_look"] == 1
    assert Reason.REPEATED not in {finding.reason for finding in quality.findings}  # the face moves, the frame hardly


@pytest.mark.parametrize("crop", CROPS)
def test_a_small_face_is_prepared_like_a_large_one(landmarker, crop):
    clip = read_clip("lbax4n", 20, 26)
    options = VisionOptions(num_frames=4, crop=crop, mask="none")
    small = prepare_clip(ArrayFrames(place(clip, 0.6, 1000, 500)), options, landmarker)
    large = prepare_clip(ArrayFrames(clip), options, landmarker)
    assert (small.quality["second_look"], large.quality["second_look"]) == (1, 0)
    assert small.quality["missed_detections"] == small.quality["registration_failures"] == 0
    middle = np.s_[:, 20:108, 20:108]
    assert np.corrcoef(small.faces[middle].ravel(), large.faces[middle].ravel())[0, 1] > 0.95


def test_what_cannot_be_found_is_said_with_the_least_width(landmarker):
    tiny = ArrayFrames(place(read_clip("lbax4n", 0, 2), 0.2, 900, 500))
    with pytest.raises(NoFaceError, match="or one narrower than 60 pixels, the least that can be detected"):
        prepare_clip(tiny, VisionOptions(), landmarker)
    quality = inspect_clip(tiny, landmarker)
    assert "a covered face, or one narrower than 60 pixels" in quality.findings[0].message


def test_small_frames_have_no_parts(landmarker):
    assert detect_in_parts(np.zeros((200, 240, 3), np.uint8), landmarker) == ()
    assert [smallest_face_px(*size) for size in ((640, 480), (1920, 1080), (1080, 1920), (3840, 2160))] == [
        30,
        60,
        60,
        120,
    ]
