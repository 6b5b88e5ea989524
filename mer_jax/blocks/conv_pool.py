"""3D convolution, ReLU and 3D max pooling as one function, fast on a CPU.

XLA runs 2D convolutions and matrix products through tuned kernels on a CPU, but not
3D convolutions, nor the backward pass of a max pool. `conv_relu_pool` computes the
same mathematics, with the same first-maximum-wins rule on ties, in another order:

* The `pt` frames of a pooling window become `pt * d` output channels of one 2D
  convolution, whose `kt + pt - 1` input frames are its input channels.
* The bias and the ReLU come after the pool: both are monotone, so they commute with
  a maximum, on an array `pt * ph * pw` times smaller.
* The backward pass keeps the pooled output and the position of each maximum (one
  small integer) and nothing else. The gradient of the kernel reads only the input
  patches under the maxima.
* One clip is worked on at a time, so that intermediates stay in cache and the memory
  allocator stays out of the way.

`benchmarks/conv_pool.py` measures it against `nn.Conv` and `nn.max_pool`.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float, Integer

from mer_jax.errors import ConfigError, ShapeError, near_names

IMPLEMENTATIONS = ("auto", "tiled", "direct")

Size3 = tuple[int, int, int]


class ConvReluPool(nn.Module):
    """Conv3D ("valid", stride 1), ReLU, MaxPool3D (window = stride).

    Parameters: `kernel` [kt, kh, kw, c, d], `bias` [d]; `kt*kh*kw*c*d + d` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: filters d.
        kernel_size: (kt, kh, kw) in frames and pixels.
        pool_size: (pt, ph, pw); frames and pixels that do not fill a window are left
            out, as "valid" pooling does.
        implementation: `"tiled"` (see the module), `"direct"` (XLA's own 3D
            convolution and pooling), or `"auto"`: tiled on a CPU, direct elsewhere.

    Source: sections 3.4.1 and 5.3 of the paper give the order of layers; sizes are ours.
    """

    features: int = 32
    kernel_size: Size3 = (3, 3, 3)
    pool_size: Size3 = (3, 3, 3)
    implementation: str = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"]) -> Float[Array, "*b t2 h2 w2 d"]:
        """Maps clips to pooled features.

        Raises:
            ShapeError: the clip is too short or too small for kernel and pool.
        """
        kernel = self.param("kernel", nn.initializers.he_normal(), (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return conv_relu_pool(x, kernel, bias, pool_size=self.pool_size, implementation=self.implementation)


def output_size(size: Sequence[int], kernel_size: Size3, pool_size: Size3) -> Size3:
    """Frames, height and width that come out of `conv_relu_pool`.

    Args:
        size: (t, h, w) of the clip.
        kernel_size: (kt, kh, kw).
        pool_size: (pt, ph, pw).

    Raises:
        ShapeError: nothing would come out.

    Example:
        >>> output_size((18, 64, 128), (3, 3, 3), (3, 3, 3))
        (5, 20, 42)
    """
    needed = [k + p - 1 for k, p in zip(kernel_size, pool_size, strict=True)]
    if any(s < n for s, n in zip(size, needed, strict=True)):
        raise ShapeError(
            f"got a clip of {size[0]} frames of {size[1]}x{size[2]} (height x width), expected at least "
            f"{needed[0]} frames of {needed[1]}x{needed[2]} for kernel {tuple(kernel_size)} and pool "
            f"{tuple(pool_size)}; use more frames, or a smaller kernel_size or pool_size"
        )
    t, h, w = ((s - k + 1) // p for s, k, p in zip(size, kernel_size, pool_size, strict=True))
    return t, h, w


def conv_relu_pool(
    x: Float[Array, "*b t h w c"],
    kernel: Float[Array, "kt kh kw c d"],
    bias: Float[Array, " d"],
    *,
    pool_size: Size3 = (3, 3, 3),
    implementation: str = "auto",
) -> Float[Array, "*b t2 h2 w2 d"]:
    """`max_pool(relu(conv3d(x, kernel) + bias))`, "valid", pool stride = pool size.

    Args:
        x: clips.
        kernel: filters.
        bias: one number a filter.
        pool_size: (pt, ph, pw).
        implementation: one of `IMPLEMENTATIONS`.

    Returns:
        Pooled features; t2 = (t - kt + 1) // pt, and so for h and w.

    Raises:
        ConfigError: unknown implementation.
        ShapeError: see `output_size`.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"got implementation={implementation!r}; {near_names(implementation, IMPLEMENTATIONS)}")
    if implementation == "auto":
        implementation = "tiled" if jax.default_backend() == "cpu" else "direct"
    x, kernel, bias = promote_dtype(x, kernel, bias)
    kernel_size = kernel.shape[:3]
    out = output_size(x.shape[-4:-1], kernel_size, pool_size)
    batch = x.shape[:-4]
    # Frames and pixels that no pooling window reads would be convolved for nothing.
    used = tuple(o * p + k - 1 for o, p, k in zip(out, pool_size, kernel_size, strict=True))
    x = x[..., : used[0], : used[1], : used[2], :].reshape(-1, *used, x.shape[-1])
    function = _tiled if implementation == "tiled" else _direct
    return function(x, kernel, bias, tuple(pool_size)).reshape(*batch, *out, -1)


