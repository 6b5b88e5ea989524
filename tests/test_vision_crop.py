import cv2
import numpy as np
import pytest

from mer_jax.vision.crop import (
    EYES_BORDER,
    box_crop,
    eyes_crop,
    face_points,
    fit_similarity,
    following_crops,
    similarity_crop,
    transform_points,
    warp_gray,
)
from mer_jax.vision.landmarks import eye_centres


@pytest.fixture
def ibug() -> np.ndarray:
    """68 points in a box from (200, 150) to (300, 270); the eyes are level."""
    points = np.random.default_rng(0).uniform([200, 150], [300, 270], (68, 2)).astype(np.float32)
    points[0], points[16], points[8], points[19] = [200, 190], [300, 190], [250, 270], [225, 150]
    points[36:42] = [[225, 185]] * 6
    points[42:48] = [[275, 185]] * 6
    return points


def rotation_about(centre, degrees: float, scale: float = 1.0, shift=(0, 0)) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre + np.asarray(shift)
    return matrix


def test_box_crop_puts_the_box_with_its_margins_on_the_square(ibug):
    # width 100: .08 at the sides; height 120: .30 above, .06 below. Edges lie half a pixel outside the pixel centres.
    corners = np.array([[192.0, 114.0], [308.0, 277.2]])
    np.testing.assert_allclose(transform_points(box_crop(ibug), corners), [[-0.5, -0.5], [127.5, 127.5]], atol=1e-9)


def test_similarity_crop_puts_the_eyes_on_their_places_whatever_the_pose(ibug):
    for motion in (np.eye(3), rotation_about([250, 200], 20, 1.7, [30, -12])):
        moved = transform_points(motion, ibug.astype(np.float64))
        eyes = transform_points(similarity_crop(moved), np.stack(eye_centres(moved)))
        np.testing.assert_allclose(eyes, [[43.5, 46], [83.5, 46]], atol=1e-9)


def test_eyes_crop_needs_the_eye_corners_alone(ibug):
    ibug = ibug.astype(np.float64)
    ibug[[36, 39, 42, 45]] = [[210, 185], [230, 187], [270, 186], [290, 182]]
    elsewhere = ibug.copy()
    others = np.setdiff1d(np.arange(68), [36, 39, 42, 45])
    elsewhere[others] += np.random.default_rng(1).normal(0, 20, (len(others), 2))
    np.testing.assert_array_equal(eyes_crop(ibug), eyes_crop(elsewhere))
    for motion in (np.eye(3), rotation_about([250, 200], 20, 1.7, [30, -12])):
        moved = transform_points(motion, ibug)
        eyes = np.stack([moved[[36, 39]].mean(0), moved[[42, 45]].mean(0)])
        # Columns 5.6 and 20.3, row 6 of 28 cells of 4 pixels inside the border.
        cells = (transform_points(eyes_crop(moved), eyes) + 0.5 - EYES_BORDER) / 4 - 0.5
        np.testing.assert_allclose(cells, [[5.6, 6], [20.3, 6]], atol=1e-9)


def test_fit_similarity_finds_the_motion_and_only_a_similarity(ibug):
    motion = rotation_about([250, 200], -13, 0.6, [4, 9])
    source = ibug.astype(np.float64)
    np.testing.assert_allclose(fit_similarity(source, transform_points(motion, source)), motion, atol=1e-9)
    stretched = fit_similarity(source, source * [1.0, 2.0])
    np.testing.assert_allclose(stretched[0, 0], stretched[1, 1])
    np.testing.assert_allclose(stretched[0, 1], -stretched[1, 0])


def test_following_crops_undo_a_steady_motion_of_the_head(ibug):
    motions = [rotation_about([250, 200], 0.2 * t, 1, [1.5 * t, -t]) for t in range(16)]
    moving = np.stack([transform_points(motion, ibug.astype(np.float64)) for motion in motions]).astype(np.float32)
    crops = following_crops(moving, reference=0)
    landed = np.stack(
        [transform_points(crop, points.astype(np.float64)) for crop, points in zip(crops, moving, strict=True)]
    )
    # Away from the ends smoothing leaves a steady motion as it is; at the ends it lags by about a frame's motion.
    np.testing.assert_allclose(landed[6:10] - landed[6], 0, atol=0.2)
    assert np.abs(transform_points(box_crop(ibug), ibug.astype(np.float64)) - landed[0]).max() < 1e-3


def test_warp_reads_where_the_matrix_says():
    y, x = np.mgrid[0:200, 0:300]
    ramp = (x // 2 + y // 4).astype(np.uint8)  # a frame that tells the place
    matrix = np.array([[2.0, 0, -2 * 100], [0, 2.0, -2 * 60], [0, 0, 1]])  # up by 2: no blur
    face = warp_gray(ramp, matrix)
    assert face.shape == (128, 128)
    np.testing.assert_array_equal(face[::2, ::2], ramp[60:124, 100:164])


def test_warp_of_a_part_equals_warp_of_the_whole_frame():
    frame = np.random.default_rng(0).integers(0, 255, (480, 640), np.uint8)
    matrix = np.linalg.inv(rotation_about([0, 0], 7, 1.6, [150, 90]))
    sigma = 0.42 * np.sqrt(1.6**2 - 1)
    whole = cv2.warpAffine(cv2.GaussianBlur(frame, (5, 5), sigma), matrix[:2], (128, 128))
    assert np.abs(warp_gray(frame, matrix).astype(int) - whole).max() <= 2


def test_warp_does_not_alias_when_it_makes_smaller():
    stripes = np.tile(np.array([0, 255], np.uint8), (600, 300))  # one pixel wide: finer than the result can hold
    matrix = np.diag([128 / 600, 128 / 600, 1.0])
    face = warp_gray(stripes, matrix)
    assert face.std() < 10
    assert 120 < face.mean() < 135


def test_warp_repeats_the_edge_outside_the_frame():
    frame = np.full((100, 100), 77, np.uint8)
    for shift in ([300.0, 0.0], [-20.0, -20.0], [0.0, -500.0]):
        matrix = np.eye(3)
        matrix[:2, 2] = shift
        np.testing.assert_array_equal(warp_gray(frame, matrix), np.full((128, 128), 77))


@pytest.mark.parametrize("crop", ["onset", "similarity", "eyes", "per_frame_bbox"])
def test_face_points_are_the_landmarks_in_pixels_of_the_face(ibug, crop):
    """Moved and scaled in the frame, a face has its landmarks at the same place in its crop."""
    points = face_points(ibug, crop)
    assert points.dtype == np.float32
    np.testing.assert_allclose(face_points(3 * ibug + 40, crop), points, atol=1e-2)
    left, right = (np.mean(points[start : start + 6], axis=0) for start in (36, 42))
    if crop == "similarity":
        np.testing.assert_allclose([left, right], [[43.5, 46], [83.5, 46]], atol=1)
    if crop in ("onset", "per_frame_bbox"):
        assert ((points > 0) & (points < 127)).all(), "all of them are inside"
