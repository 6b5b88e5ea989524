"""2D convolution, ReLU, batch normalisation and max pooling of small pictures, fast on CPUs.

For motion features of 28x28 pixels XLA's convolutions and pools are slow on a CPU. Here, on a CPU:

* A convolution is one matrix product of all patches. Streams that read the same pictures share it: their filters are
  concatenated.
* Batches are worked on in tiles of some clips, which stay in the cache from the patches to the pool.
* Normalisation with a positive scale is monotone, so it commutes with the maximum. The sums for the batch statistics
  and the pooled maximum are taken in one pass, and only pooled features are normalised. Where a scale is negative,
  the minimum is pooled.
* The backward pass keeps the output of the convolution and the place of each maximum, and makes the patches again.

On GPUs and TPUs, and where devices share a batch, the same functions use XLA's convolution on the whole batch.
All of it is made of differentiable operations, so `vmap`, forward mode and derivatives of every order work.

`benchmarks/small_net.py` measures it against the layers of Flax.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mer_jax.blocks.small_pool import NO_PADDING, PLACE, Padding, Size2, max_pool
from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.system.devices import DATA

IMPLEMENTATIONS = ("auto", "tiled", "plain")
EPSILON = 1e-5  # added to variances, as in `nn.BatchNorm`

_CONVOLVED = "output of the convolution"  # name of the residual
_TILE = 1 << 19  # numbers in the patches and outputs of a tile: about 2 MB, of the order of a core's cache


def resolve(implementation: str = "auto") -> str:
    """What `implementation` stands for: `tiled` on a CPU whose devices do not share batches in a mesh, else `plain`.

    Args:
        implementation: One of `IMPLEMENTATIONS`.

    Raises:
        ConfigError: An unknown implementation.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"got implementation={implementation!r}; {near_names(str(implementation), IMPLEMENTATIONS)}")
    if implementation != "auto":
        return implementation
    mesh = jax.sharding.get_abstract_mesh()
    shares_batch = not mesh.empty and mesh.shape.get(DATA, 1) > 1
    return "tiled" if jax.default_backend() == "cpu" and not shares_batch else "plain"


# --- functions ----------------------------------------------------------------------


