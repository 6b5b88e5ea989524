"""Squeeze-and-excitation: a weight for each channel."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float


class SqueezeExcitation(nn.Module):
    """Recalibrates channels: `x + x * s` with `s = sigmoid(W2 relu(W1 squeeze(x)))`.

    The squeeze is the mean over all frames and places. Vectors, such as features after a concatenation, have nothing to
    average: every feature is a channel.

    Parameters: dense [c, r] + [r], dense [r, c] + [c] with r = max(1, c // ratio);
    `2*c*r + r + c` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        ratio: How many times narrower the middle layer is.
        residual: Add the input, as the paper's "residual operation"; False gives the
            plain `x * s` of Hu et al. (CVPR 2018).
        axes: Axes that the squeeze averages, counted from the right: frames, height and width of clips; () for
            vectors.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: section 3.5 of the paper; the ratio is ours.
    """

    ratio: int = 4
    residual: bool = True
    axes: tuple[int, ...] = (-4, -3, -2)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Takes clips [*b, t, h, w, c], or vectors [*b, c] where `axes` is (); returns the same shape."""
        channels = x.shape[-1]
        squeezed = x.mean(self.axes, keepdims=True) if self.axes else x
        hidden = nn.relu(nn.Dense(max(1, channels // self.ratio), dtype=self.dtype, name="squeeze")(squeezed))
        scale = nn.sigmoid(nn.Dense(channels, dtype=self.dtype, name="excite")(hidden))
        return x + x * scale if self.residual else x * scale
