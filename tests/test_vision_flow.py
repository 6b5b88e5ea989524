import cv2
import numpy as np
import pytest

from mer_jax.vision.flow import FLOW_METHODS, clip_flow, motion_features, optical_flow, optical_strain
from tests.face_clips import read_clip

ROWS, COLUMNS = np.mgrid[0:128, 0:128].astype(np.float32)


def make_texture() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def move(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Moves what is at each place by about (u, v): smooth fields change little over their own length."""
    return cv2.remap(picture, COLUMNS - u, ROWS - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_flow_finds_a_shift_x_first_and_y_down(method):
    picture = make_texture()
    flow = optical_flow(picture, move(picture, np.full_like(ROWS, 1.5), np.full_like(ROWS, -0.75)), method)
    assert flow.shape == (128, 128, 2)
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [1.5, -0.75], atol=0.1)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_features_of_a_local_movement_lie_where_it_is(method):
    picture = make_texture()
    bump = 2 * np.exp(-((ROWS - 40) ** 2 + (COLUMNS - 90) ** 2) / (2 * 12**2))
    features = motion_features(picture, move(picture, 0 * bump, -bump), method)
    assert features.shape == (28, 28, 3)
    assert features.dtype == np.float32
    row, column = np.unravel_index(features[..., 1].argmin(), (28, 28))
    assert abs(row - 40 / 128 * 28) <= 1.5
    assert abs(column - 90 / 128 * 28) <= 1.5
    assert -2.2 < features[..., 1].min() < -1.2
    near, far = features[4:14, 15:25, 2].mean(), features[18:, :10, 2].mean()
    assert near > 3 * far


def test_strain_of_known_fields():
    def strain(u, v):
        return optical_strain(np.dstack([u, v]).astype(np.float32))[5:-5, 5:-5]

    np.testing.assert_allclose(strain(0.1 * COLUMNS, 0 * ROWS), 0.1, atol=1e-4)  # a stretch
    np.testing.assert_allclose(strain(0.1 * ROWS, 0 * ROWS), 0.1 / np.sqrt(2), atol=1e-4)  # a shear
    np.testing.assert_allclose(strain(0.1 * COLUMNS, -0.1 * ROWS), 0.1 * np.sqrt(2), atol=1e-4)
    np.testing.assert_allclose(strain(0 * ROWS + 3, 0 * ROWS - 2), 0, atol=1e-6)  # a shift of the head
    np.testing.assert_allclose(strain(-0.02 * ROWS, 0.02 * COLUMNS), 0, atol=1e-4)  # a small turn of it
    assert optical_strain(np.zeros((5, 8, 9, 2), np.float32)).shape == (5, 8, 9)


def test_flow_along_a_clip_from_the_onset_or_the_frame_before():
    picture = make_texture()
    clip = np.stack([move(picture, np.full_like(ROWS, 0.5 * t), 0 * ROWS) for t in range(4)])
    inside = np.s_[:, 16:-16, 16:-16, 0]
    total = np.median(clip_flow(clip, "farneback")[inside], axis=(1, 2))
    np.testing.assert_allclose(total, [0.5, 1.0, 1.5], atol=0.1)
    steps = np.median(clip_flow(clip, "farneback", "previous")[inside], axis=(1, 2))
    np.testing.assert_allclose(steps, 0.5, atol=0.1)


def test_a_still_face_has_neither_flow_nor_strain():
    face = cv2.cvtColor(read_clip("lbax4n", 0, 1)[0], cv2.COLOR_RGB2GRAY)[60:260, 90:270]
    assert np.abs(motion_features(face, face)).max() == 0


def test_an_unknown_method_lists_those_known():
    with pytest.raises(ValueError, match="unknown flow method 'lk'; known: tvl1, tvl1_half, farneback"):
        optical_flow(make_texture(), make_texture(), "lk")
