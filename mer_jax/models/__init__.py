"""One published network a file, each a linen module from face halves or motion features to logits."""

from mer_jax.models.dualpath3dnet import DualPath3DNet
from mer_jax.models.hybridattention3dnet import HybridAttention3DNet
from mer_jax.models.hybridattention3dsenet import HybridAttention3DSENet
from mer_jax.models.offapexnet import OffApexNet
from mer_jax.models.singlepath3dnet import SinglePath3DNet
from mer_jax.models.squeezeexcitation3dnet import SqueezeExcitation3DNet

__all__ = [
    "DualPath3DNet",
    "HybridAttention3DNet",
    "HybridAttention3DSENet",
    "OffApexNet",
    "SinglePath3DNet",
    "SqueezeExcitation3DNet",
]
