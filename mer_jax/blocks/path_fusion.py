"""The head of the two-path networks: from the vectors of the paths to logits."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class PathFusion(nn.Module):
    """Concatenate, [recalibrate], dense, ReLU, dropout, dense to one logit a class.

    Parameters: `(paths*d)*dense + dense + dense*k + k`, and those of `recalibration`.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        dense: Width of the dense layer.
        dropout: Share of features set to zero while training.
        recalibration: A module on the concatenated vector, or None.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: section 3.4.1 of the paper; the softmax is part of the loss. Widths are ours.
    """

    num_classes: int
    dense: int
    dropout: float
    recalibration: nn.Module | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, *paths: Float[Array, "*b _d"], is_training: bool) -> Float[Array, "*b k"]:
        """Returns logits."""
        x = jnp.concatenate(paths, axis=-1)
        if self.recalibration is not None:
            x = self.recalibration(x)
        x = nn.relu(nn.Dense(self.dense, dtype=self.dtype, name="dense")(x))
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
