"""Motion that was put in comes out, window by window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.grid_flow import grid_flow, mirror_flow, rise_and_fall, smoothing_matrix, window_matrix
from mer_jax.errors import ShapeError
from mer_jax.vision.libraries import cv2


def make_clip(motion, frames=9, contrast=1.0):
    """A textured face whose every pixel moves by `motion` [h w 2] at the middle of the clip, and back."""
    face = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32), (0, 0), 2)
    face *= contrast / face.std()
    y, x = np.mgrid[:64, :128].astype(np.float32)
    wave = np.sin(np.pi * np.arange(frames) / (frames - 1)).astype(np.float32)
    moved = [cv2.remap(face, x - w * motion[..., 0], y - w * motion[..., 1], cv2.INTER_CUBIC) for w in wave]
    return jnp.asarray(np.stack(moved))


def solve(clip, **options):
    return grid_flow(clip.mean(0), rise_and_fall(clip), **options)


@pytest.mark.parametrize("contrast", [1.0, 0.3])
@pytest.mark.parametrize("shift", [(0.4, 0.0), (0.0, -0.6), (-0.3, 0.5)])
def test_a_known_shift_comes_out_whatever_the_contrast(shift, contrast):
    motion = np.broadcast_to(np.float32(shift), (64, 128, 2))
    flow = solve(make_clip(motion, contrast=contrast), damping=1e-4)
    assert flow.shape == (6, 14, 2)
    np.testing.assert_allclose(flow[1:-1, 1:-1].mean((0, 1)), shift, atol=0.06)


def test_without_division_the_contrast_of_the_face_decides():
    motion = np.broadcast_to(np.float32((0.4, 0.0)), (64, 128, 2))
    strong, weak = (np.abs(solve(make_clip(motion, contrast=c), divide=False)).mean() for c in (1.0, 0.5))
    assert strong == pytest.approx(4 * weak, rel=1e-3)


def test_each_window_has_its_own_motion():
    motion = np.zeros((64, 128, 2), np.float32)
    motion[:, :64, 0] = 0.5
    flow = solve(make_clip(motion), damping=1e-4)[..., 0]
    np.testing.assert_allclose(flow[:, :6].mean(), 0.5, atol=0.08)
    np.testing.assert_allclose(flow[:, 8:].mean(), 0.0, atol=0.02)


def test_normal_equations_in_float64():
    rng = np.random.default_rng(1)
    face, change = rng.normal(size=(2, 24, 30))
    flow = grid_flow(jnp.float32(face), jnp.float32(change), sigma=0, window=8, stride=4, damping=0.01)
    gy, gx = (g[1:-1, 1:-1] for g in np.gradient(face))
    change = change[1:-1, 1:-1]
    for i in range(4):
        for j in range(6):  # the first window begins where the rest is shared out to both ends
            window = np.s_[1 + 4 * i : 9 + 4 * i, 4 * j : 4 * j + 8]
            a = np.stack([gx[window].ravel(), gy[window].ravel()], 1)
            normal = a.T @ a / 64 + 0.01 * np.eye(2)
            expected = -np.linalg.solve(normal, a.T @ change[window].ravel() / 64)
            np.testing.assert_allclose(flow[i, j], expected, atol=1e-4)


def test_what_stays_or_drifts_evenly_does_not_count():
    frames = jnp.asarray(np.random.default_rng(0).normal(size=(7, 8)), jnp.float32)
    drift = jnp.arange(9.0)[:, None, None] * frames
    np.testing.assert_allclose(rise_and_fall(jnp.broadcast_to(frames, (9, 7, 8)) + drift), 0, atol=1e-4)
    wave = jnp.sin(jnp.pi * jnp.arange(9) / 8)[:, None, None]
    np.testing.assert_allclose(rise_and_fall(frames + wave * frames), frames, atol=1e-5)


def test_motion_of_the_mirrored_face_is_the_mirrored_motion():
    rng = np.random.default_rng(2)
    face, change = jnp.asarray(rng.normal(size=(2, 64, 128)), jnp.float32)
    mirrored = grid_flow(face[:, ::-1], change[:, ::-1])
    np.testing.assert_allclose(mirrored, mirror_flow(grid_flow(face, change)), atol=1e-4)


def test_a_flat_face_does_not_move():
    flow = grid_flow(jnp.zeros((64, 128)), jnp.ones((64, 128)))
    np.testing.assert_array_equal(flow, 0)


def test_gradients_pass_through():
    clip = make_clip(np.full((64, 128, 2), 0.3, np.float32))
    gradient = jax.grad(lambda clip: (solve(clip) ** 2).sum())(clip)
    assert np.isfinite(gradient).all()
    assert np.any(gradient)


def test_matrices_are_means():
    for matrix in (smoothing_matrix(20, 1.5), smoothing_matrix(5, 0), window_matrix(62, 16, 8)):
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    picture = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    blurred = cv2.GaussianBlur(picture, (7, 7), 1.2, borderType=cv2.BORDER_REPLICATE)
    mine = smoothing_matrix(40, 1.2) @ picture @ smoothing_matrix(40, 1.2).T
    np.testing.assert_allclose(mine, blurred, atol=1e-5)


def test_too_small_a_face_is_refused():
    with pytest.raises(ShapeError, match=r"got a face of 16x128 .*expected at least 18x18 for windows of 16"):
        grid_flow(jnp.zeros((16, 128)), jnp.zeros((16, 128)))
