"""Convolution, ReLU and max pool in pure JAX, out of what accelerators and CPUs are good at.

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

* `unfold` makes a matrix product of each frame instead, over a table of patches. On a CPU
  it is near the processor's limit in all versions of XLA; their 2D convolution is not,
  least of all with one input channel.
* `gather` reads only the input patches under the maxima: least arithmetic, for CPUs.
* `masked` puts the cotangents back to where the maxima were, zeros elsewhere, and
  transposes the convolution: no gather, so for TPUs too.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Integer

Size3 = tuple[int, int, int]


class Form(NamedTuple):
    """What the compiler sees as constants.

    Attributes:
        pool_size: (pt, ph, pw).
        pool_stride: (st, sh, sw).
        chunk: clips worked on at a time; 0 for all.
        gradient: of the kernel, `gather` or `masked`.
        unfold: matrix products instead of a 2D convolution; for a `chunk` of 1.
    """

    pool_size: Size3
    pool_stride: Size3
    chunk: int
    gradient: str
    unfold: bool = False


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def grouped_conv_relu_pool(x: Array, kernel: Array, bias: Array, form: Form) -> Array:
    """Pooled features [b t2 h2 w2 d] of clips [b t h w c] that the windows use up exactly."""

    def chunk(x):
        pooled, _ = _convolve_and_pool(x, kernel, form, False)
        return jax.nn.relu(pooled + bias)

    return _map_chunks(chunk, (x,), form.chunk)


def _forward(x, kernel, bias, form):
    def chunk(x):
        pooled, position = _convolve_and_pool(x, kernel, form, True)
        return jax.nn.relu(pooled + bias), position

    out, position = _map_chunks(chunk, (x,), form.chunk)
    return out, (x, kernel, out, position)


def _backward(form, residuals, cotangent):
    x, kernel, out, position = residuals
    cotangent = jnp.where(out > 0, cotangent, 0)
    of_kernel = {"gather": _gathered_gradient, "masked": _masked_gradient}[form.gradient]
    kernel_bar = _sum_chunks(lambda *chunk: of_kernel(*chunk, kernel, form), (x, position, cotangent), form.chunk)
    # A map of its own: where nobody asks for the gradient of the input, XLA drops it whole.
    x_bar = _map_chunks(lambda *chunk: _input_gradient(*chunk, x, kernel, form), (position, cotangent), form.chunk)
    return x_bar, kernel_bar.astype(kernel.dtype), cotangent.sum((0, 1, 2, 3))


grouped_conv_relu_pool.defvjp(_forward, _backward)


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


def _convolve_and_pool(
    x: Float[Array, "b t h w c"], kernel: Array, form: Form, with_position: bool
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"] | None]:
    """Maximum of the convolution in each window, and where its first one (in t, h, w order) stands."""
    if form.unfold:
        return jax.tree.map(lambda a: a[None], _unfolded(x[0], kernel, form, with_position))
    y = _grouped_conv(x, kernel, form)
    if with_position:
        # The barrier keeps XLA from fusing the convolution into every comparison.
        y = lax.optimization_barrier(y)
    return _window_max(y, form, with_position)


def _unfolded(
    x: Float[Array, "t h w c"], kernel: Array, form: Form, with_position: bool
) -> tuple[Float[Array, "t2 h2 w2 d"], Integer[Array, "t2 h2 w2 d"] | None]:
    """The same for one clip: a matrix product for each frame, its columns ordered by place in the window."""
    kt, kh, kw, c, d = kernel.shape
    (pt, ph, pw), (st, sh, sw) = form.pool_size, form.pool_stride
    frames, rows, columns = x.shape[0] - kt + 1, kh + ph - 1, kw + pw - 1
    h2, w2 = (x.shape[1] - rows) // sh + 1, (x.shape[2] - columns) // sw + 1
    # planes[:, :, u, v] holds pixel (u, v) of what each of the h2 x w2 windows reads. One axis after the other:
    # XLA writes a stack of slices of two axes at a quarter of the speed.
    x = jnp.moveaxis(x, -1, 1)
    planes = jnp.stack([x[..., v : v + sw * (w2 - 1) + 1 : sw] for v in range(columns)], 2)  # t c v h w2
    planes = lax.optimization_barrier(planes)
    planes = jnp.stack([planes[..., u : u + sh * (h2 - 1) + 1 : sh, :] for u in range(rows)], 2)
    planes = planes.reshape(x.shape[0], c, rows, columns, h2 * w2)
    filters = kernel.transpose(4, 0, 3, 1, 2).reshape(d, kt * c * kh * kw)
    dtype = _position_dtype(pt * ph * pw)
    place, last = jnp.arange(ph * pw, dtype=dtype).reshape(1, -1, 1), dtype.type(ph * pw - 1)

    def frame(number):
        seen = lax.dynamic_slice_in_dim(planes, number, kt)
        patches = jnp.stack([seen[:, :, j : j + ph, k : k + pw] for j in range(kh) for k in range(kw)], 2)
        y = (filters @ patches.reshape(filters.shape[1], -1)).reshape(d, ph * pw, h2 * w2)
        best = y.max(1)
        if not with_position:
            return best, None
        # Both are reductions, as XLA fuses these into nothing: y is read twice, and not computed again. What is not a
        # number equals nothing; it gets the last place.
        return best, jnp.where(y == best[:, None], place, last).min(1)

    best, at = lax.map(frame, jnp.arange(frames))  # t d h2*w2
    windows = [slice(i, frames - pt + i + 1, st) for i in range(pt)]
    best, at = _first_max([(best[window], None if at is None else at[window]) for window in windows], ph * pw)
    return jax.tree.map(lambda a: a.transpose(0, 2, 1).reshape(-1, h2, w2, d), (best, at))


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
    (pt, ph, pw), (_, sh, sw) = form.pool_size, form.pool_stride
    dtype = _position_dtype(pt * ph * pw)
    # One axis at a time, w first: within equal values the smallest t, then h, then w survives.
    at = jnp.zeros((), dtype) if with_position else None
    last = y.shape[3] - pw
    best, at = _first_max([(y[:, :, :, i : last + i + 1 : sw], at) for i in range(pw)], 1)
    last = y.shape[2] - ph
    rows = (slice(i, last + i + 1, sh) for i in range(ph))
    best, at = _first_max([(best[:, :, row], None if at is None else at[:, :, row]) for row in rows], pw)
    return _first_max([(best[..., i, :], None if at is None else at[..., i, :]) for i in range(pt)], ph * pw)


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
    start = lax.optimization_barrier(((frame * h + row) * w + column).reshape(-1, d))
    g = g.reshape(-1, d)
    flat = x.reshape(-1)

    def one_plane(i):  # one frame of the kernel and one input channel
        frame, channel = i // c, i % c
        offsets = (((frame * h + j) * w + k) * c + channel for j in range(kh) for k in range(kw))
        taps = [flat.at[start * c + offset].get(mode="promise_in_bounds") for offset in offsets]
        return jnp.stack([(tap * g).sum(0, dtype=jnp.float32) for tap in taps])

    planes = lax.map(one_plane, jnp.arange(kt * c, dtype=jnp.int32))
    return planes.reshape(kt, c, kh, kw, d).transpose(0, 2, 3, 1, 4)


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
