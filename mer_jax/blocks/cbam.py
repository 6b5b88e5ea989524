"""CBAM: attention to channels, then to places."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mer_jax.blocks.channel_attention import ChannelAttention
from mer_jax.blocks.spatial_attention import SpatialAttention


class ConvBlockAttention(nn.Module):
    """Convolutional block attention module: `ChannelAttention`, then `SpatialAttention` of its result.

    Parameters: those of `channels` and `places`.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        ratio: Of the channel attention: how many times narrower its middle layer is.
        kernel_size: Side of the window of the spatial attention, in places of the feature map.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Woo et al., "CBAM: Convolutional block attention module", ECCV 2018.
    """

    ratio: int = 16
    kernel_size: int = 7
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
        """Returns the weighted features."""
        x = ChannelAttention(self.ratio, self.dtype, name="channels")(x)
        one_frame = x[..., None, :, :, :]
        weighted, _ = SpatialAttention(self.kernel_size, self.dtype, name="places")(one_frame)
        return weighted[..., 0, :, :, :]
