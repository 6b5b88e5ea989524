"""Spatial attention: a weight for each place of each frame."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class SpatialAttention(nn.Module):
    """Weighs every place of every frame by one number between 0 and 1.

    A 2D convolution over the mean and the maximum of the channels, then a sigmoid.

    Parameters: kernel [k, k, 2, 1] and bias [1]; `2*k*k + 1` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        kernel_size: Side k of the square window, in places of the feature map.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: section 3.4.2 of the paper says what the map is for and gives no formula;
    this form (Woo et al., CBAM, ECCV 2018) is ours.
    """

    kernel_size: int = 7
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"]) -> tuple[Float[Array, "*b t h w c"], Float[Array, "*b t h w 1"]]:
        """Returns the weighted features and the map."""
        summary = jnp.concatenate([x.mean(-1, keepdims=True), x.max(-1, keepdims=True)], axis=-1)
        window = (self.kernel_size, self.kernel_size)
        attention = nn.sigmoid(nn.Conv(1, window, dtype=self.dtype, name="map")(summary))
        return x * attention, attention
