"""The single-path baseline."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.conv_pool import Convolution
from mer_jax.blocks.face_path import FacePath
from mer_jax.data.views import check_halves
from mer_jax.typing import Logits


class SinglePath3DNet(nn.Module):
    """One 3D convolutional path over the whole face: the paper's reference point.

    Parameters: 922,339 with 18 frames and 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        conv: Of the convolution and the max pooling.
        dense: Width of the dense layer.
        dropout: Share of features set to zero while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: section 6 and table 2 of the paper (MER-DACWB3DCNNST, its reference [18],
    whose layers are not published). The layers are those of one path of Dual
    Path-3DNet; all sizes are ours.
    """

    view: ClassVar[str] = "halves"
    family: ClassVar[str] = "the paper's"

    num_classes: int = 3
    conv: Convolution = Convolution(8, (3, 3, 3), (4, 8, 8))
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
        face = jnp.concatenate([upper, lower], axis=-3)
        features = FacePath(
            conv=self.conv,
            dense=self.dense,
            dropout=self.dropout,
            dtype=self.dtype,
            name="face",
        )(face, is_training=is_training)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(features).astype(jnp.float32)
