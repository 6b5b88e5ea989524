"""Convolution, ReLU, sums for batch statistics and max pool of small pictures in C++.

The three functions that `mer_jax.blocks.small_conv_derivatives` calls, once `conv_pool.load` has found the library.
float32 on a CPU. Pictures of one group g share their filters.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from mer_jax.native.conv_pool import target_name

LARGEST_WINDOW = 256  # pixels; places in it are counted in one byte

Window = tuple[tuple[int, int, int, int], tuple[int, int, int, int, int, int]]
"""Zeros around pictures (top, bottom, left, right); height and width of the pool and its padding likewise."""


def forward(
    x: Float[Array, "g b h w c"],
    kernel: Float[Array, "g kh kw c d"],
    bias: Float[Array, "g d"],
    sign: Float[Array, "g d"],
    size: tuple[int, int],
    window: Window,
    *,
    num_sums: int,
) -> tuple[Float[Array, "g b h2 w2 d"], UInt8[Array, "g b h2 w2 d"], Float[Array, "g s d"]]:
    """Convolves, rectifies and pools.

    Args:
        x: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        sign: 1, -1 or 0 for each filter: its maximum, its minimum or the first value of each window is pooled.
        size: (h2, w2) of the result.
        window: See `Window`.
        num_sums: 2 for sums of values and of their squares over all pixels, 0 for none.

    Returns:
        Pooled features, the place of each in its window (row by row), and sums.
    """
    shape = (*x.shape[:2], *size, kernel.shape[-1])
    results = (
        jax.ShapeDtypeStruct(shape, jnp.float32),
        jax.ShapeDtypeStruct(shape, jnp.uint8),
        jax.ShapeDtypeStruct((x.shape[0], num_sums, kernel.shape[-1]), jnp.float32),
    )
    pooled, place, sums = _call("forward", results, window)(x, kernel, bias, sign)
    return pooled, place, sums


def weight_gradient(x, kernel, bias, place, pooled_bar, sums_bar, window: Window) -> tuple[Array, Array]:
    """Gradients of filters and bias from those of pooled features and sums."""
    results = jax.ShapeDtypeStruct(kernel.shape, jnp.float32), jax.ShapeDtypeStruct(bias.shape, jnp.float32)
    kernel_bar, bias_bar = _call("weight_gradient", results, window)(x, kernel, bias, place, pooled_bar, sums_bar)
    return kernel_bar, bias_bar


def input_gradient(x, kernel, bias, place, pooled_bar, sums_bar, window: Window) -> Array:
    """Gradient of pictures."""
    result = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    return _call("input_gradient", result, window)(x, kernel, bias, place, pooled_bar, sums_bar)


def _call(target, result, window: Window):
    padding, pool = (np.asarray(each, np.int64) for each in window)
    call = jax.ffi.ffi_call(target_name(f"small_conv_{target}"), result)
    return functools.partial(call, padding=padding, pool=pool)
