"""The Inception block: filters of several sizes side by side, each behind a reduction of channels."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.blocks.patch_conv import PatchConv
from mer_jax.blocks.small_layers import BatchNorm2D


class Inception(nn.Module):
    """Four arms, concatenated: 1x1; 1x1 to 3x3; 1x1 to 5x5; 3x3 maximum to 1x1.

    Each convolution is followed by batch normalisation and ReLU. Height and width stay.

    Parameters: of the six convolutions, and twice the number of all their filters for the normalisations.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Filters of each arm.
        reduced: Filters of the 1x1 convolutions before 3x3 and 5x5.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2b, with batch normalisation (Ioffe and
    Szegedy, ICML 2015).
    """

    features: int = 6
    reduced: int = 6
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"], *, is_training: bool) -> Float[Array, "*b h w d"]:
        """Maps pictures to the features of all arms.

        Args:
            x: Pictures.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """

        def layer(x, features, size, name):
            x = PatchConv(features, (size, size), dtype=self.dtype, name=name)(x)
            return nn.relu(BatchNorm2D(dtype=self.dtype, name=f"normalize_{name}")(x, is_training=is_training))

        arms = [
            layer(x, self.features, 1, "single"),
            layer(layer(x, self.reduced, 1, "reduce_3"), self.features, 3, "conv_3"),
            layer(layer(x, self.reduced, 1, "reduce_5"), self.features, 5, "conv_5"),
            layer(neighbourhood_maximum(x), self.features, 1, "pooled"),
        ]
        return jnp.concatenate(arms, axis=-1)


def neighbourhood_maximum(x: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    """Replaces every pixel by the maximum of the 3x3 pixels around it: max pooling with a stride of 1.

    Example:
        >>> neighbourhood_maximum(jnp.arange(9.0).reshape(3, 3, 1))[..., 0].tolist()
        [[4.0, 5.0, 5.0], [7.0, 8.0, 8.0], [7.0, 8.0, 8.0]]
    """
    for axis in (-3, -2):
        x = jnp.moveaxis(x, axis, 0)
        above, below = jnp.concatenate([x[:1], x[:-1]]), jnp.concatenate([x[1:], x[-1:]])  # ends are repeated
        x = jnp.moveaxis(jnp.maximum(x, jnp.maximum(above, below)), 0, axis)
    return x
