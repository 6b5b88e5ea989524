"""The fast convolution against XLA's own and against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.conv_pool import ConvReluPool, conv_relu_pool, output_size
from mer_jax.errors import ConfigError, ShapeError

# (t, h, w), channels, kernel, pool: odd sizes, leftovers, uneven pools, several channels.
CASES = [
    ((18, 31, 40), 1, (3, 3, 3), (3, 3, 3)),
    ((9, 20, 23), 3, (2, 5, 3), (4, 2, 5)),
    ((17, 20, 20), 2, (15, 3, 3), (3, 3, 3)),
    ((18, 34, 34), 1, (3, 3, 3), (4, 8, 8)),
    ((6, 40, 40), 1, (3, 3, 3), (4, 17, 17)),  # more than 256 places in a window
    ((4, 5, 6), 1, (1, 1, 1), (1, 1, 1)),
]


def make_case(size, channels, kernel_size, *, levels=None):
    keys = jax.random.split(jax.random.key(3), 3)
    x = jax.random.normal(keys[0], (3, *size, channels))
    kernel = jax.random.normal(keys[1], (*kernel_size, channels, 7))
    if levels:  # few different values: many exact ties
        x, kernel = jnp.round(x * levels) / levels, jnp.round(kernel * levels) / levels
    return x, kernel, jax.random.normal(keys[2], (7,))


def value_and_gradients(implementation, case, pool_size):
    def weighted(x, kernel, bias):
        y = conv_relu_pool(x, kernel, bias, pool_size=pool_size, implementation=implementation)
        # Weights that differ from place to place, so that a gradient in the wrong place shows.
        return (y * jnp.sin(jnp.arange(y.size)).reshape(y.shape)).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1, 2), has_aux=True))(*case)
    return (y, *gradients)


@pytest.mark.parametrize("levels", [None, 1], ids=["smooth", "ties"])
@pytest.mark.parametrize(("size", "channels", "kernel_size", "pool_size"), CASES)
def test_tiled_equals_direct_in_value_and_gradient(size, channels, kernel_size, pool_size, levels):
    case = make_case(size, channels, kernel_size, levels=levels)
    names = ("value", "gradient of x", "gradient of kernel", "gradient of bias")
    direct = value_and_gradients("direct", case, pool_size)
    for name, expected, got in zip(names, direct, value_and_gradients("tiled", case, pool_size), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got / scale, expected / scale, atol=1e-5, err_msg=name)


def test_against_numpy():
    size, channels, kernel_size, pool_size = CASES[1]
    x, kernel, bias = (np.asarray(a, np.float64) for a in make_case(size, channels, kernel_size))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(1, 2, 3))  # b t h w c kt kh kw
    y = np.maximum(np.einsum("bthwcijk,ijkcd->bthwd", windows, kernel) + bias, 0)
    t, h, w = output_size(size, kernel_size, pool_size)
    (pt, ph, pw), d = pool_size, kernel.shape[-1]
    y = y[:, : t * pt, : h * ph, : w * pw].reshape(-1, t, pt, h, ph, w, pw, d).max((2, 4, 6))
    for implementation in ("tiled", "direct"):
        got = conv_relu_pool(
            *make_case(size, channels, kernel_size), pool_size=pool_size, implementation=implementation
        )
        np.testing.assert_allclose(got, y, atol=1e-4)


def test_first_of_equal_maxima_gets_the_gradient():
    x = jnp.ones((1, 3, 3, 3, 1))
    kernel, bias = jnp.ones((1, 1, 1, 1, 1)), jnp.zeros(1)
    gradient = jax.grad(lambda x: conv_relu_pool(x, kernel, bias, implementation="tiled").sum())(x)
    assert gradient[0, 0, 0, 0, 0] == 1
    assert gradient.sum() == 1


def test_leading_axes_are_free():
    x, kernel, bias = make_case((6, 8, 8), 1, (3, 3, 3))
    batched = conv_relu_pool(x, kernel, bias, implementation="tiled")
    np.testing.assert_array_equal(conv_relu_pool(x[0], kernel, bias, implementation="tiled"), batched[0])
    two_axes = conv_relu_pool(x[:, None], kernel, bias, implementation="tiled")
    np.testing.assert_array_equal(two_axes, batched[:, None])


def test_module_equals_flax_conv():
    import flax.linen as nn

    class Naive(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(5, (3, 3, 3), padding="VALID", name="conv")(x))
            return nn.max_pool(x, (2, 2, 2), strides=(2, 2, 2))

    x = jax.random.normal(jax.random.key(0), (2, 8, 10, 12, 1))
    fast = ConvReluPool(5, (3, 3, 3), (2, 2, 2), "tiled")
    params = fast.init(jax.random.key(1), x)["params"]
    expected = Naive().apply({"params": {"conv": params}}, x)
    np.testing.assert_allclose(fast.apply({"params": params}, x), expected, atol=1e-5)


def test_too_few_frames_are_refused():
    with pytest.raises(ShapeError, match=r"got a clip of 4 frames of 8x9 .* at least 5 frames of 5x5"):
        output_size((4, 8, 9), (3, 3, 3), (3, 3, 3))


def test_unknown_implementation_is_refused():
    x, kernel, bias = make_case((6, 8, 8), 1, (3, 3, 3))
    with pytest.raises(ConfigError, match="did you mean 'tiled'"):
        conv_relu_pool(x, kernel, bias, implementation="tilde")
