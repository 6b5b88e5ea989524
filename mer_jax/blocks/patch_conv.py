"""Convolution over any number of axes as one matrix product of its patches, fast on CPUs.

XLA's 3D convolutions are slow on a CPU, forward and backward, and so are the gradients of its strided 2D convolutions.
Here, on a CPU, patches are cut from some clips at a time, multiplied with the filters, and cut again for the backward
pass, so that they are never kept. On GPUs and TPUs, and where devices share a batch, it is XLA's convolution. All of it
is made of differentiable operations, so `vmap`, forward mode and derivatives of every order work.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mer_jax.blocks.small_conv import resolve
from mer_jax.errors import ShapeError

_PRODUCT = "product of the patches"  # name of the residual
_TILE = 1 << 20  # numbers in the patches of a tile

Edges = Sequence[tuple[int, int]]  # zeros before and after each axis


class PatchConv(nn.Module):
    """A 2D or 3D convolution: as many axes as `kernel_size` has entries.

    Parameters: `kernel` [*k, c, d], `bias` [d] where there is one.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Filters d.
        kernel_size: Size of the filters along each axis, (height, width) or (frames, height, width).
        strides: Step along each axis; None for 1.
        padding: Zeros (before, after) along each axis; None for half the filter on both sides, which keeps sizes at a
            stride of 1.
        use_bias: Whether there is a bias.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: `nn.Conv` with the same arguments.
    """

    features: int
    kernel_size: tuple[int, ...] = (3, 3)
    strides: tuple[int, ...] | None = None
    padding: tuple[tuple[int, int], ...] | None = None
    use_bias: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Maps pictures [*b, h, w, c] or clips [*b, t, h, w, c] to features.

        Raises:
            ShapeError: Inputs smaller than the filters.
        """
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        strides = self.strides or (1,) * len(self.kernel_size)
        padding = self.padding or [(size // 2, size // 2) for size in self.kernel_size]
        y = patch_conv(x, kernel, strides=strides, padding=padding)
        return y if bias is None else y + bias


def patch_conv(
    x: Float[Array, "..."],
    kernel: Float[Array, "..."],
    *,
    strides: Sequence[int],
    padding: Edges,
    implementation: str = "auto",
) -> Float[Array, "..."]:
    """Convolves over the axes before the last one, as many as the filters have.

    Args:
        x: Inputs [*b, *n, c].
        kernel: Filters [*k, c, d].
        strides: Step along each axis.
        padding: Zeros (before, after) along each axis.
        implementation: `tiled` for products of patches, `plain` for XLA's convolution, `auto` by the device.

    Returns:
        Features [*b, *n2, d].

    Raises:
        ConfigError: An unknown implementation.
        ShapeError: Inputs smaller than the filters.
    """
    axes = kernel.ndim - 2
    inner, lead = x.shape[-axes - 1 : -1], x.shape[: -axes - 1]
    spans = [n + sum(edges) - k for n, k, edges in zip(inner, kernel.shape, padding, strict=False)]
    if min(spans) < 0:
        size, least = ("x".join(map(str, each)) for each in (inner, kernel.shape[:axes]))
        raise ShapeError(
            f"got inputs of {size} with padding {tuple(padding)}, expected at least {least}, one filter; use larger "
            "inputs or a smaller kernel"
        )
    sizes = [span // stride + 1 for span, stride in zip(spans, strides, strict=True)]
    items = x.reshape(math.prod(lead), *x.shape[-axes - 1 :])
    if resolve(implementation) == "plain":
        letters = "DHW"[3 - axes :]
        layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
        y = lax.conv_general_dilated(items, kernel, tuple(strides), list(padding), dimension_numbers=layout)
        return y.reshape(*lead, *y.shape[1:])

    def multiply(items):
        patches = _patches(items, kernel.shape[:axes], sizes, strides, padding)
        return checkpoint_name(patches @ kernel.reshape(-1, kernel.shape[-1]), _PRODUCT)

    policy = jax.checkpoint_policies.save_only_these_names(_PRODUCT)
    multiply = jax.checkpoint(multiply, prevent_cse=False, policy=policy)
    limit = max(1, _TILE // (math.prod(sizes) * math.prod(kernel.shape[:-1])))
    number = len(items)
    if number <= limit:
        return multiply(items).reshape(*lead, *sizes, kernel.shape[-1])
    tiles = -(-number // limit)
    size = -(-number // tiles)
    items = jnp.pad(items, [(0, tiles * size - number), *[(0, 0)] * (axes + 1)])  # one loop for all is compiled faster
    y = lax.map(multiply, items.reshape(tiles, size, *items.shape[1:]))
    return y.reshape(-1, *y.shape[2:])[:number].reshape(*lead, *y.shape[2:])


def _patches(
    items: Array, kernel_size: Sequence[int], sizes: Sequence[int], strides: Sequence[int], padding: Edges
) -> Array:
    """Cuts the patches of all outputs, [n, *sizes, taps * channels], one axis after the other.

    The last axis comes first, so that offsets end up in the order of the filters. Three axes of 3, 9 and 9 offsets take
    21 slices instead of 243, which matters for compiling.
    """
    items = jnp.pad(items, ((0, 0), *padding, (0, 0)))
    for axis in reversed(range(len(sizes))):
        span = (sizes[axis] - 1) * strides[axis] + 1
        parts = [lax.slice_in_dim(items, n, n + span, strides[axis], axis + 1) for n in range(kernel_size[axis])]
        items = jnp.concatenate(parts, axis=-1)
    return items
