"""Convolution, ReLU and max pool as Pallas kernels for NVIDIA GPUs.

The output of the convolution is many times larger than clips and pooled features together, and with few filters the
time of XLA's own operations is the time to write and read it. Here it never leaves the registers: one program of the
grid computes the convolution for a row of pooling windows, keeps the running maximum and its position, and writes only
those. The gradient of the filters reads the patches under the maxima.

Arithmetic is float32, never TF32, in a fixed order: two runs give the same bits.

JAX has announced that it will remove Pallas for Triton; `auto` then falls back to the batched form.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Integer

from mer_jax.blocks.conv_pool_derivatives import Size3, differentiable
from mer_jax.blocks.grouped_conv import Form

# Sizes of one program of the grid: columns of the convolution, filters, and output frames. A thread keeps so many sums,
# maxima and positions of each of its columns in registers; on an H200, 256 columns were 1.7 times slower than 128.
_COLUMNS = 128
_FILTERS = 8
_FRAMES = 4
_WARPS = 4
# Of the gradient: pooled features at a time and in all, and weights, whose sums are in registers.
_OUTPUTS = 16
_OUTPUTS_IN_ALL = 128
_WEIGHTS = 32
_MOST_WEIGHTS = 128  # of one filter, since the programs write out all products
_NO_PLACE = np.iinfo(np.int32).max


def is_suitable(kernel: tuple[int, ...]) -> bool:
    """Whether a kernel [kt kh kw c d] is small enough for programs without loops over its weights."""
    return math.prod(kernel[:4]) <= _MOST_WEIGHTS


def why_not_here() -> str:
    """Why the kernels cannot run on the default device; empty where they can."""
    device = jax.devices()[0]
    capability = getattr(device, "compute_capability", None)
    if device.platform != "gpu" or capability is None:
        return f"it is for NVIDIA GPUs, and this is a {device.platform}"
    if float(capability) < 8:
        return f"it needs compute capability 8.0, and the {device.device_kind} has {capability}"
    return ""


@dataclasses.dataclass(frozen=True)
class PallasConv:
    """The kernels as what `differentiable` takes.

    Attributes:
        pool_size: (pt, ph, pw).
        pool_stride: (st, sh, sw).
        interpret: Whether JAX interprets the kernels instead of compiling them, for tests on a CPU.
    """

    pool_size: Size3
    pool_stride: Size3
    interpret: bool = False

    def __call__(self, x: Array, kernel: Array, bias: Array) -> Array:
        """Returns pooled features [b t2 h2 w2 d] of clips [b t h w c] that the windows use up exactly."""
        return differentiable(self, x, kernel, bias)

    def infer(self, x: Array, kernel: Array, bias: Array) -> Array:
        """Returns pooled features."""
        return self.forward(x, kernel, bias)[0]

    def forward(self, x: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
        """Returns pooled features and the position of each maximum in its window."""
        best, position = _pool_convolution(x, kernel, self)
        return jax.nn.relu(best.astype(x.dtype) + bias), position

    def kernel_gradient(
        self, x: Array, cotangent: Array, out: Array, position: Array, kernel: jax.ShapeDtypeStruct
    ) -> tuple[Array, Array]:
        """Returns the gradients of filters and bias."""
        cotangent = jnp.where(out > 0, cotangent, 0)
        gradient = _filter_gradient(x, position, cotangent, kernel.shape, self)
        return gradient.astype(kernel.dtype), cotangent.sum((0, 1, 2, 3))

    def input_gradient(
        self, kernel: Array, cotangent: Array, out: Array, position: Array, x: jax.ShapeDtypeStruct
    ) -> Array:
        """Returns the gradient of clips, by XLA's own operations: training does not need it."""
        form = Form(self.pool_size, self.pool_stride, 0, "masked")
        return form.input_gradient(kernel, cotangent, out, position, x)


