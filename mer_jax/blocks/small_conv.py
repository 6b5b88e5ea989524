"""2D convolution, ReLU, batch normalisation and max pooling of small pictures, fast on CPUs.

For motion features of 28x28 pixels XLA's convolutions and pools are slow on a CPU. One mathematics, three
implementations:

| name | what it is | fast on |
|---|---|---|
| `native` | C++ through JAX's foreign function interface, `mer_jax.native` | CPUs with a compiler |
| `tiled` | pure JAX, in tiles of some clips | CPUs |
| `plain` | XLA's own convolution, on the whole batch | GPUs, TPUs, and where devices share a batch |

In `native` and `tiled`:

* Normalisation with a positive scale is monotone, so it commutes with the maximum. The sums for the batch statistics
  and the pooled maximum are taken in one pass, and only pooled features are normalised. Where a scale is negative,
  the minimum is pooled.

In `native`, a row of the convolution is used while it is in registers and the cache, and computed again in the backward
pass. In `tiled`:

* A convolution is one matrix product of all patches. Streams that read the same pictures share it: their filters are
  concatenated.
* Batches are worked on in tiles of some clips, which stay in the cache from the patches to the pool.
* The backward pass keeps the output of the convolution and the place of each maximum, and makes the patches again.

`vmap`, forward mode and derivatives of every order work in all of them.

`benchmarks/small_net.py` measures it against the layers of Flax.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mer_jax.blocks import conv_pool
from mer_jax.blocks import small_conv_derivatives as derivatives
from mer_jax.blocks.small_pool import NO_PADDING, PLACE, Padding, Size2, max_pool, pooled_size
from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.native import conv_pool as native_library
from mer_jax.native import small_conv as native
from mer_jax.system.devices import DATA

IMPLEMENTATIONS = ("auto", "native", "tiled", "plain")
_only_plain: contextvars.ContextVar[bool] = contextvars.ContextVar("only_plain", default=False)
EPSILON = 1e-5  # added to variances, as in `nn.BatchNorm`

_CONVOLVED = "output of the convolution"  # name of the residual
_TILE = 1 << 19  # numbers in the patches and outputs of a tile: about 2 MB, of the order of a core's cache


@contextlib.contextmanager
def reference_operations() -> Iterator[None]:
    """Makes `auto` mean `plain` in what is traced inside: the same mathematics, in operations that XLA counts."""
    token = _only_plain.set(True)
    try:
        yield
    finally:
        _only_plain.reset(token)


def resolve(implementation: str = "auto", dtype: DTypeLike = jnp.float32, pool_size: Size2 = (1, 1)) -> str:
    """What `implementation` stands for on this machine, for pictures of this type.

    `auto` is `plain` on an accelerator, and where the devices of a mesh share batches. Else it is `native` where the
    library can be used, and `tiled` where it cannot. `benchmarks/small_net.py` measures them.

    Args:
        implementation: One of `IMPLEMENTATIONS`.
        dtype: Of the pictures and weights; `native` computes in float32.
        pool_size: (height, width) of windows.

    Raises:
        ConfigError: An unknown implementation, or `native` where it cannot be used.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"got implementation={implementation!r}; {near_names(str(implementation), IMPLEMENTATIONS)}")
    if implementation in ("tiled", "plain"):
        return implementation
    mesh = jax.sharding.get_abstract_mesh()
    shares_batch = not mesh.empty and mesh.shape.get(DATA, 1) > 1
    if implementation == "auto" and (jax.default_backend() != "cpu" or shares_batch or _only_plain.get()):
        return "plain"
    reason = _why_not_native(dtype, pool_size)
    if not reason:
        return "native"
    if implementation == "native":
        raise ConfigError(f"got implementation='native', which cannot be used: {reason}; expected 'auto' or 'tiled'")
    if reason == native_library.load():
        native_library.note_absence(reason)
    return "tiled"


def _why_not_native(dtype: DTypeLike, pool_size: Size2) -> str:
    if jax.default_backend() != "cpu":
        return f"it is for CPUs, and this is a {jax.default_backend()}"
    if jnp.finfo(dtype).bits > 32:
        return f"it computes in float32, and the pictures are {jnp.dtype(dtype).name}"
    if math.prod(pool_size) > native.LARGEST_WINDOW:
        return f"it has windows of at most {native.LARGEST_WINDOW} pixels, and these are {pool_size[0]}x{pool_size[1]}"
    return native_library.load()


