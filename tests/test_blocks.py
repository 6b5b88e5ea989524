"""Known answers: the blocks' formulas again, in NumPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.region import area_weights, eyes_and_mouth, resize_area
from mer_jax.blocks.spatial_attention import SpatialAttention
from mer_jax.blocks.squeeze_excitation import SqueezeExcitation
from mer_jax.blocks.temporal_attention import TemporalAttention
from mer_jax.vision.libraries import cv2


def random_params(block, x, key=0):
    params = block.init(jax.random.key(key), x)["params"]
    return jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 8), (2, 8), (3, 2, 2, 8)])
@pytest.mark.parametrize("residual", [True, False])
def test_squeeze_excitation(shape, residual):
    x = np.random.default_rng(0).normal(size=shape)
    axes = (-4, -3, -2) if len(shape) == 5 else ()  # of vectors, every feature is a channel
    block = SqueezeExcitation(ratio=2, residual=residual, axes=axes)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    squeezed = x.mean((-4, -3, -2), keepdims=True) if axes else x
    hidden = np.maximum(squeezed @ p["squeeze"]["kernel"] + p["squeeze"]["bias"], 0)
    scale = sigmoid(hidden @ p["excite"]["kernel"] + p["excite"]["bias"])
    expected = x * scale + (x if residual else 0)
    np.testing.assert_allclose(block.apply({"params": params}, jnp.asarray(x, jnp.float32)), expected, atol=1e-4)


def test_spatial_attention():
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7, 4))
    block = SpatialAttention(kernel_size=3)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    kernel, bias = (np.asarray(params["map"][k], np.float64) for k in ("kernel", "bias"))
    summary = np.stack([x.mean(-1), x.max(-1)], -1)
    padded = np.pad(summary, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    attention = sigmoid(np.einsum("bthwcij,ijco->bthwo", windows, kernel) + bias)
    got, got_map = block.apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got_map, attention, atol=1e-5)
    np.testing.assert_allclose(got, x * attention, atol=1e-4)


def test_temporal_attention():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 3, 4))
    block = TemporalAttention(features=6)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    hidden = np.tanh(x.mean((2, 3)) @ p["hidden"]["kernel"] + p["hidden"]["bias"])
    scores = np.exp(hidden @ p["score"]["kernel"])
    weights = (scores / scores.sum(1, keepdims=True) * 5)[:, :, None, None]
    got, got_weights = block.apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got_weights, weights, atol=1e-5)
    np.testing.assert_allclose(got, x * weights, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (5, 31)])
def test_resize_is_that_of_opencv(size):
    pictures = np.random.default_rng(0).normal(size=(2, 64, 128, 1)).astype(np.float32)
    expected = np.stack([cv2.resize(each, size[::-1], interpolation=cv2.INTER_AREA) for each in pictures[..., 0]])
    np.testing.assert_allclose(resize_area(jnp.asarray(pictures), size)[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(108, 32), (36, 32), (7, 7), (3, 2)])
def test_area_weights_share_out_every_pixel_evenly(old, new):
    weights = area_weights(old, new)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights.sum(0), new / old, atol=1e-6)


def test_regions_hold_the_eyes_and_the_mouth():
    face = np.zeros((1, 128, 128, 1), np.float32)
    face[:, 40:52, 20:108] = 1  # eyes
    face[:, 86:100, 44:84] = 2  # mouth
    eyes, mouth = eyes_and_mouth(jnp.asarray(face[:, :64]), jnp.asarray(face[:, 64:]))
    assert eyes.shape == mouth.shape == (1, 32, 32, 1)
    assert (eyes.max(), mouth.max()) == (1, 2)
    # Nothing of either is cut off: the area is kept.
    np.testing.assert_allclose(eyes.sum() * 36 * 108 / 32**2, 12 * 88, rtol=1e-5)
    np.testing.assert_allclose(mouth.sum() * 40 * 108 / 32**2, 2 * 14 * 40, rtol=1e-5)
