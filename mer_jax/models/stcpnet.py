"""STCP-Net."""

from typing import Any, ClassVar

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Num

from mer_jax.blocks.capsules import RoutedCapsules, capsule_logits, margin_loss, squash
from mer_jax.blocks.patch_conv import PatchConv
from mer_jax.data.views import check_inputs
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.typing import Labels, Logits, PerClip

_CAPSULE = 8  # width of a primary capsule


class STCPNet(nn.Module):
    """Capsules of space and time over the differences of some frames to the onset.

    Frames evenly spaced from onset to offset, less the onset; 2x2 mean pooling; 3D convolution + ReLU; 3D convolution
    to capsules of 8 features, each of which sees some frames of one region; class capsules of 16 features by routing.
    The loss is the margin loss on their lengths.

    Built with own choices (B): the paper was read as an abstract, which names jitter removal, differential features,
    space-time capsules and a fully connected layer. Ours are the number of differences, the pooling, all sizes of
    convolutions and capsules, and the loss; the fully connected layer is that of the class capsules; jitter is removed
    by the alignment of each frame to the onset, before the network.

    Parameters: 1,318,208 with 18 frames and 3 classes.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        num_classes: Number of classes k.
        differences: Number of differences.
        features: Filters of both convolutions, a multiple of 8.
        kernel_size: (frames, height, width) of both convolutions; a step of (1, 2, 2).
        routings: Rounds of routing.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Shang, Liu and Li, "Micro-expression recognition based on spatio-temporal capsule network", IEEE Access 11,
    2023 (abstract); capsules as in `CapsuleNet`.
    """

    view: ClassVar[str] = "face"

    num_classes: int = 3
    differences: int = 5
    features: int = 64
    kernel_size: tuple[int, int, int] = (3, 9, 9)
    routings: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, face: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the frames of each clip to logits.

        Args:
            face: Whole faces [*b, t, 128, 128, 1], normalised; frame 0 is the onset.
            is_training: Unused: there is no dropout.

        Raises:
            ConfigError: Features that are no multiple of 8, or fewer differences than two convolutions need.
            ShapeError: Faces of another size, integers, or too few frames.
        """
        del is_training
        check_inputs(self, face)
        frames, least = face.shape[-4], 2 * self.kernel_size[0] - 1
        if self.features % _CAPSULE or self.differences < least:
            raise ConfigError(
                f"got features={self.features}, differences={self.differences}; expected a multiple of {_CAPSULE}, and "
                f"at least {least} differences for two convolutions over {self.kernel_size[0]} frames"
            )
        if frames <= self.differences:
            raise ShapeError(
                f"got a clip of {frames} frames, expected at least {self.differences + 1} frames: the onset and "
                f"{self.differences} after it; use more frames"
            )
        later = np.round(np.linspace(0, frames - 1, self.differences + 1)).astype(int)[1:]
        x = face[..., later, :, :, :] - face[..., :1, :, :, :]
        x = x.reshape(*x.shape[:-3], x.shape[-3] // 2, 2, x.shape[-2] // 2, 2, 1).mean((-4, -2))
        sizes = self.features, self.kernel_size, (1, 2, 2), ((0, 0), (0, 0), (0, 0))
        x = nn.relu(PatchConv(*sizes, dtype=self.dtype, name="conv")(x))
        x = PatchConv(*sizes, dtype=self.dtype, name="primary")(x)
        x = squash(x.reshape(*x.shape[:-4], -1, _CAPSULE))
        return capsule_logits(RoutedCapsules(self.num_classes, 16, self.routings, self.dtype, name="classes")(x))

    def example_loss(self, logits: Logits, labels: Labels) -> PerClip:
        """Margin loss of each clip, in place of the cross-entropy."""
        return margin_loss(logits, labels)