def _direct(x: Array, kernel: Array, bias: Array, pool_size: Size3) -> Array:
    y = lax.conv_general_dilated(x, kernel, (1, 1, 1), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
    window = (1, *pool_size, 1)
    y = lax.reduce_window(y, -jnp.inf, lax.max, window, window, "VALID")
    return jax.nn.relu(y + bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _tiled(x: Array, kernel: Array, bias: Array, pool_size: Size3) -> Array:
    def one(clip):
        return jax.nn.relu(_window_max(_grouped_conv(clip, kernel, pool_size[0]), pool_size, False)[0] + bias)

    return lax.map(one, x)


def _tiled_forward(x, kernel, bias, pool_size):
    def one(clip):
        # The barrier keeps XLA from fusing the convolution into every comparison.
        y = lax.optimization_barrier(_grouped_conv(clip, kernel, pool_size[0]))
        pooled, position = _window_max(y, pool_size, True)
        return jax.nn.relu(pooled + bias), position

    out, position = lax.map(one, x)
    return out, (x, kernel, out, position)


def _tiled_backward(pool_size, residuals, cotangent):
    x, kernel, out, position = residuals
    cotangent = jnp.where(out > 0, cotangent, 0)

    def add_clip(total, clip):
        x_clip, position_clip, g = clip
        return total + _kernel_gradient(x_clip, position_clip, g, kernel.shape, pool_size), None

    kernel_bar, _ = lax.scan(add_clip, jnp.zeros_like(kernel), (x, position, cotangent))
    # A map of its own: where nobody asks for the gradient of the input, XLA drops it whole.
    x_bar = lax.map(lambda clip: _input_gradient(*clip, kernel, pool_size), (position, cotangent))
    return x_bar, kernel_bar, cotangent.sum((0, 1, 2, 3))


_tiled.defvjp(_tiled_forward, _tiled_backward)


def _grouped_conv(clip: Float[Array, "t h w c"], kernel: Array, pool_t: int) -> Float[Array, "t2 h3 w3 pt d"]:
    """Convolution of one clip, its output frames grouped by pooling window."""
    kt, kh, kw, c, d = kernel.shape
    frames = clip.shape[0] - kt + 1
    taps = kt + pool_t - 1
    x = jnp.stack([clip[i : i + frames : pool_t] for i in range(taps)], axis=-2)  # t2 h w taps c
    x = x.reshape(*x.shape[:3], taps * c)
    # Output frame i of a window sees taps i .. i + kt - 1: shifted copies of the kernel side by side.
    banded = jnp.stack([jnp.pad(kernel, ((i, pool_t - 1 - i), *[(0, 0)] * 4)) for i in range(pool_t)], axis=-2)
    banded = banded.transpose(1, 2, 0, 3, 4, 5).reshape(kh, kw, taps * c, pool_t * d)
    y = lax.conv_general_dilated(x, banded, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y.reshape(*y.shape[:3], pool_t, d)


def _window_max(
    y: Float[Array, "t2 h3 w3 pt d"], pool_size: Size3, with_position: bool
) -> tuple[Float[Array, "t2 h2 w2 d"], Integer[Array, "t2 h2 w2 d"] | None]:
    """Maximum over each window and where its first one (in t, h, w order) stands."""
    pt, ph, pw = pool_size
    t2, h3, w3, _, d = y.shape
    y = y.reshape(t2, h3 // ph, ph, w3 // pw, pw, pt, d)
    dtype = jnp.uint8 if pt * ph * pw <= 256 else jnp.int32
    # One axis at a time, w first: within equal values the smallest t, then h, then w survives.
    best, at = _first_max([(y[:, :, :, :, i], jnp.asarray(i, dtype)) for i in range(pw)], with_position)
    rows = [(best[:, :, i], None if at is None else at[:, :, i] + jnp.asarray(i * pw, dtype)) for i in range(ph)]
    best, at = _first_max(rows, with_position)
    frames = [
        (best[..., i, :], None if at is None else at[..., i, :] + jnp.asarray(i * ph * pw, dtype)) for i in range(pt)
    ]
    return _first_max(frames, with_position)


def _first_max(candidates, with_position):
    best, at = candidates[0]
    if with_position:
        at = jnp.broadcast_to(at, best.shape)
    for value, position in candidates[1:]:
        if with_position:
            at = jnp.where(value > best, position, at)
        best = jnp.maximum(best, value)
    return best, at if with_position else None


def _kernel_gradient(clip, position, g, kernel_shape, pool_size):
    """Sum over outputs of the patch under the maximum times the cotangent."""
    kt, kh, kw, c, d = kernel_shape
    _, h, w, _ = clip.shape
    pt, ph, pw = pool_size
    t_out, h_out, w_out = (lax.broadcasted_iota(jnp.int32, position.shape, i) for i in range(3))
    k = position.astype(jnp.int32)
    t = t_out * pt + k // (ph * pw)
    row = h_out * ph + k // pw % ph
    column = w_out * pw + k % pw
    start = lax.optimization_barrier(((t * h + row) * w + column).reshape(-1, d))
    g = g.reshape(-1, d)
    flat = clip.reshape(-1)

    def one_plane(i):  # one frame of the kernel and one input channel
        frame, channel = i // c, i % c
        offsets = (((frame * h + j) * w + k) * c + channel for j in range(kh) for k in range(kw))
        taps = [flat.at[start * c + offset].get(mode="promise_in_bounds") for offset in offsets]
        return jnp.stack([(tap * g).sum(0) for tap in taps])

    planes = lax.map(one_plane, jnp.arange(kt * c, dtype=jnp.int32))
    return planes.reshape(kt, c, kh, kw, d).transpose(0, 2, 3, 1, 4)


def _input_gradient(position, g, kernel, pool_size):
    """The cotangent put back to where each maximum was, through the transposed convolution."""
    kt, kh, kw, c, d = kernel.shape
    pt, ph, pw = pool_size
    t2, h2, w2, _ = g.shape
    window = jnp.arange(pt * ph * pw, dtype=position.dtype).reshape(pt, 1, ph, 1, pw, 1)
    spread = jnp.where(position[:, None, :, None, :, None] == window, g[:, None, :, None, :, None], 0)
    spread = spread.reshape(t2 * pt, h2 * ph, w2 * pw, d)
    size = (t2 * pt + kt - 1, h2 * ph + kh - 1, w2 * pw + kw - 1, c)
    transpose = jax.linear_transpose(lambda clip: _grouped_conv(clip, kernel, 1), jax.ShapeDtypeStruct(size, g.dtype))
    return transpose(spread[..., None, :])[0]
