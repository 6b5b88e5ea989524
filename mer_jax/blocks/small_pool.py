"""Pooling of small pictures over windows that do not overlap, with a gradient that is fast on CPUs.

XLA computes the gradient of `nn.max_pool` by a scatter, which on a CPU takes as long as everything else in a small
network. Windows that do not overlap are a reshape: the gradient is one comparison with the place of the maximum. It is
written as a linear map, which JAX transposes and differentiates again, so derivatives of every order work, in forward
and reverse mode, and under `vmap`.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Integer

from mer_jax.errors import ConfigError, ShapeError

Size2 = tuple[int, int]
Padding = tuple[Size2, Size2]  # (top, bottom), (left, right)

NO_PADDING: Padding = ((0, 0), (0, 0))
PLACE = "place of the maximum"  # name of the residual, for `jax.checkpoint` policies


def max_pool(
    x: Float[Array, "*b h w c"], size: Size2, padding: Padding = NO_PADDING, *, sign: Float[Array, " c"] | None = None
) -> Float[Array, "*b h2 w2 c"]:
    """`nn.max_pool` with a stride equal to the window size; the first of equal maxima gets the gradient.

    Rows and columns that do not fill a window are left out. A NaN in a window is its maximum.

    Args:
        x: Pictures.
        size: (height, width) of a window in pixels.
        padding: ((top, bottom), (left, right)) in pixels, each less than the window; it never wins.
        sign: 1, -1 or 0 for each channel, to pool as if channels were multiplied by it, and return the values of `x`
            there: the maximum, the minimum, or the first value in the window. None for the maximum.

    Raises:
        ConfigError: Padding as wide as the window.
        ShapeError: Pictures smaller than one window.

    Example:
        >>> max_pool(jnp.arange(16.0).reshape(4, 4, 1), (2, 2))[..., 0].tolist()
        [[5.0, 7.0], [13.0, 15.0]]
    """
    pooled_size(x.shape[-3:-1], size, padding)  # raises
    pictures = x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:])
    pooled = _pool(pictures, sign, size, padding)
    return pooled.reshape(*x.shape[:-3], *pooled.shape[1:])


def avg_pool(x: Float[Array, "*b h w c"], size: Size2) -> Float[Array, "*b h2 w2 c"]:
    """`nn.avg_pool` with a stride equal to the window size.

    Rows and columns that do not fill a window are left out.

    Args:
        x: Pictures.
        size: (height, width) of a window in pixels.

    Raises:
        ShapeError: Pictures smaller than one window.

    Example:
        >>> avg_pool(jnp.arange(16.0).reshape(4, 4, 1), (2, 2))[..., 0].tolist()
        [[2.5, 4.5], [10.5, 12.5]]
    """
    (ph, pw), (height, width) = size, pooled_size(x.shape[-3:-1], size, NO_PADDING)
    cropped = x[..., : height * ph, : width * pw, :]
    return cropped.reshape(*x.shape[:-3], height, ph, width, pw, x.shape[-1]).mean((-4, -2))


def pooled_size(picture: tuple[int, ...], size: Size2, padding: Padding) -> Size2:
    """Height and width that come out of `max_pool`.

    Args:
        picture: (height, width) in pixels.
        size: As for `max_pool`.
        padding: As for `max_pool`.

    Raises:
        ConfigError: Padding as wide as the window.
        ShapeError: Pictures smaller than one window.
    """
    if any(side >= length for sides, length in zip(padding, size, strict=True) for side in sides):
        raise ConfigError(f"got pool padding {padding} for windows of {size}; expected less than a window on each side")
    height, width = (
        (pixels + sum(sides)) // length for pixels, sides, length in zip(picture, padding, size, strict=True)
    )
    if not height or not width:
        raise ShapeError(
            f"got pictures of {picture[0]}x{picture[1]} (height x width) with padding {padding}, expected at least "
            f"{size[0]}x{size[1]}, one pooling window; use larger pictures or a smaller pool"
        )
    return height, width


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _pool(x: Array, sign: Array | None, size: Size2, padding: Padding) -> Array:
    return _first_max(x, sign, size, padding)[0]


@_pool.defjvp
def _pool_jvp(size, padding, primals, tangents):
    x, sign = primals
    pooled, place = _first_max(x, sign, size, padding)
    place = checkpoint_name(place, PLACE)
    (ph, pw), (b, height, width, c) = size, pooled.shape
    windows = _whole_windows(tangents[0], size, padding, 0).reshape(b, height, ph, width, pw, c)
    places = jnp.arange(ph * pw, dtype=place.dtype).reshape(ph, 1, pw, 1)
    # One place of each window is picked, so the sum is exact.
    return pooled, jnp.where(place[:, :, None, :, None] == places, windows, 0).sum((2, 4))


def _first_max(
    x: Float[Array, "b h w c"], sign: Array | None, size: Size2, padding: Padding
) -> tuple[Float[Array, "b h2 w2 c"], Integer[Array, "b h2 w2 c"]]:
    """The pooled values, and the place of each in its window, counted row by row."""
    ph, pw = size
    keys = _whole_windows(x if sign is None else x * sign.astype(x.dtype), size, padding, -np.inf)
    values = keys if sign is None else _whole_windows(x, size, padding, 0)
    best, value = keys[:, ::ph, ::pw], values[:, ::ph, ::pw]
    dtype = jnp.uint8 if ph * pw <= 256 else jnp.int32
    place = jnp.zeros(best.shape, dtype)
    for number in range(1, ph * pw):
        row, column = divmod(number, pw)
        key = keys[:, row::ph, column::pw]
        wins = (key > best) | jnp.isnan(key)
        place = jnp.where(wins, jnp.asarray(number, dtype), place)
        value = jnp.where(wins, values[:, row::ph, column::pw], value)
        best = jnp.where(wins, key, best)
    return value, place


def _whole_windows(x: Float[Array, "b h w c"], size: Size2, padding: Padding, fill: float) -> Array:
    """Pads pictures and crops them to whole windows."""
    edges = [(0, 0, 0)]
    for pixels, length, (before, after) in zip(x.shape[1:3], size, padding, strict=True):
        used = (pixels + before + after) // length * length
        edges.append((before, used - before - pixels, 0))
    return lax.pad(x, jnp.asarray(fill, x.dtype), [*edges, (0, 0, 0)])
