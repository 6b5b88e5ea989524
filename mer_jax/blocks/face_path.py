"""One path of a network: from the frames of a face region to a feature vector."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mer_jax.blocks.conv_pool import ConvReluPool, Size3


class FacePath(nn.Module):
    """Conv3D, ReLU, MaxPool3D, [attention], flatten, dense, ReLU, dropout.

    Parameters: convolution `kt*kh*kw*c*features + features`, dense
    `t2*h2*w2*features*dense + dense`, and those of the attention.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        features: filters of the convolution.
        kernel_size: frames, height, width.
        pool_size: frames, height, width.
        dense: width of the dense layer.
        dropout: share of features set to zero while training.
        implementation: see `ConvReluPool`.
        attention: a module that maps features [*b, t, h, w, c] to the same shape; None
            for no attention.
        dtype: of the arithmetic; None takes that of the input. Parameters are float32.
        pool_stride: of the max pooling; None for the size of the pool.
        chunk: see `ConvReluPool`.

    Source: sections 3.4.1 to 3.4.3 of the paper for the order of the layers; all sizes
    are ours.
    """

    features: int
    kernel_size: Size3
    pool_size: Size3
    dense: int
    dropout: float
    implementation: str = "auto"
    attention: nn.Module | None = None
    dtype: Any = None
    pool_stride: Size3 | None = None
    chunk: int | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, is_training: bool) -> Float[Array, "b d"]:
        """Returns one vector a clip."""
        x = ConvReluPool(
            features=self.features,
            kernel_size=self.kernel_size,
            pool_size=self.pool_size,
            implementation=self.implementation,
            dtype=self.dtype,
            pool_stride=self.pool_stride,
            chunk=self.chunk,
            name="conv",
        )(x)
        if self.attention is not None:
            x = self.attention(x)
        x = x.reshape(x.shape[0], -1)  # b (t2 h2 w2 d)
        x = nn.relu(nn.Dense(self.dense, dtype=self.dtype, name="dense")(x))
        return nn.Dropout(self.dropout, deterministic=not is_training)(x)
