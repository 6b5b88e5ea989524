"""OFF-ApexNet."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.dropout import Dropout
from mer_jax.blocks.small_conv import resolve
from mer_jax.blocks.small_layers import ConvReluPool2D
from mer_jax.data.views import check_motion
from mer_jax.typing import Logits


class OffApexNet(nn.Module):
    """Two small 2D networks, one for horizontal and one for vertical flow, joined by two wide dense layers.

    Each path: convolution of 6 filters 5x5 + ReLU, 2x2 max pooling, convolution of 16
    filters 5x5 + ReLU, 2x2 max pooling. Then: concatenate, dropout, dense 1024 + ReLU,
    dropout, dense 1024 + ReLU, logits.

    Parameters: 2,664,475 with 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        dropout: Share of features set to zero while training, in both places.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits
            are float32.

    Source: Liong et al., "OFF-ApexNet on micro-expression recognition system", Signal
    Processing: Image Communication 74, 2019 (arXiv 1805.08699). The layers are those of
    ports of it; the paper itself was not at hand.
    Differs: where dropout stands is ours, as is its rate. The strain of the motion
    features is left aside; the paper feeds the two flows only.
    """

    view: ClassVar[str] = "motion"

    num_classes: int = 3
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
            is_training: Whether dropout is on.

        Raises:
            ShapeError: Features of another size, or integers.
        """
        check_motion(motion)
        padding = ((2, 2), (2, 2))  # keeps the size
        paths = []
        for channel, name in enumerate(("horizontal", "vertical")):
            x = motion[..., channel : channel + 1]
            for layer, features in enumerate((6, 16), start=1):
                x = ConvReluPool2D(features, (5, 5), padding, dtype=self.dtype, name=f"{name}_{layer}")(x)
            paths.append(x.reshape(*x.shape[:-3], -1))  # *b (7 7 16)
        x = jnp.concatenate(paths, axis=-1)
        for layer in (1, 2):
            x = Dropout(self.dropout)(x, is_training=is_training)
            x = nn.relu(nn.Dense(1024, dtype=self.dtype, name=f"dense_{layer}")(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
