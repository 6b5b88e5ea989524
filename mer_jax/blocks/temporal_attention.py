"""Temporal attention: a weight for each frame."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float


class TemporalAttention(nn.Module):
    """Weighs every frame by its share of the clip.

    Each frame is summarised by the mean over its places; a dense layer, tanh and a
    second dense layer score it; a softmax over the frames makes shares, scaled by the
    number of frames so that equal shares leave the features as they are.

    Parameters: dense [c, r] and [r], dense [r, 1] with r = `features`;
    `(c + 2) * r` in all.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        features: Width r of the scoring layer.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: section 3.4.2 of the paper ("assigns weights based on temporal dynamics")
    gives no formula; this form is ours.
    """

    features: int = 16
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"]) -> tuple[Float[Array, "*b t h w c"], Float[Array, "*b t 1 1 1"]]:
        """Returns the weighted features and the weights, whose mean over t is 1."""
        frames = x.mean((-3, -2), keepdims=True)
        hidden = nn.tanh(nn.Dense(self.features, dtype=self.dtype, name="hidden")(frames))
        # A bias would cancel in the softmax.
        scores = nn.Dense(1, use_bias=False, dtype=self.dtype, name="score")(hidden)
        weights = nn.softmax(scores, axis=-4) * x.shape[-4]
        return x * weights, weights
