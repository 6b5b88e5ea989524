"""MicroExpSTCNN."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.conv_pool import Convolution, ConvReluPool
from mer_jax.blocks.region import resize_area
from mer_jax.data.views import check_halves
from mer_jax.typing import Logits


class MicroExpSTCNN(nn.Module):
    """One 3D convolution with a long kernel over the whole face: the likely ancestor of the paper's networks.

    The face at 64x64, Conv3D + ReLU, MaxPool3D, dropout, flatten, dense + ReLU, dropout,
    logits.

    Parameters: 1,643,267 with 18 frames and 3 classes. 44.2 million with 96 frames.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        conv: Of the convolution and the max pooling. 15 frames of the kernel need clips of 17 or more.
        dense: Width of the dense layer.
        dropout: Share of features set to zero while training, in both places.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Reddy et al., "Spontaneous facial micro-expression recognition using 3D
    spatiotemporal convolutional neural networks", IJCNN 2019 (arXiv 1904.01390), by the
    authors' code.
    Differs: the face comes as two halves of 128x64 with the project's own crop and
    normalisation of each clip; theirs is normalised over training and test set together.
    """

    view: ClassVar[str] = "halves"

    num_classes: int = 3
    conv: Convolution = Convolution(32, (15, 3, 3), (3, 3, 3))
    dense: int = 128
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, upper: Num[Array, "..."], lower: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the two halves, joined to the whole face, to logits.

        Args:
            upper: Upper halves [*b, t, 64, 128, 1], normalised.
            lower: Lower halves of the same clips and shape.
            is_training: Whether dropout is on.

        Raises:
            ShapeError: Halves of another size, integers, or too few frames.
        """
        check_halves(upper, lower)
        x = resize_area(jnp.concatenate([upper, lower], axis=-3), (64, 64))
        x = ConvReluPool(self.conv, self.dtype, name="conv")(x)
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        x = x.reshape(*x.shape[:-4], -1)  # *b (t2 h2 w2 d)
        normal = nn.initializers.normal(0.05)  # what Keras calls "normal"
        x = nn.relu(nn.Dense(self.dense, kernel_init=normal, dtype=self.dtype, name="dense")(x))
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return nn.Dense(self.num_classes, kernel_init=normal, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
