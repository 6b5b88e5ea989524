"""The single-path baseline."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.blocks.conv_pool import Size3
from mer_jax.blocks.face_path import FacePath
from mer_jax.data.views import check_halves


class SinglePath3DNet(nn.Module):
    """One 3D convolutional path over the whole face: the paper's reference point.

    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: k.
        features: filters of the convolution.
        kernel_size: frames, height, width.
        pool_size: frames, height, width.
        dense: width of the dense layer.
        dropout: share of features set to zero while training.
        implementation: of the convolution, see `ConvReluPool`.
        pool_stride: of the max pooling; None for the size of the pool.
        chunk: clips that an accelerator convolves at a time, where its memory is short; None for all.
        dtype: of the arithmetic; None takes that of the input. Parameters and logits are
            float32.

    Source: section 6 and table 2 of the paper (MER-DACWB3DCNNST, its reference [18],
    whose layers are not published). The layers are those of one path of Dual
    Path-3DNet; all sizes are ours.
    """

    view: ClassVar[str] = "halves"

    num_classes: int = 3
    features: int = 8
    kernel_size: Size3 = (3, 3, 3)
    pool_size: Size3 = (4, 8, 8)
    dense: int = 128
    dropout: float = 0.5
    implementation: str = "auto"
    pool_stride: Size3 | None = None
    chunk: int | None = None
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        upper: Num[Array, "..."],
        lower: Num[Array, "..."],
        *,
        is_training: bool,
    ) -> Float[Array, "b k"]:
        """Maps the two halves, joined to the whole face, to logits.

        Args:
            upper: upper halves [b, t, 64, 128, 1], normalised.
            lower: lower halves of the same clips and shape.
            is_training: whether dropout is on.

        Raises:
            ShapeError: halves of another size, integers, or too few frames.
        """
        check_halves(upper, lower)
        face = jnp.concatenate([upper, lower], axis=-3)
        features = FacePath(
            features=self.features,
            kernel_size=self.kernel_size,
            pool_size=self.pool_size,
            dense=self.dense,
            dropout=self.dropout,
            implementation=self.implementation,
            pool_stride=self.pool_stride,
            chunk=self.chunk,
            dtype=self.dtype,
            name="face",
        )(face, is_training=is_training)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(features).astype(jnp.float32)
