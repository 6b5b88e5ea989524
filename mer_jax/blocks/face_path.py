"""One path of a network: from the frames of a face region to a feature vector."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mer_jax.blocks.conv_pool import Convolution, ConvReluPool


class FacePath(nn.Module):
    """Conv3D, ReLU, MaxPool3D, [attention], flatten, dense, ReLU, dropout.

    Parameters: convolution `kt*kh*kw*c*features + features`, dense
    `t2*h2*w2*features*dense + dense`, and those of the attention.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        conv: Of the convolution and the max pooling.
        dense: Width of the dense layer.
        dropout: Share of features set to zero while training.
        attention: A module that maps features [*b, t, h, w, c] to the same shape; None for no attention.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: sections 3.4.1 to 3.4.3 of the paper for the order of the layers; all sizes
    are ours.
    """

    conv: Convolution
    dense: int
    dropout: float
    attention: nn.Module | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"], *, is_training: bool) -> Float[Array, "*b d"]:
        """Returns one vector a clip."""
        x = ConvReluPool(self.conv, self.dtype, name="conv")(x)
        if self.attention is not None:
            x = self.attention(x)
        x = x.reshape(*x.shape[:-4], -1)  # *b (t2 h2 w2 d)
        x = nn.relu(nn.Dense(self.dense, dtype=self.dtype, name="dense")(x))
        return nn.Dropout(self.dropout, deterministic=not is_training)(x)
