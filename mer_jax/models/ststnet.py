"""STSTNet."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.dropout import Dropout
from mer_jax.blocks.small_conv import resolve
from mer_jax.blocks.small_layers import BatchNorm2D, ConvRelu2D, conv_relu_norm_pool_streams
from mer_jax.blocks.small_pool import avg_pool
from mer_jax.data.views import check_motion
from mer_jax.typing import Logits


class STSTNet(nn.Module):
    """Three shallow streams of 3, 5 and 8 filters over motion features: a net of 1,683 parameters.

    Each stream: convolution 3x3, ReLU, batch normalisation, 3x3 max pooling, dropout.
    Then: concatenate, 2x2 mean pooling, flatten to 400, logits.

    Parameters: 1,683 with 3 classes.
    Collections: `params`, `batch_stats`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        streams: Filters of each stream.
        dropout: Share of features set to zero while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are
            float32.

    Source: Liong et al., "Shallow triple stream three-dimensional CNN (STSTNet) for
    micro-expression recognition", FG 2019 (arXiv 1902.03634), in the form of
    the authors' PyTorch port, which adds normalisation and dropout and pads the convolution by 2.
    Differs: features from -1 to 1 with no motion at 0, instead of 0 to 255.
    """

    view: ClassVar[str] = "motion"

    num_classes: int = 3
    streams: tuple[int, ...] = (3, 5, 8)
    dropout: float = 0.5
    dtype: Any = None

    def describe(self) -> dict[str, str]:
        """The implementation of the convolutions on this machine, for the record of a run."""
        return {"convolution": resolve()}

    @nn.compact
    def __call__(self, motion: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the motion features of each clip to logits.

        Args:
            motion: Horizontal flow, vertical flow and strain [*b, 28, 28, 3], from -1 to 1.
            is_training: Whether dropout is on, and statistics are those of the batch.

        Raises:
            ShapeError: Features of another size, or integers.
        """
        check_motion(motion)
        numbered = list(enumerate(self.streams, start=1))
        padding = ((2, 2), (2, 2))
        convs = [ConvRelu2D(d, (3, 3), padding, dtype=self.dtype, name=f"conv_{n}") for n, d in numbered]
        norms = [BatchNorm2D(momentum=0.9, dtype=self.dtype, name=f"normalize_{n}") for n, _ in numbered]
        pooled = conv_relu_norm_pool_streams(
            motion, convs, norms, is_training=is_training, pool_size=(3, 3), pool_padding=((1, 1), (1, 1))
        )  # *b 10 10 16
        x = avg_pool(Dropout(self.dropout)(pooled, is_training=is_training), (2, 2))
        x = x.reshape(*motion.shape[:-3], -1)  # *b (5 5 16)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