def _pool_convolution(
    x: Float[Array, "b t h w c"], kernel: Float[Array, "kt kh kw c d"], form: PallasConv
) -> tuple[Float[Array, "b t2 h2 w2 d"], Integer[Array, "b t2 h2 w2 d"]]:
    """Maximum of the convolution in each pooling window, and where its first one stands in the order t, h, w."""
    (b, t, h, w, c), (*taps, _, d) = x.shape, kernel.shape
    sizes = zip((t, h, w), taps, form.pool_size, form.pool_stride, strict=True)
    t2, h2, w2 = ((n - (k + p - 1)) // s + 1 for n, k, p, s in sizes)
    number = t2 * h2 * w2
    filters = min(_FILTERS, pl.next_power_of_2(d))
    columns = pl.next_power_of_2(form.pool_size[2])
    windows = min(pl.next_power_of_2(number), max(1, _COLUMNS // columns))
    blocks, blocks_d = pl.cdiv(number, windows), pl.cdiv(d, filters)
    # Sizes of blocks are powers of 2: the last block goes beyond the last window, and what it writes there is cut off.
    shape = (b, blocks * windows, blocks_d * filters)
    program = functools.partial(
        _pool_program,
        form=form,
        num_frames=taps[0],
        plane=_offsets((1, *kernel.shape[1:4]), (h, w, c)),
        windows=(t2, h2, w2),
        strides=(h * w * c, w * c, c),
        tile=(windows, columns, filters),
    )
    outs = pl.pallas_call(
        program,
        out_shape=(jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(shape, jnp.int32)),
        grid=(b, blocks, blocks_d),
        interpret=form.interpret,
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        name="conv_relu_pool",
    )(x.reshape(b, -1), jnp.pad(kernel.reshape(-1, d), [(0, 0), (0, shape[2] - d)]))
    best, position = (out[:, :number, :d].reshape(b, t2, h2, w2, d) for out in outs)
    return best, position


def _offsets(kernel: tuple[int, ...], size: Size3) -> list[int]:
    """Distances from the first input of a patch to all of them, in a clip [t h w c] as one axis."""
    h, w, c = size
    return [((i * h + j) * w + k) * c + channel for i, j, k, channel in np.ndindex(*kernel[:4])]


def _divide(number: Array, by: int) -> tuple[Array, Array]:
    """Quotient and remainder of whole numbers from 0; the operators of Python would also round negative ones."""
    return lax.div(number, jnp.int32(by)), lax.rem(number, jnp.int32(by))


def _pool_program(x, weights, best_out, position_out, *, form, num_frames, plane, windows, strides, tile):
    """Some windows of one clip, for some filters.

    Of some output frames at a time, so that each pixel and each weight that is read serves all of them.
    """
    (pt, ph, pw), (st, sh, sw) = form.pool_size, form.pool_stride
    *columns, filters = tile
    frames = max(n for n in range(1, _FRAMES + 1) if pt % n == 0)
    clip, first, filter_0 = pl.program_id(0), pl.program_id(1) * columns[0], pl.program_id(2) * filters
    window = first + lax.broadcasted_iota(jnp.int32, columns, 0)
    # Windows and columns that do not exist repeat ones that do, so that nothing is read beyond the end.
    window = jnp.where(window < math.prod(windows), window, 0)
    place = jnp.minimum(lax.broadcasted_iota(jnp.int32, columns, 1), pw - 1)
    row, w_out = _divide(window, windows[2])
    t_out, h_out = _divide(row, windows[1])
    start = t_out * (st * strides[0]) + h_out * (sh * strides[1]) + (w_out * sw + place) * strides[2]

    def convolve(at, running):
        group, line = _divide(at, ph)
        corner = start + (group * (frames * strides[0]) + line * strides[1])
        sums = [[jnp.zeros(columns, jnp.float32) for _ in range(filters)] for _ in range(frames)]
        for number, offset in enumerate(plane):
            seen = [
                triton.load(x.at[clip, corner + (frame * strides[0] + offset)]).astype(jnp.float32)
                for frame in range(frames + num_frames - 1)
            ]
            for tap, i in np.ndindex(num_frames, filters):
                weight = triton.load(weights.at[jnp.int32(tap * len(plane) + number), filter_0 + i])
                for frame in range(frames):
                    sums[frame][i] += seen[frame + tap] * weight.astype(jnp.float32)
        for frame in range(frames):
            here = ((group * frames + frame) * ph + line) * pw + place
            running = [
                _first_max(best, position, total, here)
                for (best, position), total in zip(running, sums[frame], strict=True)
            ]
        return running

    nothing = jnp.full(columns, -jnp.inf, jnp.float32), jnp.full(columns, _NO_PLACE, jnp.int32)
    running = lax.fori_loop(0, pt // frames * ph, convolve, [nothing] * filters)
    for i, (best, position) in enumerate(running):
        maximum = best.max(1)
        target = (clip, pl.ds(first, columns[0]), filter_0 + i)
        triton.store(best_out.at[target], maximum)
        triton.store(position_out.at[target], jnp.where(best == maximum[:, None], position, _NO_PLACE).min(1))


def _first_max(best: Array, position: Array, value: Array, here: Array) -> tuple[Array, Array]:
    """The greater of two values, or NaN, and its position; of equal values the smaller position."""
    before = (value > best) | ((value == best) & (here < position))
    return jnp.maximum(best, value), jnp.where(before, here, position)


def _filter_gradient(x, position, cotangent, size, form: PallasConv) -> Float[Array, "kt kh kw c d"]:
    """Sum over pooled features of the patch under the maximum times the cotangent."""
    d = size[4]
    b, _, h, w, c = x.shape
    (_, ph, pw), (st, sh, sw) = form.pool_size, form.pool_stride
    t_out, h_out, w_out = (lax.broadcasted_iota(jnp.int32, position.shape, axis) for axis in (1, 2, 3))
    at = position.astype(jnp.int32)
    frame, row, column = t_out * st + at // (ph * pw), h_out * sh + at // pw % ph, w_out * sw + at % pw
    # NaN has no position.
    first = jnp.where(at == _NO_PLACE, 0, ((frame * h + row) * w + column) * c).reshape(b, -1, d)
    filters = min(_FILTERS, pl.next_power_of_2(d))
    number, blocks_d = first.shape[1], pl.cdiv(d, filters)
    outputs, blocks = _OUTPUTS, pl.cdiv(number, _OUTPUTS_IN_ALL)
    padding = [(0, 0), (0, blocks * _OUTPUTS_IN_ALL - number), (0, blocks_d * filters - d)]
    operands = x.reshape(b, -1), jnp.pad(first, padding), jnp.pad(cotangent.reshape(b, -1, d), padding)
    sums = []
    offsets = _offsets(size, (h, w, c))
    for i in range(0, len(offsets), _WEIGHTS):
        some = offsets[i : i + _WEIGHTS]
        of_programs = pl.pallas_call(
            functools.partial(_gradient_program, offsets=some, tile=(outputs, filters)),
            out_shape=jax.ShapeDtypeStruct((b, blocks, len(some), blocks_d * filters), jnp.float32),
            grid=(b, blocks, blocks_d),
            interpret=form.interpret,
            compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
            name="conv_relu_pool_gradient",
        )(*operands)
        sums.append(of_programs.sum((0, 1)))
    return jnp.concatenate(sums)[:, :d].reshape(size)


def _gradient_program(x, first, cotangent, sums_out, *, offsets, tile):
    """Some pooled features of one clip, for some filters: the sums of some weights."""
    clip, block, part = pl.program_id(0), pl.program_id(1), pl.program_id(2)
    outputs, filters = tile

    def add(number, sums):
        which = (clip, pl.ds(block * _OUTPUTS_IN_ALL + number * outputs, outputs), pl.ds(part * filters, filters))
        at = triton.load(first.at[which])
        g = triton.load(cotangent.at[which]).astype(jnp.float32)
        # Where the ReLU is off nothing is read.
        patch = [triton.load(x.at[clip, at + offset], mask=g != 0, other=0).astype(jnp.float32) for offset in offsets]
        return [total + seen * g for total, seen in zip(sums, patch, strict=True)]

    sums = lax.fori_loop(0, _OUTPUTS_IN_ALL // outputs, add, [jnp.zeros(tile, jnp.float32) for _ in offsets])
    for number, total in enumerate(sums):
        triton.store(sums_out.at[clip, block, jnp.int32(number), pl.ds(part * filters, filters)], total.sum(0))