# --- functions ----------------------------------------------------------------------


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
        ConfigError: See `resolve`.
        ShapeError: Pictures smaller than the filters.
    """
    return _conv_relu_pool(x, kernel, bias, None, _Form(padding), implementation)[0]


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
        ConfigError: See `resolve`; or pool padding as wide as the window.
        ShapeError: Pictures smaller than the filters or the window.
    """
    form = _Form(padding, pool_size, pool_padding)
    return _conv_relu_pool(x, kernel, bias, None, form, implementation)[0]


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
        ConfigError: See `resolve`; or pool padding as wide as the window.
        ShapeError: Pictures smaller than the filters or the window.

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 1; `nn.BatchNorm`.
    """
    sign = lax.stop_gradient(jnp.sign(scale))
    form = _Form(padding, pool_size, pool_padding, with_sums=statistics is None)
    pooled, sums = _conv_relu_pool(x, kernel, bias, sign, form, implementation)
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


@dataclasses.dataclass(frozen=True)
class _Form:
    """Sizes of one call, and the function in pure JAX as `small_conv_derivatives` differentiates it."""

    padding: Padding
    pool_size: Size2 = (1, 1)
    pool_padding: Padding = NO_PADDING
    with_sums: bool = False

    def __call__(self, x: Array, kernel: Array, bias: Array, sign: Array | None, name: str = "tiled"):
        def finish(y):
            z = jax.nn.relu(y)
            sums = jnp.zeros((0, z.shape[-1]))
            if self.with_sums:
                exact = z.astype(jnp.promote_types(z.dtype, jnp.float32))
                sums = jnp.stack([exact.sum((0, 1, 2)), (exact * exact).sum((0, 1, 2))])
            if math.prod(self.pool_size) > 1:
                z = max_pool(z, self.pool_size, self.pool_padding, sign=sign)
            return z, sums

        return _over_tiles(finish, x, kernel, bias, self.padding, name)


def _conv_relu_pool(
    x: Float[Array, "*b h w c"], kernel: Array, bias: Array, sign: Array | None, form: _Form, implementation: str
) -> tuple[Float[Array, "*b h2 w2 d"], Float[Array, "s d"]]:
    """Pooled features; and sums of values and of their squares over all pixels, if the form says so."""
    x, kernel, bias = promote_dtype(x, kernel, bias)
    convolved = _convolved_size(x, kernel, form.padding)
    size = pooled_size(convolved, form.pool_size, form.pool_padding)
    pictures = x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:])
    name = resolve(implementation, x.dtype, form.pool_size)
    if name == "native" and sign is None and math.prod(form.pool_size) > 1 and form.pool_padding == NO_PADDING:
        # Only the patches under the maxima have a gradient, of which the library of volumes makes use.
        volumes = jnp.pad(pictures, ((0, 0), *form.padding, (0, 0)))[:, None]
        pool = (1, *form.pool_size)
        pooled = conv_pool.conv_relu_pool(volumes, kernel[None], bias, pool_size=pool, implementation="native")[:, 0]
        sums = jnp.zeros((0, len(bias)))
    elif name == "native":
        single = jnp.float32
        window = (*form.padding[0], *form.padding[1]), (*form.pool_size, *form.pool_padding[0], *form.pool_padding[1])
        rule = derivatives.Implementation(form, size, window, 2 * form.with_sums)
        sign = jnp.ones(bias.shape) if sign is None else sign
        operands = (each.astype(single) for each in (pictures, kernel, bias, sign))
        pooled, sums = derivatives.differentiable(rule, *operands)
        pooled = pooled.astype(x.dtype)
    else:
        pooled, sums = form(pictures, kernel, bias, sign, name)
    return pooled.reshape(*x.shape[:-3], *pooled.shape[1:]), sums


def _over_tiles(
    finish: Callable[[Array], tuple[Array, Array]],
    pictures: Float[Array, "b h w c"],
    kernel: Array,
    bias: Array,
    padding: Padding,
    name: str,
) -> tuple[Array, Array]:
    """Convolves pictures and calls `finish`, tile by tile.

    Args:
        finish: From the convolution [n h2 w2 d] of some pictures to a result with a leading axis n, and to sums
            over these pictures.
        pictures: Pictures.
        kernel: Filters.
        bias: One number for each filter.
        padding: Of pictures.
        name: `tiled`, or `plain` for one tile.

    Returns:
        Results of all pictures, and total sums.
    """
    height, width = _convolved_size(pictures, kernel, padding)
    taps, d = math.prod(kernel.shape[:-1]), kernel.shape[-1]
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
        return run(pictures)
    size = -(-b // -(-b // limit))  # equal tiles, but for the last
    whole = b // size * size
    results, sums = lax.map(run, pictures[:whole].reshape(-1, size, *pictures.shape[1:]))
    results = results.reshape(whole, *results.shape[2:])
    sums = sums.sum(0)
    if whole < b:
        last, last_sums = run(pictures[whole:])
        results, sums = jnp.concatenate([results, last]), sums + last_sums
    return results, sums


def _convolve(x: Float[Array, "b h w c"], kernel: Array, padding: Padding) -> Float[Array, "b h2 w2 d"]:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _multiply_patches(x: Float[Array, "b h w c"], kernel: Array, padding: Padding) -> Float[Array, "b h2 w2 d"]:
    kh, kw, c, d = kernel.shape
    height, width = _convolved_size(x, kernel, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    parts = [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    patches = jnp.concatenate(parts, axis=-1).reshape(-1, kh * kw * c)
    return (patches @ kernel.reshape(-1, d)).reshape(len(x), height, width, d)
