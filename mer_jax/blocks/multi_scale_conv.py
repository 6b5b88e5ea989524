"""Convolutions of several sizes side by side, computed as one."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from mer_jax.blocks.small_conv import conv_relu_pool
from mer_jax.blocks.small_pool import NO_PADDING, Padding, Size2


class MultiScaleConv2D(nn.Module):
    """Parallel convolutions of several sizes, concatenated; ReLU; max pooling with a stride equal to its window.

    Filters are padded with zeros to the largest size, so that all of them are one convolution.

    Parameters: for each size s, kernel [s, s, c, d] and bias [d].
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Filters d of each size.
        sizes: Height and width of the filters, odd.
        pool_size: (height, width) of pooling windows, and their stride; (1, 1) pools nothing.
        pool_padding: ((top, bottom), (left, right)) around the pooled features, in pixels.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2a, without its pooling arm.
    """

    features: int = 4
    sizes: tuple[int, ...] = (1, 3, 5)
    pool_size: Size2 = (1, 1)
    pool_padding: Padding = NO_PADDING
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 d"]:
        """Maps pictures to the pooled features of all sizes, in the order of `sizes`.

        Raises:
            ConfigError: Pool padding as wide as the window.
            ShapeError: Pictures smaller than the window.
        """
        kernels, biases = [], []
        margin = max(self.sizes) // 2
        for size in self.sizes:
            shape = (size, size, x.shape[-1], self.features)
            kernel = self.param(f"kernel_{size}", nn.initializers.lecun_normal(), shape)
            edge = (margin - size // 2,) * 2
            kernels.append(jnp.pad(kernel, (edge, edge, (0, 0), (0, 0))))
            biases.append(self.param(f"bias_{size}", nn.initializers.zeros_init(), (self.features,)))
        x, kernel, bias = promote_dtype(x, jnp.concatenate(kernels, -1), jnp.concatenate(biases), dtype=self.dtype)
        padding = ((margin, margin), (margin, margin))  # keeps the size
        return conv_relu_pool(
            x, kernel, bias, padding=padding, pool_size=self.pool_size, pool_padding=self.pool_padding
        )