def conv(
    x: Float[Array, "*b h w c"],
    kernel: Float[Array, "kh kw c d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding = NO_PADDING,
    implementation: str = "auto",
) -> Float[Array, "*b h2 w2 d"]:
    """`conv(x, kernel) + bias` with a stride of 1; arguments as of `conv_relu`.

    Raises:
        ConfigError: An unknown implementation.
        ShapeError: Pictures smaller than the filters.
    """
    (y,), _ = _over_tiles(lambda y: ((y,), ()), x, kernel, bias, padding, implementation)
    return y


def conv_relu(
    x: Float[Array, "*b h w c"],
    kernel: Float[Array, "kh kw c d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding = NO_PADDING,
    implementation: str = "auto",
) -> Float[Array, "*b h2 w2 d"]:
    """`relu(conv(x, kernel) + bias)` with a stride of 1.

    Args:
        x: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        padding: ((top, bottom), (left, right)) of zeros, in pixels.
        implementation: One of `IMPLEMENTATIONS`.

    Raises:
        ConfigError: An unknown implementation.
        ShapeError: Pictures smaller than the filters.
    """
    (y,), _ = _over_tiles(lambda y: ((jax.nn.relu(y),), ()), x, kernel, bias, padding, implementation)
    return y


def conv_relu_pool(
    x: Float[Array, "*b h w c"],
    kernel: Float[Array, "kh kw c d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding = NO_PADDING,
    pool_size: Size2 = (2, 2),
    pool_padding: Padding = NO_PADDING,
    implementation: str = "auto",
) -> Float[Array, "*b h2 w2 d"]:
    """`max_pool(conv_relu(x, kernel, bias))`.

    Args:
        x: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        padding: ((top, bottom), (left, right)) of zeros around pictures, in pixels.
        pool_size: (height, width) of windows, and their stride.
        pool_padding: ((top, bottom), (left, right)) around the pooled features, in pixels.
        implementation: One of `IMPLEMENTATIONS`.

    Raises:
        ConfigError: An unknown implementation, or pool padding as wide as the window.
        ShapeError: Pictures smaller than the filters or the window.
    """

    def finish(y):
        return (max_pool(jax.nn.relu(y), pool_size, pool_padding),), ()

    (pooled,), _ = _over_tiles(finish, x, kernel, bias, padding, implementation)
    return pooled


def conv_relu_norm_pool(
    x: Float[Array, "*b h w c"],
    kernel: Float[Array, "kh kw c d"],
    bias: Float[Array, " d"],
    scale: Float[Array, " d"],
    offset: Float[Array, " d"],
    *,
    statistics: tuple[Float[Array, " d"], Float[Array, " d"]] | None = None,
    padding: Padding = NO_PADDING,
    pool_size: Size2 = (2, 2),
    pool_padding: Padding = NO_PADDING,
    implementation: str = "auto",
) -> tuple[Float[Array, "*b h2 w2 d"], tuple[Float[Array, " d"], Float[Array, " d"]]]:
    """`max_pool(batch_norm(conv_relu(x, kernel, bias)))`.

    Args:
        x: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        scale: Of the normalisation; any sign, or 0.
        offset: Of the normalisation.
        statistics: Mean and variance to normalise with, such as running averages; None for those of this batch.
        padding: ((top, bottom), (left, right)) of zeros around pictures, in pixels.
        pool_size: (height, width) of windows, and their stride.
        pool_padding: ((top, bottom), (left, right)) around the pooled features, in pixels.
        implementation: One of `IMPLEMENTATIONS`.

    Returns:
        Pooled features in the type of the convolution; the mean and the biased variance that they were normalised
        with, in float32 or wider.

    Raises:
        ConfigError: An unknown implementation, or pool padding as wide as the window.
        ShapeError: Pictures smaller than the filters or the window.

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 1; `nn.BatchNorm`.
    """
    sign = lax.stop_gradient(jnp.sign(scale))

    def finish(y):
        z = jax.nn.relu(y)
        sums = ()
        if statistics is None:
            exact = z.astype(jnp.promote_types(z.dtype, jnp.float32))
            sums = exact.sum((0, 1, 2)), (exact * exact).sum((0, 1, 2))
        return (max_pool(z, pool_size, pool_padding, sign=sign),), sums

    (pooled,), sums = _over_tiles(finish, x, kernel, bias, padding, implementation)
    if statistics is None:
        number = math.prod(x.shape[:-3]) * math.prod(_convolved_size(x, kernel, padding))
        mean = sums[0] / number
        statistics = mean, jnp.maximum(0.0, sums[1] / number - mean * mean)
    mean, variance = statistics
    normalized = (pooled - mean) * (lax.rsqrt(variance + EPSILON) * scale) + offset
    return normalized.astype(pooled.dtype), (mean, variance)


def _convolved_size(x: Array, kernel: Array, padding: Padding) -> Size2:
    height, width = (n + sum(edge) - k + 1 for n, k, edge in zip(x.shape[-3:-1], kernel.shape, padding, strict=False))
    if height < 1 or width < 1:
        raise ShapeError(
            f"got pictures of {x.shape[-3]}x{x.shape[-2]} (height x width) with padding {padding}, expected at least "
            f"{kernel.shape[0]}x{kernel.shape[1]}, one filter; use larger pictures or a smaller kernel"
        )
    return height, width


def _over_tiles(
    finish: Callable[[Array], tuple[Any, Any]],
    x: Float[Array, "*b h w c"],
    kernel: Array,
    bias: Array,
    padding: Padding,
    implementation: str,
) -> tuple[Any, Any]:
    """Convolves pictures and calls `finish`, tile by tile.

    Args:
        finish: From the convolution [n h2 w2 d] of some pictures to results with a leading axis n, and to sums over
            these pictures.
        x: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        padding: Of pictures.
        implementation: One of `IMPLEMENTATIONS`.

    Returns:
        Results of all pictures, with their leading axes, and total sums.
    """
    name = resolve(implementation)
    x, kernel, bias = promote_dtype(x, kernel, bias)
    height, width = _convolved_size(x, kernel, padding)
    taps, d = math.prod(kernel.shape[:-1]), kernel.shape[-1]
    pictures = x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:])
    b = len(pictures)
    convolve = _multiply_patches if name == "tiled" else _convolve

    def run(pictures):
        y = checkpoint_name(convolve(pictures, kernel, padding) + bias, _CONVOLVED)
        return finish(y)

    if name == "tiled":  # keeps no patches for the backward pass
        policy = jax.checkpoint_policies.save_only_these_names(_CONVOLVED, PLACE)
        run = jax.checkpoint(run, prevent_cse=False, policy=policy)
    limit = max(1, _TILE // (height * width * (taps + d))) if name == "tiled" else b
    if b <= limit:
        results, sums = run(pictures)
    else:
        size = -(-b // -(-b // limit))  # equal tiles, but for the last
        whole = b // size * size
        results, sums = lax.map(run, pictures[:whole].reshape(-1, size, *pictures.shape[1:]))
        results = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), results)
        sums = jax.tree.map(lambda a: a.sum(0), sums)
        if whole < b:
            last, last_sums = run(pictures[whole:])
            results = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), results, last)
            sums = jax.tree.map(jnp.add, sums, last_sums)
    return jax.tree.map(lambda a: a.reshape(*x.shape[:-3], *a.shape[1:]), results), sums


def _convolve(x: Float[Array, "b h w c"], kernel: Array, padding: Padding) -> Float[Array, "b h2 w2 d"]:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _multiply_patches(x: Float[Array, "b h w c"], kernel: Array, padding: Padding) -> Float[Array, "b h2 w2 d"]:
    kh, kw, c, d = kernel.shape
    height, width = _convolved_size(x, kernel, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    parts = [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    patches = jnp.concatenate(parts, axis=-1).reshape(-1, kh * kw * c)
    return (patches @ kernel.reshape(-1, d)).reshape(len(x), height, width, d)
