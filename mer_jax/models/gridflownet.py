"""GridFlowNet, a contender of this project's own."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.grid_flow import grid_flow, mirror_flow, rise_and_fall
from mer_jax.data.views import check_halves
from mer_jax.errors import ShapeError
from mer_jax.typing import Logits


class GridFlowNet(nn.Module):
    """The motion of a coarse grid, solved for, and a small dense head that does not know left from right.

    Motion is divided out of the change of gray by the gradient of this very face, which a
    convolution cannot do: what it sees of a motion depends on whose face moves. (On the
    surrogate the division alone was worth little; README, "The networks".)

    Each half: what rises and falls over the clip, as one picture, and its motion on a
    grid. Then, for the two grids and for their mirror image alike: concatenate, dropout,
    dense + ReLU; the mean of the two, dropout, logits.

    Parameters: 10,883 with 3 classes, for any number of frames.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        window: Side of the windows whose motion is solved for, in pixels.
        stride: From one window to the next, in pixels.
        dense: Width of the dense layer.
        dropout: Share of features set to zero while training, in both places.
        divide: False leaves out the division by the gradients, see `grid_flow`; for the
            ablation.
        mirror: False leaves out the mirror image; for the ablation.
        dtype: Of the head's arithmetic; None takes that of the input. Motion is solved for
            in float32; parameters and logits are float32.

    Source: none; ours, chosen on a surrogate. It makes no claim on recordings of people.
    """

    view: ClassVar[str] = "halves"

    num_classes: int = 3
    window: int = 16
    stride: int = 8
    dense: int = 32
    dropout: float = 0.5
    divide: bool = True
    mirror: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, upper: Num[Array, "..."], lower: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the two halves of each clip to logits.

        Args:
            upper: Upper halves [*b, t, 64, 128, 1], normalised by `gray`.
            lower: Lower halves of the same clips and shape.
            is_training: Whether dropout is on.

        Raises:
            ShapeError: Halves of another size, integers, or fewer than 3 frames.
        """
        check_halves(upper, lower)
        if upper.shape[-4] < 3:
            raise ShapeError(
                f"got a clip of {upper.shape[-4]} frames, expected at least 3 frames: onset, apex and offset; "
                "use more frames"
            )
        grids = []
        for half in (upper, lower):
            frames = half[..., 0].astype(jnp.float32)
            motion = grid_flow(
                frames.mean(-3), rise_and_fall(frames), window=self.window, stride=self.stride, divide=self.divide
            )
            grids.append((10 * motion).astype(self.dtype or half.dtype))  # tenths of a pixel: about 1
        dense = nn.Dense(self.dense, dtype=self.dtype, name="dense")
        drop = nn.Dropout(self.dropout, deterministic=not is_training)

        def encode(grids):
            x = jnp.concatenate([grid.reshape(*grid.shape[:-3], -1) for grid in grids], axis=-1)  # *b (2 h2 w2 2)
            return nn.relu(dense(drop(x)))

        x = encode(grids)
        if self.mirror:
            x = (x + encode([mirror_flow(grid) for grid in grids])) / 2
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(drop(x)).astype(jnp.float32)
