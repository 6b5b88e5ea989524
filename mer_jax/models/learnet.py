"""LEARNet."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.accretion import LateralAccretion
from mer_jax.blocks.small_layers import BatchNorm2D
from mer_jax.data.views import check_inputs
from mer_jax.typing import Logits


class LEARNet(nn.Module):
    """Lateral accretive hybrid network: four columns of convolutions over the dynamic image, with sums between them.

    Convolution of 16 filters 3x3, two pairs of columns (`LateralAccretion`), normalisation, convolution of 256 filters
    3x3, flatten to 4,096, dense 256 + ReLU, dropout, logits. All convolutions have a stride of 2 and a ReLU.

    Parameters: 1,865,251 with 3 classes.
    Collections: `params`, `batch_stats`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        picture_size: Height and width s of the dynamic image, in pixels.
        frame_weights: Of the dynamic image: `corrected`, with which a still face cancels, or `published`, as in the
            authors' code, with which part of it stays.
        features: Filters of the last convolution.
        dense: Width of the dense layer.
        dropout: Share of features set to zero before the logits while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Verma et al., "LEARNet: Dynamic imaging network for micro expression recognition", IEEE TIP 29, 2020
    (arXiv 1904.09410), in the form of the authors' code.
    Differs: a gray dynamic image from -1 to 1 instead of a colour one from 0 to 255; with three channels the published
    1,865,539 parameters. Momentum and epsilon of the normalisation, first weights, optimiser and epochs are ours.
    """

    view: ClassVar[str] = "dynamic"

    num_classes: int = 3
    picture_size: int = 112
    frame_weights: str = "corrected"
    features: int = 256
    dense: int = 256
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the dynamic image of each clip to logits.

        Args:
            image: Dynamic images [*b, s, s, 1], from -1 to 1.
            is_training: Whether dropout is on, and statistics are those of the batch.

        Raises:
            ShapeError: Pictures of another size, or integers.
        """
        check_inputs(self, image)
        x = nn.relu(nn.Conv(16, (3, 3), (2, 2), dtype=self.dtype, name="stem")(image))
        x = LateralAccretion(dtype=self.dtype, name="columns")(x, is_training=is_training)
        x = BatchNorm2D(dtype=self.dtype, name="normalize")(x, is_training=is_training)  # *b s/16 s/16 256
        x = nn.relu(nn.Conv(self.features, (3, 3), (2, 2), dtype=self.dtype, name="conv")(x))
        x = nn.relu(nn.Dense(self.dense, dtype=self.dtype, name="dense")(x.reshape(*x.shape[:-3], -1)))
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
