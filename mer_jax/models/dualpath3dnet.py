"""Dual Path-3DNet, and what its descendants share with it."""

from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Num

from mer_jax.blocks.conv_pool import Convolution
from mer_jax.blocks.face_path import FacePath
from mer_jax.blocks.path_fusion import PathFusion
from mer_jax.data.views import check_halves
from mer_jax.typing import Logits


class DualPath3DNet(nn.Module):
    """Two 3D convolutional paths, one for each half of the face, joined to one answer.

    Each path: Conv3D + ReLU, MaxPool3D, flatten, dense + ReLU, dropout. Then:
    concatenate, dense + ReLU, dropout, softmax (here: logits).

    A descendant changes one of two places: `path_attention` (after the pool of each
    path) and `fusion_recalibration` (after the concatenation).

    Parameters: 894,147 with 18 frames and 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        conv: Of the convolution and the max pooling of each path.
        path_dense: Width of the dense layer of each path.
        fusion_dense: Width of the dense layer after the concatenation.
        dropout: Share of features set to zero while training, in both places.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: section 3.4.1 and figure 5 of the paper, which give the order of the layers
    and no sizes: all sizes are ours. The wide spatial pool is what makes the network
    train on a few hundred clips: a micro-expression moves a feature by less than
    the 8 pixels of a window, and subjects differ by more.
    """

    view: ClassVar[str] = "halves"
    family: ClassVar[str] = "the paper's"

    num_classes: int = 3
    conv: Convolution = Convolution(8, (3, 3, 3), (4, 8, 8))
    path_dense: int = 128
    fusion_dense: int = 128
    dropout: float = 0.5
    dtype: Any = None

    def path_attention(self) -> nn.Module | None:
        """Returns the module between the pool and the flattening of a path, or None.

        Make it with `parent=None`, so that it becomes a child of the path.
        """
        return None

    def fusion_recalibration(self) -> nn.Module | None:
        """Returns the module between the concatenation and the dense layer, or None; `parent=None` as above."""
        return None

    @nn.compact
    def __call__(self, upper: Num[Array, "..."], lower: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the two halves of each clip to logits.

        Args:
            upper: Upper halves [*b, t, 64, 128, 1], normalised.
            lower: Lower halves of the same clips and shape.
            is_training: Whether dropout is on.

        Raises:
            ShapeError: Halves of another size, integers, or too few frames.
        """
        check_halves(upper, lower)
        paths = [
            FacePath(
                conv=self.conv,
                dense=self.path_dense,
                dropout=self.dropout,
                dtype=self.dtype,
                attention=self.path_attention(),
                name=name,
            )(half, is_training=is_training)
            for name, half in (("upper", upper), ("lower", lower))
        ]
        return PathFusion(
            self.num_classes,
            self.fusion_dense,
            self.dropout,
            self.fusion_recalibration(),
            dtype=self.dtype,
            name="fusion",
        )(*paths, is_training=is_training)
