"""Convolution, ReLU and max pool in pure JAX, built from operations that accelerators and CPUs run fast.

XLA runs 2D convolutions and matrix products through tuned kernels, but on a CPU not 3D
convolutions, and nowhere the backward pass of a max pool. The same mathematics in
another order, with the same first-maximum-wins rule on ties:

* The `pt` frames of a pooling window become `pt * d` output channels of one 2D
  convolution, whose `kt + pt - 1` input frames are its input channels.
* The bias and the ReLU come after the pool: both are monotone, so they commute with
  a maximum, on an array `pt * ph * pw` times smaller.
* The backward pass keeps the pooled output and the position of each maximum (one
  small integer) and nothing else.

What is left to choose is how many clips are worked on at a time, how the convolution is
written, and how the gradient of the kernel is summed:

* `fused` writes out the sums and the maximum as arithmetic on shifted clips. XLA makes one
  loop of it, which keeps the convolution in registers. For CPUs and few input channels.
* `gather` reads only the input patches under the maxima: least arithmetic, for CPUs.
* `masked` puts the cotangents back to where the maxima were, zeros elsewhere, and
  transposes the convolution: no gather, so for TPUs too.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Integer

from mer_jax.blocks.conv_pool_derivatives import Size3, differentiable


class Form(NamedTuple):
    """The static parameters of the convolution in pure JAX.

    Attributes:
        pool_size: (pt, ph, pw).
        pool_stride: (st, sh, sw).
        chunk: Clips worked on at a time; 0 for all.
        gradient: Of the kernel, `gather` or `masked`.
        fused: Arithmetic on shifted clips, and so many of the axes t, h, w pooled after it, as `num_separate` says;
            None for a 2D convolution.
    """

    pool_size: Size3
    pool_stride: Size3
    chunk: int
    gradient: str
    fused: int | None = None

    def infer(self, x: Array, kernel: Array, bias: Array) -> Array:
        """Returns pooled features."""
        return _pooled_features(x, kernel, bias, self, with_position=False)[0]

    def forward(self, x: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
        """Returns pooled features and the position of each maximum in its window."""
        out, position = _pooled_features(x, kernel, bias, self, with_position=True)
        assert position is not None
        return out, position

    def kernel_gradient(
        self, x: Array, cotangent: Array, out: Array, position: Array, kernel: jax.ShapeDtypeStruct
    ) -> tuple[Array, Array]:
        """Returns the gradients of filters and bias."""
        cotangent = jnp.where(out > 0, cotangent, 0)
        function = {"gather": _gathered_gradient, "masked": _masked_gradient}[self.gradient]
        gradient = _sum_chunks(lambda x, at, g: function(x, at, g, kernel, self), (x, position, cotangent), self.chunk)
        return gradient.astype(kernel.dtype), cotangent.sum((0, 1, 2, 3))

    def input_gradient(
        self, kernel: Array, cotangent: Array, out: Array, position: Array, x: jax.ShapeDtypeStruct
    ) -> Array:
        """Returns the gradient of clips."""
        cotangent = jnp.where(out > 0, cotangent, 0)
        return _map_chunks(lambda at, g: _input_gradient(at, g, x, kernel, self), (position, cotangent), self.chunk)


def grouped_conv_relu_pool(x: Array, kernel: Array, bias: Array, form: Form) -> Array:
    """Returns pooled features [b t2 h2 w2 d] of clips [b t h w c] that the windows use up exactly."""
    return differentiable(form, x, kernel, bias)


def _map_chunks(function, arrays, size):
    """`function` of the first `size` clips, the next, and so on; the last chunk may be smaller."""
    clips = arrays[0].shape[0]
    if size == 0 or 0 < clips <= size:
        return function(*arrays)
    chunks, whole = clips // size, clips // size * size
    mapped = lax.map(lambda chunk: function(*chunk), [a[:whole].reshape(chunks, size, *a.shape[1:]) for a in arrays])
    mapped = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), mapped)
    if whole == clips:
        return mapped
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), mapped, function(*[a[whole:] for a in arrays]))


def _sum_chunks(function, arrays, size):
    """The same, and the results added up in order."""
    clips = arrays[0].shape[0]
    if size == 0 or 0 < clips <= size:
        return function(*arrays)
    chunks, whole = clips // size, clips // size * size
    split = [a[:whole].reshape(chunks, size, *a.shape[1:]) for a in arrays]
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(function, *[a[0] for a in split]))
    total, _ = lax.scan(lambda total, chunk: (total + function(*chunk), None), zero, split)
    return total if whole == clips else total + function(*[a[whole:] for a in arrays])


def _pooled_features(
    x: Float[Array, "b t h w c"], kernel: Array, bias: Array, form: Form, *, with_position: bool
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"] | None]:
    """What comes out, and where in each window the first maximum (in t, h, w order) stands."""

    def convolve(x):
        y = _grouped_conv(x, kernel, form)
        # The barrier keeps XLA from fusing the convolution into every comparison.
        return _window_max(lax.optimization_barrier(y) if with_position else y, form, with_position)

    def activate(best, position):
        return jax.nn.relu(best.astype(x.dtype) + bias), position

    if form.fused is None:
        return _map_chunks(lambda x: activate(*convolve(x)), (x,), form.chunk)
    convolved = _fused_conv(x, kernel, form=form, with_position=with_position)

    def finish(y):
        return activate(*_rest_max(y, form, with_position))

    # In a loop, as XLA would compute what comes before again in all places where the result is read, and in the order
    # in which it is read there. One clip alone has a loop over its columns.
    if len(x) > 1:
        return _map_chunks(finish, (convolved,), 1)
    columns = lax.map(lambda column: finish(column[:, :, :, None]), jnp.moveaxis(convolved, 3, 0))
    return jax.tree.map(lambda a: jnp.moveaxis(a[..., 0, :], 0, 3), columns)


# Products in a loop's body. Twice as many take three times as long to compile, and are hardly faster.
_LONGEST_LOOP_BODY = 1024


def num_separate(kernel: Array, pool_size: Size3, pool_stride: Size3) -> int | None:
    """Returns how many of the axes t, h, w `fused` pools after its loop, to keep the body of the loop short.

    None where it is not the way: many channels, windows that share rows or columns, too long in any case.
    """
    *taps, channels, _ = kernel.shape
    overlap = [size > stride for size, stride in zip(pool_size, pool_stride, strict=True)]
    if channels >= 8 or any(overlap[1:]):
        return None
    products = math.prod(taps) * channels
    numbers = range(1 if overlap[0] else 0, 3)
    return next((n for n in numbers if products * math.prod(pool_size[n:]) <= _LONGEST_LOOP_BODY), None)


@functools.partial(jax.jit, static_argnames=("form", "with_position"))  # else a thousand operations, one by one
def _fused_conv(x: Float[Array, "b t h w c"], kernel: Array, *, form: Form, with_position: bool) -> Array:
    """Convolves and takes the maximum over the last axes of each window, as many as one loop of XLA can hold.

    A loop has one result. With the position it is an array of complex numbers, whose imaginary part is the place of
    the first maximum.
    """
    separate = form.fused or 0
    pool, stride = ((1,) * separate + each[separate:] for each in (form.pool_size, form.pool_stride))
    last = [n - (k + p - 1) for n, k, p in zip(x.shape[1:4], kernel.shape, pool, strict=False)]
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    x, kernel = x.astype(dtype), kernel.astype(dtype)

    def product(place, tap):
        start = [i + j for i, j in zip(place, tap, strict=False)]
        stop = [i + n + 1 for i, n in zip(start, last, strict=True)]
        channel = tap[3]
        seen = lax.slice(x, (0, *start, channel), (len(x), *stop, channel + 1), (1, *stride, 1))
        return seen * kernel[tap]

    def convolve(place):
        return jnp.asarray(sum(product(place, tap) for tap in np.ndindex(kernel.shape[:-1])))

    values = (convolve(place) for place in np.ndindex(pool))
    best, at = _first_max([(y, jnp.zeros((), dtype) if with_position else None) for y in values], 1)
    return best if at is None else lax.complex(best, at)


def _rest_max(
    y: Array, form: Form, with_position: bool
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"] | None]:
    """Maximum and position over the axes of the windows that `_fused_conv` has left."""
    best, at = (y.real, y.imag.astype(_position_dtype(math.prod(form.pool_size)))) if with_position else (y, None)
    for axis in reversed(range(form.fused or 0)):
        best, at = _axis_max(best, at, axis, form)
    return best, at


def _position_dtype(places: int) -> np.dtype:
    """The smallest that counts so many."""
    return next(np.dtype(name) for name in ("uint8", "uint16", "int32") if places <= 2 ** (np.dtype(name).itemsize * 8))


def _grouped_conv(x: Float[Array, "b t h w c"], kernel: Array, form: Form) -> Float[Array, "b t2 h3 w3 pt d"]:
    """Convolution, its output frames grouped by pooling window."""
    kt, kh, kw, c, d = kernel.shape
    pt, st = form.pool_size[0], form.pool_stride[0]
    taps, last = kt + pt - 1, x.shape[1] - (kt + pt - 1)
    x = jnp.stack([x[:, i : last + i + 1 : st] for i in range(taps)], axis=-2)  # b t2 h w taps c
    clips, windows = x.shape[:2]
    x = x.reshape(clips * windows, *x.shape[2:4], taps * c)
    # Output frame i of a window sees taps i .. i + kt - 1: shifted copies of the kernel side by side.
    banded = jnp.stack([jnp.pad(kernel, ((i, pt - 1 - i), *[(0, 0)] * 4)) for i in range(pt)], axis=-2)
    banded = banded.transpose(1, 2, 0, 3, 4, 5).reshape(kh, kw, taps * c, pt * d)
    y = lax.conv_general_dilated(x, banded, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y.reshape(clips, windows, *y.shape[1:3], pt, d)


def _window_max(
    y: Float[Array, "b t2 h3 w3 pt d"], form: Form, with_position: bool
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"] | None]:
    """Maximum over each window and where its first one (in t, h, w order) stands."""
    pt, ph, pw = form.pool_size
    # One axis at a time, w first: within equal values the smallest t, then h, then w survives.
    best, at = y, jnp.zeros((), _position_dtype(pt * ph * pw)) if with_position else None
    for axis in (2, 1):
        best, at = _axis_max(best, at, axis, form)
    return _first_max([(best[..., i, :], None if at is None else at[..., i, :]) for i in range(pt)], ph * pw)


def _axis_max(best, at, axis, form):
    """Maximum and position over one axis of the windows, 0 for t to 2 for w, when those after it are done."""
    size, stride = form.pool_size[axis], form.pool_stride[axis]
    last = best.shape[axis + 1] - size
    parts = [(slice(None),) * (axis + 1) + (slice(i, last + i + 1, stride),) for i in range(size)]
    candidates = [(best[part], at if at is None or not at.ndim else at[part]) for part in parts]
    return _first_max(candidates, math.prod(form.pool_size[axis + 1 :]))


def _first_max(candidates, step):
    """The maximum, and the position that came with it plus `step` times its place among the candidates."""
    best, at = candidates[0]
    if at is not None:
        at = jnp.broadcast_to(at, best.shape)
    for number, (value, position) in enumerate(candidates[1:], 1):
        if at is not None:
            at = jnp.where(value > best, position + jnp.asarray(number * step, at.dtype), at)
        best = jnp.maximum(best, value)
    return best, at


def _gathered_gradient(x, position, g, kernel, form):
    """Sum over outputs of the patch under the maximum times the cotangent."""
    kt, kh, kw, c, d = kernel.shape
    _, t, h, w, _ = x.shape
    (_, ph, pw), (st, sh, sw) = form.pool_size, form.pool_stride
    clip, t_out, h_out, w_out = (lax.broadcasted_iota(jnp.int32, position.shape, i) for i in range(4))
    k = position.astype(jnp.int32)
    frame = clip * t + t_out * st + k // (ph * pw)
    row = h_out * sh + k // pw % ph
    column = w_out * sw + k % pw
    first = lax.optimization_barrier(((frame * h + row) * w + column).reshape(-1, d))
    g = g.reshape(-1, d, 1)
    flat = jnp.moveaxis(x, -1, 0).reshape(c, -1)

    def one_plane(i):  # one frame of the kernel and one input channel
        frame, channel = i // c, i % c
        # A row of the kernel is read as one piece, which costs little more than one of its pixels.
        rows = (_read(flat[channel], first + (frame * h + j) * w, kw) for j in range(kh))
        return jnp.stack([(row * g).sum(0, dtype=jnp.float32) for row in rows])

    planes = lax.map(one_plane, jnp.arange(kt * c, dtype=jnp.int32))
    return planes.reshape(kt, c, kh, d, kw).transpose(0, 2, 4, 1, 3)


def _read(flat: Array, start: Integer[Array, "n d"], length: int) -> Array:
    """So many elements [n d length] from each start on."""
    axes = lax.GatherDimensionNumbers(offset_dims=(2,), collapsed_slice_dims=(), start_index_map=(0,))
    return lax.gather(flat, start[..., None], axes, (length,), mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS)


def _masked_gradient(x, position, g, kernel, form):
    transpose = jax.linear_transpose(lambda kernel: _grouped_conv(x, kernel, form), kernel)
    return transpose(_spread(position, g, form))[0].astype(jnp.float32)


def _input_gradient(position, g, x, kernel, form):
    clips = jax.ShapeDtypeStruct((g.shape[0], *x.shape[1:]), x.dtype)
    transpose = jax.linear_transpose(lambda x: _grouped_conv(x, kernel, form), clips)
    return transpose(_spread(position, g, form))[0]


def _spread(position, g, form) -> Float[Array, "b t2 h3 w3 pt d"]:
    """The cotangents put back to where the maxima were, zeros elsewhere."""
    (pt, ph, pw), (_, sh, sw) = form.pool_size, form.pool_stride
    b, t2, h2, w2, d = g.shape
    if (ph, pw) == (sh, sw):
        place = jnp.arange(pt * ph * pw, dtype=position.dtype).reshape(pt, ph, pw).transpose(1, 2, 0)
        place = place.reshape(ph, 1, pw, pt, 1)
        spread = jnp.where(position[:, :, :, None, :, None, None] == place, g[:, :, :, None, :, None, None], 0)
        return spread.reshape(b, t2, h2 * ph, w2 * pw, pt, d)
    # Windows overlap, or leave gaps: one place of the window at a time is free of both.
    frames = jnp.arange(pt, dtype=jnp.int32)[:, None] * (ph * pw)
    gaps = [(0, 0, 0), (0, 0, 0), (0, 0, sh - 1), (0, 0, sw - 1), (0, 0, 0), (0, 0, 0)]

    def add_place(i, total):
        share = jnp.where(position[..., None, :].astype(jnp.int32) == frames + i, g[..., None, :], 0)
        share = lax.pad(share, jnp.zeros((), g.dtype), gaps)
        corner = (0, 0, i // pw, i % pw, 0, 0)
        old = lax.dynamic_slice(total, corner, share.shape)
        return lax.dynamic_update_slice(total, old + share, corner)

    size = (b, t2, (h2 - 1) * sh + ph, (w2 - 1) * sw + pw, pt, d)
    return lax.fori_loop(0, ph * pw, add_place, jnp.zeros(size, g.dtype))
