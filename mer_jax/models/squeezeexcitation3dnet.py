"""Squeeze-and-Excitation-3DNet."""

import flax.linen as nn

from mer_jax.blocks.squeeze_excitation import SqueezeExcitation
from mer_jax.models.dualpath3dnet import DualPath3DNet


class SqueezeExcitation3DNet(DualPath3DNet):
    """Dual Path-3DNet with squeeze-and-excitation after the pool of each path.

    Parameters: 894,299 with 18 frames and 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        squeeze_ratio: See `SqueezeExcitation`.
        squeeze_residual: See `SqueezeExcitation`.

    Source: section 3.4.3 and figure 7 of the paper.
    """

    squeeze_ratio: int = 2  # of 8 channels: at 4, two units would carry all, and both may die
    squeeze_residual: bool = True

    def path_attention(self) -> nn.Module:
        """Returns squeeze-and-excitation."""
        return SqueezeExcitation(self.squeeze_ratio, self.squeeze_residual, dtype=self.dtype, parent=None)
