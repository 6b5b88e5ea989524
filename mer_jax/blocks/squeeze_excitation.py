"""Squeeze and excitation: which channels to listen to."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float


class SqueezeExcitation(nn.Module):
    """Recalibrates channels: `x + x * s` with `s = sigmoid(W2 relu(W1 squeeze(x)))`.

    The squeeze is the mean over all frames and places. On plain vectors (features
    after a concatenation) there is nothing to average: every feature is a channel.

    Parameters: dense [c, r] + [r], dense [r, c] + [c] with r = max(1, c // ratio);
    `2*c*r + r + c` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        ratio: how many times narrower the middle layer is.
        residual: add the input, as the paper's "residual operation"; False gives the
            plain `x * s` of Hu et al. (CVPR 2018).
        dtype: of the arithmetic; None takes that of the input. Parameters are float32.

    Source: section 3.5 of the paper; the ratio is ours.
    """

    ratio: int = 4
    residual: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Takes clips [*b, t, h, w, c] or vectors [b, c]; returns the same shape."""
        channels = x.shape[-1]
        squeezed = x.mean((-4, -3, -2), keepdims=True) if x.ndim >= 4 else x
        hidden = nn.relu(nn.Dense(max(1, channels // self.ratio), dtype=self.dtype, name="squeeze")(squeezed))
        scale = nn.sigmoid(nn.Dense(channels, dtype=self.dtype, name="excite")(hidden))
        return x + x * scale if self.residual else x * scale
