"""Dual Path-3DNet, and what its descendants share with it."""

from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float, Num

from mer_jax.blocks.conv_pool import Size3
from mer_jax.blocks.face_path import FacePath
from mer_jax.blocks.path_fusion import PathFusion
from mer_jax.data.views import check_halves


class DualPath3DNet(nn.Module):
    """Two 3D convolutional paths, one for each half of the face, joined to one answer.

    Each path: Conv3D + ReLU, MaxPool3D, flatten, dense + ReLU, dropout. Then:
    concatenate, dense + ReLU, dropout, softmax (here: logits).

    A descendant changes one of two places: `path_attention` (after the pool of each
    path) and `fusion_recalibration` (after the concatenation).

    Parameters: see `tests/test_models.py` for the count of each network.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: k.
        features: filters of the convolution of each path.
        kernel_size: of the convolution: frames, height, width.
        pool_size: of the max pooling: frames, height, width.
        path_dense: width of the dense layer of each path.
        fusion_dense: width of the dense layer after the concatenation.
        dropout: share of features set to zero while training, in both places.
        implementation: of the convolution, see `ConvReluPool`.
        pool_stride: of the max pooling; None for the size of the pool.
        chunk: clips that an accelerator convolves at a time, where its memory is short; None for all.
        dtype: of the arithmetic; None takes that of the input. Parameters and logits are
            float32.

    Source: section 3.4.1 and figure 5 of the paper, which give the order of the layers
    and no sizes: all sizes are ours. The wide spatial pool is what makes the network
    train on a few hundred clips: a micro-expression moves a feature by less than
    the 8 pixels of a window, and subjects differ by more.
    """

    view: ClassVar[str] = "halves"

    num_classes: int = 3
    features: int = 8
    kernel_size: Size3 = (3, 3, 3)
    pool_size: Size3 = (4, 8, 8)
    path_dense: int = 128
    fusion_dense: int = 128
    dropout: float = 0.5
    implementation: str = "auto"
    pool_stride: Size3 | None = None
    chunk: int | None = None
    dtype: Any = None

    def path_attention(self) -> nn.Module | None:
        """What stands between the pool and the flattening of a path.

        Made with `parent=None`, so that the path adopts it.
        """
        return None

    def fusion_recalibration(self) -> nn.Module | None:
        """What stands between the concatenation and the dense layer, made likewise."""
        return None

    @nn.compact
    def __call__(
        self,
        upper: Num[Array, "..."],
        lower: Num[Array, "..."],
        *,
        is_training: bool,
    ) -> Float[Array, "b k"]:
        """Maps the two halves of each clip to logits.

        Args:
            upper: upper halves [b, t, 64, 128, 1], normalised.
            lower: lower halves of the same clips and shape.
            is_training: whether dropout is on.

        Raises:
            ShapeError: halves of another size, integers, or too few frames.
        """
        check_halves(upper, lower)
        paths = [
            FacePath(
                features=self.features,
                kernel_size=self.kernel_size,
                pool_size=self.pool_size,
                dense=self.path_dense,
                dropout=self.dropout,
                implementation=self.implementation,
                pool_stride=self.pool_stride,
                chunk=self.chunk,
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
