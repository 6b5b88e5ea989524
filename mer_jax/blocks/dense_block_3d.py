"""Densely connected 3D convolutions."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mer_jax.blocks.patch_conv import PatchConv
from mer_jax.blocks.squeeze_excitation import SqueezeExcitation


class DenseBlock3D(nn.Module):
    """3D convolutions, each of which reads the features of all before it.

    Each layer: batch normalisation, ReLU, convolution 3x3x3 to `growth` channels, put beside its input.

    Parameters: for layer i, a norm of `2*c_i` and a kernel [3, 3, 3, c_i, growth], where c_i = c + (i - 1) * growth.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        layers: Number of layers.
        growth: Channels that each layer adds.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Huang et al., "Densely connected convolutional networks", CVPR 2017, section 3, without bottlenecks.
    """

    layers: int
    growth: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"], *, is_training: bool) -> Float[Array, "*b t h w d"]:
        """Returns `layers * growth` more channels.

        Args:
            x: Clips.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """
        for number in range(1, self.layers + 1):
            y = nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name=f"norm_{number}")(x)
            conv = PatchConv(self.growth, (3, 3, 3), use_bias=False, dtype=self.dtype, name=f"conv_{number}")
            x = jnp.concatenate([x, conv(nn.relu(y))], axis=-1)
        return x


class Transition3D(nn.Module):
    """Between dense blocks: half the channels, recalibrated by squeeze-and-excitation, and half the size.

    Batch normalisation, ReLU, convolution 1x1x1, squeeze-and-excitation, mean pooling of 2x2x2. An axis of length 1 is
    not pooled; a last frame, row or column that fills no window is left out.

    Parameters: a norm of `2*c`, a kernel [1, 1, 1, c, c // 2], and those of `SqueezeExcitation`.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        ratio: Of the squeeze-and-excitation.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Huang et al., CVPR 2017, section 3; squeeze-and-excitation in the transition: Cai et al., "Micro-expression
    recognition using 3D DenseNet fused squeeze-and-excitation networks", Applied Soft Computing 119, 2022, by its name;
    its form is that of Hu et al., CVPR 2018.
    """

    ratio: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"], *, is_training: bool) -> Float[Array, "*b t2 h2 w2 d"]:
        """Returns features of half the size.

        Args:
            x: Features of a dense block.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """
        x = nn.relu(nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name="norm")(x))
        x = nn.Dense(x.shape[-1] // 2, use_bias=False, dtype=self.dtype, name="conv")(x)  # 1x1x1
        x = SqueezeExcitation(self.ratio, residual=False, dtype=self.dtype, name="recalibration")(x)
        for axis in (-4, -3, -2):
            pairs = x.shape[axis] // 2
            if pairs:
                first, second = (lax.slice_in_dim(x, n, 2 * pairs - 1 + n, 2, axis) for n in (0, 1))
                x = (first + second) / 2
        return x
