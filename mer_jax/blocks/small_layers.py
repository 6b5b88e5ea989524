"""Layers of small 2D networks, with parameters named and initialised as in `nn.Conv` and `nn.BatchNorm`.

`weights` of a layer returns its parameters, so that streams over the same pictures can be computed together, by
`conv_relu_norm_pool_streams`. A layer that is not shared is called as usual.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float

from mer_jax.blocks.small_conv import EPSILON, conv_relu, conv_relu_norm_pool, conv_relu_pool
from mer_jax.blocks.small_pool import NO_PADDING, Padding, Size2


class ConvRelu2D(nn.Module):
    """Conv2D with a stride of 1, ReLU.

    Parameters: `kernel` [kh, kw, c, d], `bias` [d]; `kh*kw*c*d + d` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Filters d.
        kernel_size: (kh, kw) in pixels.
        padding: ((top, bottom), (left, right)) of zeros, in pixels.
        dtype: Of the arithmetic; None takes that of input and parameters. Parameters are float32.

    Source: `nn.Conv` with the same arguments, followed by `nn.relu`.
    """

    features: int
    kernel_size: Size2 = (3, 3)
    padding: Padding = ((1, 1), (1, 1))
    dtype: Any = None

    @nn.compact
    def weights(self, channels: int) -> tuple[Array, Array]:
        """Returns kernel and bias for pictures of so many channels."""
        shape = (*self.kernel_size, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        return kernel, self.param("bias", nn.initializers.zeros_init(), (self.features,))

    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 d"]:
        """Maps pictures to features.

        Raises:
            ShapeError: Pictures smaller than the filters.
        """
        x, kernel, bias = promote_dtype(x, *self.weights(x.shape[-1]), dtype=self.dtype)
        return conv_relu(x, kernel, bias, padding=self.padding)


class ConvReluPool2D(ConvRelu2D):
    """Conv2D with a stride of 1, ReLU, MaxPool2D with a stride equal to its window.

    Parameters: `kernel` [kh, kw, c, d], `bias` [d]; `kh*kw*c*d + d` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        pool_size: (height, width) of windows, and their stride.
        pool_padding: ((top, bottom), (left, right)) around the pooled features, in pixels.

    Source: `nn.Conv` with the same arguments, followed by `nn.relu` and `nn.max_pool`.
    """

    pool_size: Size2 = (2, 2)
    pool_padding: Padding = NO_PADDING

    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h2 w2 d"]:
        """Maps pictures to pooled features.

        Raises:
            ConfigError: Pool padding as wide as the window.
            ShapeError: Pictures smaller than the filters or the window.
        """
        x, kernel, bias = promote_dtype(x, *self.weights(x.shape[-1]), dtype=self.dtype)
        return conv_relu_pool(
            x, kernel, bias, padding=self.padding, pool_size=self.pool_size, pool_padding=self.pool_padding
        )


class BatchNorm2D(nn.Module):
    """Batch normalisation over all axes but the last.

    Parameters: `scale` [d], `bias` [d]; `2*d` in all.
    Collections: `params`, `batch_stats` (`mean` [d], `var` [d]). Rngs: none.

    Attributes:
        momentum: Share of the running averages that an update keeps.
        dtype: Of the result; None takes that of input and parameters. Parameters and statistics are float32.

    Source: `nn.BatchNorm` with the same arguments.
    """

    momentum: float = 0.9
    dtype: Any = None

    @nn.compact
    def weights(self, features: int) -> tuple[Array, Array, Array, Array]:
        """Returns scale, offset, running mean and running variance."""
        scale = self.param("scale", nn.initializers.ones_init(), (features,))
        offset = self.param("bias", nn.initializers.zeros_init(), (features,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), jnp.float32)
        variance = self.variable("batch_stats", "var", jnp.ones, (features,), jnp.float32)
        return scale, offset, mean.value, variance.value

    def update(self, mean: Float[Array, " d"], variance: Float[Array, " d"]) -> None:
        """Moves the running averages towards the statistics of a batch; not while parameters are initialised."""
        if self.is_initializing():
            return
        for name, new in (("mean", mean), ("var", variance)):
            old = self.get_variable("batch_stats", name)
            self.put_variable("batch_stats", name, self.momentum * old + (1 - self.momentum) * new)

    def __call__(self, x: Float[Array, "*b h w c"], *, is_training: bool) -> Float[Array, "*b h w c"]:
        """Normalises features.

        Args:
            x: Features.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """
        scale, offset, mean, variance = self.weights(x.shape[-1])
        if is_training:
            exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            axes = tuple(range(x.ndim - 1))
            mean = exact.mean(axes)
            variance = jnp.maximum(0.0, (exact * exact).mean(axes) - mean * mean)
            self.update(mean, variance)
        normalized = (x - mean) * (lax.rsqrt(variance + EPSILON) * scale) + offset
        return normalized.astype(self.dtype or jnp.result_type(x, scale))


def conv_relu_norm_pool_streams(
    x: Float[Array, "*b h w c"],
    convs: Sequence[ConvRelu2D],
    norms: Sequence[BatchNorm2D],
    *,
    is_training: bool,
    pool_size: Size2,
    pool_padding: Padding = NO_PADDING,
) -> Float[Array, "*b h2 w2 _d"]:
    """Convolution, ReLU, batch normalisation and max pooling of several streams that read the same pictures.

    Args:
        x: Pictures.
        convs: One for each stream, alike but for their numbers of filters.
        norms: One for each stream.
        is_training: Whether statistics are those of the batch, and update the running averages.
        pool_size: (height, width) of windows, and their stride.
        pool_padding: ((top, bottom), (left, right)) around the pooled features, in pixels.

    Returns:
        Pooled features of all streams, in their order.

    Raises:
        ConfigError: Pool padding as wide as the window.
        ShapeError: Pictures smaller than the filters or the window.
    """
    filters = [conv.weights(x.shape[-1]) for conv in convs]
    scales = [norm.weights(conv.features) for conv, norm in zip(convs, norms, strict=True)]
    kernel, bias = (jnp.concatenate(each, axis=-1) for each in zip(*filters, strict=True))
    scale, offset, *running = (jnp.concatenate(each) for each in zip(*scales, strict=True))
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=convs[0].dtype)
    pooled, statistics = conv_relu_norm_pool(
        x,
        kernel,
        bias,
        scale,
        offset,
        statistics=None if is_training else (running[0], running[1]),
        padding=convs[0].padding,
        pool_size=pool_size,
        pool_padding=pool_padding,
    )
    if is_training:
        ends = [sum(conv.features for conv in convs[: number + 1]) for number in range(len(convs))]
        mean, variance = (jnp.split(each, ends[:-1]) for each in statistics)
        for norm, *new in zip(norms, mean, variance, strict=True):
            norm.update(*new)
    return pooled
