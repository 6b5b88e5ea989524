"""Hybrid Attention-3DNet."""

import flax.linen as nn

from mer_jax.blocks.hybrid_attention import HybridAttention
from mer_jax.models.dualpath3dnet import DualPath3DNet


class HybridAttention3DNet(DualPath3DNet):
    """Dual Path-3DNet with hybrid attention after the pool of each path.

    Parameters: 894,665 with 18 frames and 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        attention_kernel: See `HybridAttention`.
        attention_features: See `HybridAttention`.
        temporal_first: See `HybridAttention`.

    Source: section 3.4.2 and figure 6 of the paper.
    """

    attention_kernel: int = 7
    attention_features: int = 16
    temporal_first: bool = False

    def path_attention(self) -> nn.Module:
        """Returns hybrid attention."""
        return HybridAttention(
            self.attention_kernel, self.attention_features, self.temporal_first, self.dtype, parent=None
        )
