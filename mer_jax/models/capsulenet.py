"""CapsuleNet."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
from jaxtyping import Array, Num

from mer_jax.blocks.capsules import RoutedCapsules, capsule_logits, margin_loss, squash
from mer_jax.blocks.patch_conv import PatchConv
from mer_jax.blocks.residual import ResidualBlock2D
from mer_jax.data.views import check_inputs
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.typing import Labels, Logits, PerClip

_CAPSULE = 8  # width of a primary capsule


class CapsuleNet(nn.Module):
    """A residual network on the apex frame alone, whose features become capsules that vote for the classes.

    ResNet-18 up to its third stage, without the max pooling; convolution + ReLU; convolution with a stride of 2 to
    capsules of 8 features; class capsules of 16 features by routing. The loss is the margin loss on their lengths.

    The defaults are a preset of ours, half as wide, for pictures of 128 pixels and CPUs. As published: `CapsuleNet(
    width=64, kernel_size=9, resize_to=224)`, 13,836,224 parameters (6,272 more with the three colours of its
    pictures) and about 15 GFLOP a clip.

    Parameters: 1,613,792 with 3 classes.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        num_classes: Number of classes k.
        picture_size: Height and width of the apex frame, pixels.
        resize_to: Height and width that it is enlarged to first; None for no change.
        width: Filters of the first stage; the second has twice, the third and all later layers four times as many.
        kernel_size: Height and width of the two convolutions after it.
        routings: Rounds of routing.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Van Quang, Chun and Tokuyama, "CapsuleNet for micro-expression recognition", FG 2019, and the authors' code.
    Differs: weights are not pre-trained on ImageNet; pictures are gray; the clip has one apex, where the authors also
    draw its neighbours to balance the classes. The logits are logarithms of the lengths, so probabilities are shares.
    """

    view: ClassVar[str] = "pair"

    num_classes: int = 3
    picture_size: int = 128
    resize_to: int | None = None
    width: int = 32
    kernel_size: int = 5
    routings: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pair: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the apex of each clip to logits.

        Args:
            pair: Onset and apex [*b, 2, s, s, 1]; the onset is not used.
            is_training: Whether statistics are those of the batch.

        Raises:
            ConfigError: An odd width.
            ShapeError: Inputs of another size, or integers; or too small for two convolutions.
        """
        check_inputs(self, pair)
        if self.width % 2:
            raise ConfigError(f"got width={self.width}, expected an even one: capsules take 8 of 4 * width features")
        side = self.picture_size if self.resize_to is None else self.resize_to
        if -(-side // 8) < 2 * self.kernel_size - 1:
            raise ShapeError(
                f"got an apex of {side} pixels and kernel_size={self.kernel_size}, expected at least "
                f"{16 * self.kernel_size - 15} pixels; use a larger picture_size or resize_to, or a smaller kernel_size"
            )
        x = pair[..., 1, :, :, :]
        if self.resize_to is not None:
            x = jax.image.resize(x, (*x.shape[:-3], side, side, 1), "linear")
        x = PatchConv(self.width, (7, 7), (2, 2), use_bias=False, dtype=self.dtype, name="stem")(x)
        x = nn.relu(nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name="norm")(x))
        for stage, width in enumerate((self.width, 2 * self.width, 4 * self.width), start=1):
            for block in (1, 2):
                stride = 2 if stage > 1 and block == 1 else 1
                layer = ResidualBlock2D(width, stride, self.dtype, name=f"stage_{stage}_{block}")
                x = layer(x, is_training=is_training)
        size, valid = (self.kernel_size, self.kernel_size), ((0, 0), (0, 0))
        x = nn.relu(PatchConv(4 * self.width, size, None, valid, dtype=self.dtype, name="conv")(x))
        x = PatchConv(4 * self.width, size, (2, 2), valid, dtype=self.dtype, name="primary")(x)
        x = squash(x.reshape(*x.shape[:-3], -1, _CAPSULE))
        x = RoutedCapsules(self.num_classes, 16, self.routings, self.dtype, name="classes")(x)
        return capsule_logits(x)

    def example_loss(self, logits: Logits, labels: Labels) -> PerClip:
        """Margin loss of each clip, in place of the cross-entropy."""
        return margin_loss(logits, labels)
