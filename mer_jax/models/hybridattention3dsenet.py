"""Hybrid Attention-3DSENet."""

import flax.linen as nn

from mer_jax.blocks.squeeze_excitation import SqueezeExcitation
from mer_jax.models.hybridattention3dnet import HybridAttention3DNet


class HybridAttention3DSENet(HybridAttention3DNet):
    """Hybrid Attention-3DNet with squeeze-and-excitation after the concatenation.

    Parameters: 927,753 with 18 frames and 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        squeeze_ratio: See `SqueezeExcitation`; on the concatenated vector every
            feature is a channel.
        squeeze_residual: See `SqueezeExcitation`.

    Source: section 3.4.4 and figure 8 of the paper.
    """

    squeeze_ratio: int = 4
    squeeze_residual: bool = True

    def fusion_recalibration(self) -> nn.Module:
        """Returns squeeze-and-excitation on the concatenated vector."""
        return SqueezeExcitation(self.squeeze_ratio, self.squeeze_residual, axes=(), dtype=self.dtype, parent=None)
