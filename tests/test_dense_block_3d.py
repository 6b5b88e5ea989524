"""Dense blocks, transitions and residual blocks against the layers of Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks.dense_block_3d import DenseBlock3D, Transition3D
from mer_jax.blocks.residual import ResidualBlock2D
from mer_jax.data.views import input_shapes
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.training.cost import count_parameters


def init(block, x):
    """First variables, moved away from ones and zeros."""
    variables = jax.jit(lambda: block.init(jax.random.key(0), x, is_training=False))()
    return jax.tree.map(lambda leaf: leaf + 0.2 * jax.random.uniform(jax.random.key(leaf.size), leaf.shape), variables)


def normalize(variables, name, x):
    scales, statistics = variables["params"][name], variables["batch_stats"][name]
    return nn.BatchNorm(use_running_average=True).apply({"params": scales, "batch_stats": statistics}, x)


def convolve(variables, name, x, strides=1):
    kernel = variables["params"][name]["kernel"]
    conv = nn.Conv(kernel.shape[-1], kernel.shape[:-2], strides, padding=kernel.shape[0] // 2, use_bias=False)
    return conv.apply({"params": {"kernel": kernel}}, x)


def test_dense_block():
    x = jax.random.normal(jax.random.key(1), (2, 3, 5, 4, 6))
    block = DenseBlock3D(layers=2, growth=3)
    variables = init(block, x)
    expected = x
    for number in "12":
        y = convolve(variables, f"conv_{number}", nn.relu(normalize(variables, f"norm_{number}", expected)))
        expected = jnp.concatenate([expected, y], -1)
    np.testing.assert_allclose(block.apply(variables, x, is_training=False), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "pooled"), [((4, 5, 6), (2, 2, 3)), ((1, 7, 4), (1, 3, 2))])
def test_transition(size, pooled):
    x = jax.random.normal(jax.random.key(1), (2, *size, 8))
    block = Transition3D(ratio=2)
    variables = init(block, x)
    p = variables["params"]
    y = nn.relu(normalize(variables, "norm", x)) @ p["conv"]["kernel"]
    hidden = nn.relu(nn.Dense(2).apply({"params": p["recalibration"]["squeeze"]}, y.mean((1, 2, 3), keepdims=True)))
    y *= nn.sigmoid(nn.Dense(4).apply({"params": p["recalibration"]["excite"]}, hidden))
    window = tuple(min(2, each) for each in size)
    expected = nn.avg_pool(y, window, strides=window)
    got = block.apply(variables, x, is_training=False)
    assert got.shape == (2, *pooled, 4)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("features", "stride"), [(6, 1), (4, 2)])
def test_residual_block(features, stride):
    x = jax.random.normal(jax.random.key(1), (2, 6, 8, 6))
    block = ResidualBlock2D(features, stride)
    variables = init(block, x)
    y = nn.relu(normalize(variables, "norm_1", convolve(variables, "conv_1", x, stride)))
    y = normalize(variables, "norm_2", convolve(variables, "conv_2", y))
    changes = (features, stride) != (6, 1)
    assert ("conv_shortcut" in variables["params"]) == changes
    x_short = normalize(variables, "norm_shortcut", convolve(variables, "conv_shortcut", x, stride)) if changes else x
    got = block.apply(variables, x, is_training=False)
    np.testing.assert_allclose(got, nn.relu(x_short + y), rtol=1e-4, atol=1e-4)


# --- SE-DenseNet-T and STCP-Net ---


def test_sedensenett_reads_the_frames_about_the_apex():
    """Of 18 frames, the apex is frame 9."""
    model = models.SEDenseNetT(frames=8, layers=(1, 1), growth=4)
    (face,) = (jax.random.normal(jax.random.key(0), each.shape) for each in input_shapes(model, 18))
    variables = jax.jit(lambda: model.init(jax.random.key(1), face, is_training=False))()
    answer = jax.jit(lambda face: model.apply(variables, face, is_training=False))
    frames = np.arange(18)
    about = jnp.asarray((frames >= 5) & (frames < 13))[:, None, None, None]
    np.testing.assert_array_equal(answer(face), answer(jnp.where(about, face, 0)))
    for frame in (5, 12):
        assert np.abs(answer(face) - answer(face.at[:, frame].set(0))).max() > 1e-6


def test_stcpnet_sees_differences_to_the_onset():
    model = models.STCPNet(features=8)
    (face,) = (jax.random.normal(jax.random.key(0), each.shape) for each in input_shapes(model, 11))
    variables = jax.jit(lambda: model.init(jax.random.key(1), face, is_training=False))()
    answer = jax.jit(lambda face: model.apply(variables, face, is_training=False))
    still = jax.random.normal(jax.random.key(2), (128, 128, 1))
    np.testing.assert_allclose(answer(face), answer(face + still), atol=1e-3)
    assert np.abs(answer(face) - answer(face.at[:, 6].add(still))).max() > 1e-3
    np.testing.assert_array_equal(answer(face), answer(face.at[:, 5].add(still)))  # frames 2, 4, 6, 8 and 10 are used


def test_stcpnet_refuses_sizes_and_short_clips():
    with pytest.raises(ConfigError, match="got features=12, differences=5; expected a multiple of 8"):
        count_parameters(models.STCPNet(features=12), 18)
    with pytest.raises(ConfigError, match=r"differences=4; expected .* at least 5 differences"):
        count_parameters(models.STCPNet(differences=4), 18)
    with pytest.raises(ShapeError, match=r"got a clip of 5 frames, expected at least 6 frames: .*; use more frames"):
        count_parameters(models.STCPNet(), 5)
