"""Dual-ATME."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.blocks.cbam import ConvBlockAttention
from mer_jax.blocks.inception import Inception
from mer_jax.blocks.region import UNFIT_CROPS, join_areas
from mer_jax.blocks.small_pool import max_pool
from mer_jax.data.views import check_motion
from mer_jax.typing import Logits


class DualATME(nn.Module):
    """Two Inception branches over motion features: the whole face, and four areas of it joined to one picture.

    Each branch: Inception block of 4 x 6 filters, 2x2 max pooling, Inception block of 4 x 12 filters, 2x2 max pooling,
    CBAM, which both branches share. Then: concatenate, flatten to 4,704, dense 1024, normalisation, ReLU, dropout,
    logits. While training, the branches are drawn together: 0.01 times one minus the cosine of their features is added
    to the loss.

    Parameters: 4,833,193 with 3 classes.
    Collections: `params`, `batch_stats`; sows into `losses`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        features: Filters of each arm of the first and the second Inception block.
        dense: Width of the dense layer.
        similarity: Weight of the term that draws the branches together; 0 leaves it out.
        dropout: Share of features set to zero before the logits while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Zhou et al., "Dual-ATME: Dual-branch attention network for micro-expression recognition", Entropy 25(3),
    2023, in the form of the authors' code, which trains with focal loss (`smic_dualatme.py`).
    Differs: the joined picture is not in that code: four areas of 14x14 at fixed places, for faces of the crop `onset`,
    are ours. Features from -1 to 1 instead of a colour picture of the flow.
    """

    view: ClassVar[str] = "motion"
    unfit_crops: ClassVar[tuple[str, ...]] = UNFIT_CROPS

    num_classes: int = 3
    features: tuple[int, int] = (6, 12)
    dense: int = 1024
    similarity: float = 0.01
    dropout: float = 0.5
    dtype: Any = None

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
        attention = ConvBlockAttention(16, 3, self.dtype, name="attention")
        branches = []
        for name, x in (("whole", motion), ("areas", join_areas(motion))):
            for layer, features in enumerate(self.features, start=1):
                x = Inception(features, dtype=self.dtype, name=f"{name}_{layer}")(x, is_training=is_training)
                x = max_pool(x, (2, 2))
            branches.append(attention(x))  # *b 7 7 48
        if is_training and self.similarity:
            self.sow("losses", "similarity", self.similarity * (1 - cosine(*branches)))
        x = jnp.concatenate(branches, axis=-1)
        x = nn.Dense(self.dense, dtype=self.dtype, name="dense")(x.reshape(*x.shape[:-3], -1))
        normalize = nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name="normalize")
        x = nn.relu(normalize(x))
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)


def cosine(one: Float[Array, "*b h w c"], other: Float[Array, "*b h w c"]) -> Float[Array, "*b"]:
    """The cosine of the angle between the features of each clip, in float32."""
    one, other = one.astype(jnp.float32), other.astype(jnp.float32)
    axes = (-3, -2, -1)
    squares = (one * one).sum(axes) * (other * other).sum(axes)
    return (one * other).sum(axes) * jnp.sqrt(1 / jnp.maximum(squares, 1e-16))
