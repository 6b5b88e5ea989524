"""3D convolution, ReLU and 3D max pooling as one function.

One mathematics, five implementations:

| name | what it is | fast on |
|---|---|---|
| `native` | C++ through JAX's foreign function interface, `mer_jax.native` | CPUs with a compiler |
| `fused` | pure JAX, for few channels one loop that keeps intermediates in registers | CPUs |
| `batched` | pure JAX, all clips at once or in chunks | GPUs, TPUs |
| `pallas` | Pallas kernels that keep the convolution in registers, `mer_jax.blocks.pallas_conv` | NVIDIA GPUs |
| `direct` | XLA's own 3D convolution and pooling, what `nn.Conv` and `nn.max_pool` compile to | to compare with |

All agree to rounding, and of equal maxima the first one gets the gradient, as in XLA's own pool. Each gives the same
bits in every run, but the last bits differ between them, and training magnifies that: `Convolution.describe` records
which one a run has used. All can be differentiated in forward and reverse mode, any number of times.

`benchmarks/conv_pool.py` measures them against each other.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.sharding import AxisType
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mer_jax.blocks.conv_pool_derivatives import Size3, differentiable
from mer_jax.blocks.grouped_conv import Form, grouped_conv_relu_pool, num_separate
from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.native import conv_pool as native
from mer_jax.system.devices import DATA, over_data

IMPLEMENTATIONS = ("auto", "native", "fused", "batched", "pallas", "direct")


@dataclasses.dataclass(frozen=True)
class Convolution:
    """Sizes of a 3D convolution with its max pooling, and the implementation that computes it.

    Hashable, and handed on as one value: network, path and block have a field `conv`.

    Attributes:
        features: Filters d.
        kernel_size: (kt, kh, kw) in frames and pixels.
        pool_size: (pt, ph, pw); frames and pixels that do not fill a window are left out, as "valid" pooling does.
        pool_stride: (st, sh, sw); None for the pool size.
        implementation: One of `IMPLEMENTATIONS`; `resolve` explains `auto`.
        chunk: Clips that `batched` works on at a time, where memory is short; None for all.

    Raises:
        ConfigError: A value that is out of range, or an unknown implementation.

    Example:
        >>> Convolution(8, (3, 3, 3), (4, 8, 8), implementation="fusd")
        Traceback (most recent call last):
            ...
        mer_jax.errors.ConfigError: got implementation='fusd'; did you mean 'fused'?
    """

    features: int
    kernel_size: Size3
    pool_size: Size3
    pool_stride: Size3 | None = None
    implementation: str = "auto"
    chunk: int | None = None

    def __post_init__(self):
        """Validates all fields."""
        for name in ("features", "chunk"):
            value = getattr(self, name)
            if not (_is_count(value) or (value is None and name == "chunk")):
                raise ConfigError(f"got {name}={value!r}, expected a whole number from 1")
        for name in ("kernel_size", "pool_size", "pool_stride"):
            if name == "pool_stride" and self.pool_stride is None:
                continue
            check_sizes(**{name: getattr(self, name)})
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list would not be hashable
        _check_implementation(self.implementation)

    def compiler_options(self) -> dict[str, Any]:
        """Options with which `jax.jit` should compile a program that holds this convolution.

        `fused` is nearly twice as fast in vectors of 512 bits, which XLA does not use by default; a processor without
        them uses what it has. Other programs would only round differently.
        """
        is_fused = jax.default_backend() == "cpu" and resolve(self.implementation) == "fused"
        return {"xla_cpu_prefer_vector_width": 512} if is_fused else {}

    def describe(self) -> dict[str, str]:
        """The implementation that runs on this machine, for the record of a run."""
        return {"convolution": resolve(self.implementation)}

    def reference(self) -> "Convolution":
        """The same convolution as XLA's own operations."""
        return dataclasses.replace(self, implementation="direct")


