import cv2
import numpy as np
import pytest

from mer_jax.vision.crop import box_crop, transform_points, warp_gray
from mer_jax.vision.landmarks import FaceLandmarker, eye_centres
from mer_jax.vision.registration import register_frames, residual_shifts_px
from mer_jax.vision.video import VideoFrames
from tests.face_clips import CLIPS, FACES, read_clip


@pytest.fixture(scope="module")
def faces() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A frame of each talker at 1.8 times its size (about SMIC's scale), gray, and its 68 points."""
    result = {}
    with FaceLandmarker() as landmarker:
        for clip in CLIPS:
            frame = cv2.resize(read_clip(clip, 0, 1)[0], None, fx=1.8, fy=1.8, interpolation=cv2.INTER_CUBIC)
            result[clip] = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), landmarker.detect(frame).ibug)
    return result


def head_motion(ibug: np.ndarray, shift, degrees: float) -> np.ndarray:
    centre, angle = ibug.mean(axis=0), np.deg2rad(degrees)
    motion = np.eye(3)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:2, 2] = centre - motion[:2, :2] @ centre + shift
    return motion


def move_head(gray: np.ndarray, ibug: np.ndarray, motion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves the head by `motion` before a background that stays, and adds camera noise."""
    head = np.zeros(gray.shape, np.float32)
    brows = ibug[17:27] - [0, 70]
    cv2.fillConvexPoly(head, cv2.convexHull(np.concatenate([ibug[:17], brows]).astype(np.int32)), 1.0)
    head = cv2.GaussianBlur(cv2.dilate(head, np.ones((35, 35))), (0, 0), 6)
    size = gray.shape[::-1]
    moved = cv2.warpAffine(gray.astype(np.float32), motion[:2], size, flags=cv2.INTER_LANCZOS4)
    picture = head * moved + (1 - head) * gray + rng.normal(0, 2.5, gray.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def error_px(corrections: np.ndarray, motions: list[np.ndarray], ibug: np.ndarray) -> np.ndarray:
    """Distance in the 128 crop between where each of 51 inner points should be and where it lands; rms per frame."""
    inner, box = ibug[17:].astype(np.float64), box_crop(ibug)
    wanted = transform_points(box, inner)
    landed = [transform_points(box @ c @ m, inner) for c, m in zip(corrections, motions, strict=True)]
    return np.sqrt(((np.stack(landed) - wanted) ** 2).sum(axis=2).mean(axis=1))


@pytest.mark.parametrize("clip", CLIPS)
def test_a_known_motion_is_taken_back_to_a_quarter_of_a_pixel(faces, clip):
    gray, ibug = faces[clip]
    rng = np.random.default_rng(3)
    motions = [np.eye(3)]
    motions += [head_motion(ibug, rng.normal(0, 2.0, 2), rng.normal(0, 0.7)) for _ in range(6)]
    frames = [move_head(gray, ibug, motion, rng) for motion in motions]
    registration = register_frames(frames, ibug, reference=0)
    assert registration.failures == 0
    errors = error_px(registration.corrections, motions, ibug)
    unaligned = error_px(np.tile(np.eye(3), (7, 1, 1)), motions, ibug)
    assert errors.max() < 0.25
    assert errors[1:].mean() < 0.1 * unaligned[1:].mean()


def test_frames_before_the_reference_are_aligned_too(faces):
    gray, ibug = faces["bbaf2n"]
    rng = np.random.default_rng(0)
    motions = [head_motion(ibug, [2 - t, 0.5 * (t - 2)], 0.2 * (t - 2)) for t in range(5)]
    frames = [move_head(gray, ibug, motion, rng) for motion in motions]
    registration = register_frames(frames, ibug, reference=2)
    np.testing.assert_array_equal(registration.corrections[2], np.eye(3))
    assert error_px(registration.corrections, motions, ibug).max() < 0.25


def test_a_far_drift_is_followed_from_frame_to_frame(faces):
    gray, ibug = faces["swiz3n"]
    rng = np.random.default_rng(0)
    # 40 pixels in the end, which a search from the start does not find.
    motions = [head_motion(ibug, [3 * t, 2 * t], 0.3 * t) for t in range(12)]
    frames = [move_head(gray, ibug, motion, rng) for motion in motions]
    registration = register_frames(frames, ibug, reference=0)
    assert registration.failures == 0
    assert error_px(registration.corrections, motions, ibug).max() < 0.25


def test_frames_that_cannot_be_aligned_stay_and_are_counted(faces):
    gray, ibug = faces["lbax4n"]
    noise = np.random.default_rng(0).integers(0, 255, gray.shape, np.uint8)
    another_place = np.roll(gray, 150, axis=0)
    registration = register_frames([gray, np.zeros_like(gray), noise, another_place, gray], ibug, reference=0)
    assert registration.failures == 3
    np.testing.assert_array_equal(registration.corrections[1:4], np.tile(np.eye(3), (3, 1, 1)))
    np.testing.assert_allclose(registration.corrections[4], np.eye(3), atol=1e-2)


def test_the_residual_estimate_measures_small_shifts(faces):
    gray, ibug = faces["bbaf2n"]
    box = box_crop(ibug)
    shifted = []
    for shift in ([0.0, 0.0], [0.3, 0.0], [0.0, -0.2]):
        matrix = box.copy()
        matrix[:2, 2] += shift
        shifted.append(warp_gray(gray, matrix))
    brighter = np.clip(shifted[0].astype(int) + 4, 0, 255).astype(np.uint8)
    estimate = residual_shifts_px(np.stack([*shifted, brighter]), shifted[0])
    np.testing.assert_allclose(estimate, [0, 0.3, 0.2, 0], atol=0.06)
    assert np.isfinite(residual_shifts_px(np.zeros((2, 128, 128), np.uint8), np.zeros((128, 128), np.uint8))).all()


@pytest.mark.parametrize("clip", CLIPS)
def test_real_heads_are_steadier_after_it(clip):
    with FaceLandmarker() as landmarker, VideoFrames(FACES / f"{clip}.mpg") as frames:
        ibug = landmarker.detect(frames[0]).ibug
        indices = range(0, 75, 6)
        points = [landmarker.detect(frames[index]).ibug for index in indices]
        grays = [frames.gray(index) for index in indices]
    corrections = register_frames(grays, ibug, reference=0).corrections
    box = box_crop(ibug)

    def eye_travel(matrices: np.ndarray) -> float:
        eyes = [
            np.mean(eye_centres(transform_points(box @ m, p.astype(np.float64))), axis=0)
            for m, p in zip(matrices, points, strict=True)
        ]
        return float(np.linalg.norm(np.stack(eyes) - eyes[0], axis=1).mean())

    assert eye_travel(corrections) < 0.5 * eye_travel(np.tile(np.eye(3), (len(points), 1, 1)))


@pytest.mark.parametrize("clip", CLIPS)
def test_a_blink_does_not_move_the_face(faces, clip):
    gray, ibug = faces[clip]
    rng = np.random.default_rng(5)
    shut = gray.copy()
    for eye in (ibug[36:42], ibug[42:48]):  # skin over the eyeball, from below: what a lid does
        hull = cv2.convexHull(eye.astype(np.int32))
        inside = cv2.fillConvexPoly(np.zeros_like(gray), hull, 255) > 0
        shut[inside] = int(np.median(gray[int(eye[:, 1].max()) + 4 :][:6, int(eye[:, 0].min()) : int(eye[:, 0].max())]))
    motion = head_motion(ibug, [1.0, -0.5], 0.3)
    frames = [move_head(each, ibug, m, rng) for each, m in ((gray, np.eye(3)), (shut, np.eye(3)), (shut, motion))]
    registration = register_frames(frames, ibug, reference=0)
    assert registration.failures == 0
    assert error_px(registration.corrections, [np.eye(3), np.eye(3), motion], ibug).max() < 0.12
