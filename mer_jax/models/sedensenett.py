"""SE-DenseNet-T."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.conv_pool import Convolution, ConvReluPool
from mer_jax.blocks.dense_block_3d import DenseBlock3D, Transition3D
from mer_jax.data.views import check_inputs
from mer_jax.errors import ShapeError
from mer_jax.typing import Logits


class SEDenseNetT(nn.Module):
    """A 3D DenseNet over the frames about the apex, with squeeze-and-excitation in its transitions.

    3D convolution, ReLU and max pooling; dense blocks with transitions between them; batch normalisation, ReLU, mean
    over frames and places, logits. Clips are meant to be magnified (Eulerian video magnification, by the options of
    preparation), with the apex in the middle (sampling `apex`).

    Built with own choices (B): the paper was read as an abstract and highlights. Ours are the number of frames, the
    stem, the number of blocks and layers, growth, ratio, and the magnification of the config; that T stands for the
    transitions is from memory.

    Parameters: 184,901 with 18 frames and 3 classes.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        num_classes: Number of classes k.
        frames: Frames about the middle of the clip.
        conv: Of the convolution and max pooling at the start.
        layers: Layers of each dense block.
        growth: Channels that each layer adds.
        ratio: Of the squeeze-and-excitation.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Cai et al., "Micro-expression recognition using 3D DenseNet fused squeeze-and-excitation networks", Applied
    Soft Computing 119, 2022 (abstract).
    """

    view: ClassVar[str] = "face"

    num_classes: int = 3
    frames: int = 10
    conv: Convolution = Convolution(16, (3, 3, 3), (2, 6, 6))
    layers: tuple[int, ...] = (3, 3, 3)
    growth: int = 16
    ratio: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, face: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the frames of each clip to logits.

        Args:
            face: Whole faces [*b, t, 128, 128, 1], normalised.
            is_training: Whether statistics are those of the batch.

        Raises:
            ShapeError: Faces of another size, integers, or too few frames.
        """
        check_inputs(self, face)
        frames = face.shape[-4]
        if frames < self.frames:
            raise ShapeError(
                f"got a clip of {frames} frames, expected at least {self.frames} frames (model.frames); use more frames"
            )
        first = (frames - self.frames + 1) // 2  # of 18, frame 9 is the apex: 4 to 13
        x = ConvReluPool(self.conv, self.dtype, name="stem")(face[..., first : first + self.frames, :, :, :])
        for number, layers in enumerate(self.layers, start=1):
            x = DenseBlock3D(layers, self.growth, self.dtype, name=f"block_{number}")(x, is_training=is_training)
            if number < len(self.layers):
                x = Transition3D(self.ratio, self.dtype, name=f"transition_{number}")(x, is_training=is_training)
        x = nn.relu(nn.BatchNorm(not is_training, momentum=0.9, dtype=self.dtype, name="norm")(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x.mean((-4, -3, -2))).astype(jnp.float32)