class ConvReluPool(nn.Module):
    """Conv3D ("valid", stride 1), ReLU, MaxPool3D.

    Parameters: `kernel` [kt, kh, kw, c, d], `bias` [d]; `kt*kh*kw*c*d + d` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        conv: Sizes and implementation.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: sections 3.4.1 and 5.3 of the paper give the order of layers; sizes are ours.
    """

    conv: Convolution
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"]) -> Float[Array, "*b t2 h2 w2 d"]:
        """Maps clips to pooled features.

        Raises:
            ShapeError: The clip is too short or too small for kernel and pool.
        """
        conv = self.conv
        kernel = self.param("kernel", nn.initializers.he_normal(), (*conv.kernel_size, x.shape[-1], conv.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (conv.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv_relu_pool(
            x,
            kernel,
            bias,
            pool_size=conv.pool_size,
            pool_stride=conv.pool_stride,
            implementation=conv.implementation,
            chunk=conv.chunk,
        )


def check_sizes(**sizes: Sequence[int]) -> None:
    """Validates sizes along frames, height and width.

    Raises:
        ConfigError: Other than three whole numbers from 1; the message names the argument.
    """
    for name, axes in sizes.items():
        if not isinstance(axes, Sequence) or len(axes) != 3 or not all(map(_is_count, axes)):
            shown = tuple(axes) if isinstance(axes, list) else axes
            raise ConfigError(f"got {name}={shown!r}, expected three whole numbers from 1: frames, height, width")


def _size3(axes: Sequence[int]) -> Size3:
    t, h, w = axes
    return t, h, w


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_implementation(name: str) -> None:
    if name not in IMPLEMENTATIONS:
        raise ConfigError(f"got implementation={name!r}; {near_names(str(name), IMPLEMENTATIONS)}")


def output_size(size: Sequence[int], kernel_size: Size3, pool_size: Size3, pool_stride: Size3 | None = None) -> Size3:
    """Returns the frames, height and width of the output of `conv_relu_pool`.

    Args:
        size: (t, h, w) of the clip.
        kernel_size: (kt, kh, kw).
        pool_size: (pt, ph, pw).
        pool_stride: (st, sh, sw); None for the pool size.

    Raises:
        ConfigError: Kernel, pool or stride are not three numbers from 1.
        ShapeError: The clip is too short or too small.

    Example:
        >>> output_size((18, 64, 128), (3, 3, 3), (3, 3, 3))
        (5, 20, 42)
        >>> output_size((18, 64, 128), (3, 3, 3), (3, 3, 3), (1, 2, 2))
        (14, 30, 62)
    """
    check_sizes(kernel_size=kernel_size, pool_size=pool_size, pool_stride=pool_stride or pool_size)
    needed = [k + p - 1 for k, p in zip(kernel_size, pool_size, strict=True)]
    if any(s < n for s, n in zip(size, needed, strict=True)):
        raise ShapeError(
            f"got a clip of {size[0]} frames of {size[1]}x{size[2]} (height x width), expected at least "
            f"{needed[0]} frames of {needed[1]}x{needed[2]} for kernel {tuple(kernel_size)} and pool "
            f"{tuple(pool_size)}; use more frames, or a smaller kernel_size or pool_size"
        )
    t, h, w = ((s - n) // step + 1 for s, n, step in zip(size, needed, pool_stride or pool_size, strict=True))
    return t, h, w


def resolve(implementation: str, dtype: DTypeLike = jnp.float32) -> str:
    """Returns the implementation that runs on this machine.

    On a CPU, `auto` is `native` if that can be used, else `fused`: they are the fastest for every size in
    `benchmarks/conv_pool.py`. On an NVIDIA GPU it is `pallas`, which `benchmarks/accelerator.py` measured on an H200
    (benchmarks/RESULTS.md); kernels with many weights go through `batched` there. Elsewhere it is `batched`, which is
    not measured on a TPU.

    Args:
        implementation: One of `IMPLEMENTATIONS`.
        dtype: Of the clips and weights; `native` computes in float32.

    Raises:
        ConfigError: Unknown, or `native` where it cannot be used.
    """
    _check_implementation(implementation)
    if implementation == "pallas" and (reason := _why_no_pallas()):
        raise ConfigError(f"got implementation='pallas', which cannot be used: {reason}; expected 'auto'")
    if implementation not in ("auto", "native"):
        return implementation
    on_cpu = jax.default_backend() == "cpu"
    if implementation == "auto" and not on_cpu:
        return "batched" if _why_no_pallas() else "pallas"
    if not on_cpu:
        reason = f"it is for CPUs, and this is a {jax.default_backend()}"
    elif jnp.finfo(dtype).bits > 32:
        reason = f"it computes in float32, and the clips are {jnp.dtype(dtype).name}"
    else:
        reason = native.load()
    if not reason:
        return "native"
    if implementation == "native":
        raise ConfigError(f"got implementation='native', which cannot be used: {reason}; expected 'auto' or 'fused'")
    native.note_absence(reason)
    return "fused"


def _why_no_pallas() -> str:
    if jax.default_backend() != "gpu":
        return f"it is for NVIDIA GPUs, and this is a {jax.default_backend()}"
    try:
        from mer_jax.blocks import pallas_conv  # takes a third of a second to import
    except ImportError as error:
        return f"this release of JAX has no Pallas for Triton ({error})"
    return pallas_conv.why_not_here()


def conv_relu_pool(
    x: Float[Array, "*b t h w c"],
    kernel: Float[Array, "kt kh kw c d"],
    bias: Float[Array, " d"],
    *,
    pool_size: Size3 = (3, 3, 3),
    pool_stride: Size3 | None = None,
    implementation: str = "auto",
    chunk: int | None = None,
) -> Float[Array, "*b t2 h2 w2 d"]:
    """`max_pool(relu(conv3d(x, kernel) + bias))`, both "valid".

    In a mesh with an axis `data` each device works on its own clips, as long as their
    number can be divided equally.

    Args:
        x: Clips.
        kernel: Filters.
        bias: One number a filter.
        pool_size: (pt, ph, pw).
        pool_stride: (st, sh, sw); None for the pool size.
        implementation: One of `IMPLEMENTATIONS`.
        chunk: Clips that `batched` works on at a time; None for all.

    Returns:
        Pooled features; sizes as `output_size` says.

    Raises:
        ConfigError: See `resolve`.
        ShapeError: See `output_size`.
    """
    x, kernel, bias = promote_dtype(x, kernel, bias)
    name = resolve(implementation, x.dtype)
    check_sizes(pool_size=pool_size, pool_stride=pool_stride or pool_size)
    pool_size = _size3(pool_size)
    pool_stride = _size3(pool_stride or pool_size)
    kernel_size = _size3(kernel.shape[:3])
    out = output_size(x.shape[-4:-1], kernel_size, pool_size, pool_stride)
    batch = x.shape[:-4]
    # Frames and pixels that no pooling window reads would be convolved for nothing.
    steps = zip(out, kernel_size, pool_size, pool_stride, strict=True)
    used = tuple((o - 1) * step + p + k - 1 for o, k, p, step in steps)
    x = x[..., : used[0], : used[1], : used[2], :].reshape(math.prod(batch), *used, x.shape[-1])
    if name == "direct":
        function = functools.partial(_direct, pool_size=pool_size, pool_stride=pool_stride)
    elif name == "native":
        function = _Native(pool_size, pool_stride)
    elif name == "pallas" and (implementation == name or _is_for_pallas(kernel.shape)):
        from mer_jax.blocks.pallas_conv import PallasConv

        function = PallasConv(pool_size, pool_stride)
    else:
        form = Form(pool_size, pool_stride, chunk or 0, "masked")
        if name == "fused":
            form = Form(pool_size, pool_stride, 1, "gather", num_separate(kernel, pool_size, pool_stride))
        function = functools.partial(grouped_conv_relu_pool, form=form)
    return _on_own_clips(function, x.shape[0])(x, kernel, bias).reshape(*batch, *out, kernel.shape[-1])


def _is_for_pallas(kernel: tuple[int, ...]) -> bool:
    from mer_jax.blocks import pallas_conv

    return pallas_conv.is_suitable(kernel)


def _on_own_clips(function, clips: int):
    """Loops over clips, and calls of native code, are not divided by the compiler: each device gets its own clips."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if types.get(DATA) != AxisType.Auto or clips % mesh.shape[DATA]:
        return function
    return over_data(function, num_batched=1)


def _direct(x: Array, kernel: Array, bias: Array, *, pool_size: Size3, pool_stride: Size3) -> Array:
    y = lax.conv_general_dilated(x, kernel, (1, 1, 1), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, *pool_size, 1), (1, *pool_stride, 1), "VALID")
    return jax.nn.relu(y + bias)


@dataclasses.dataclass(frozen=True)
class _Native:
    """The C++ library as what `differentiable` takes."""

    pool_size: Size3
    pool_stride: Size3

    def __call__(self, x: Array, kernel: Array, bias: Array) -> Array:
        single = jnp.float32
        return differentiable(self, x.astype(single), kernel.astype(single), bias.astype(single)).astype(x.dtype)

    def infer(self, x: Array, kernel: Array, bias: Array) -> Array:
        return native.infer(x, kernel, bias, self._output_size(x, kernel), self._window)

    def forward(self, x: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
        return native.forward(x, kernel, bias, self._output_size(x, kernel), self._window)

    def kernel_gradient(
        self, x: Array, cotangent: Array, out: Array, position: Array, kernel: jax.ShapeDtypeStruct
    ) -> tuple[Array, Array]:
        return native.kernel_gradient(x, out, cotangent, position, kernel.shape, self._window)

    def input_gradient(
        self, kernel: Array, cotangent: Array, out: Array, position: Array, x: jax.ShapeDtypeStruct
    ) -> Array:
        return native.input_gradient(kernel, out, cotangent, position, x.shape, self._window)

    @property
    def _window(self) -> native.Window:
        return self.pool_size, self.pool_stride

    def _output_size(self, x: Array, kernel: Array) -> Size3:
        return output_size(x.shape[1:4], _size3(kernel.shape[:3]), self.pool_size, self.pool_stride)
