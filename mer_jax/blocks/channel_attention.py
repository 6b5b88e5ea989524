"""Channel attention of CBAM: a weight for each channel, from the mean and the maximum of its map."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class ChannelAttention(nn.Module):
    """Weighs channels: `x * sigmoid(mlp(mean) + mlp(maximum))`, over all places, with one mlp of two dense layers.

    Parameters: dense [c, r] + [r], dense [r, c] + [c] with r = max(1, c // ratio); `2*c*r + r + c` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        ratio: How many times narrower the middle layer is.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Woo et al., "CBAM: Convolutional block attention module", ECCV 2018, section 3.
    """

    ratio: int = 16
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
        """Returns the weighted features."""
        channels = x.shape[-1]
        squeeze = nn.Dense(max(1, channels // self.ratio), dtype=self.dtype, name="squeeze")
        excite = nn.Dense(channels, dtype=self.dtype, name="excite")
        summaries = jnp.stack([x.mean((-3, -2)), x.max((-3, -2))])
        mean, maximum = excite(nn.relu(squeeze(summaries)))
        return x * nn.sigmoid(mean + maximum)[..., None, None, :]
