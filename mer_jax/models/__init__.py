"""One published network a file, each a linen module from face halves or motion features to logits."""

from mer_jax.models.dualpath3dnet import DualPath3DNet
from mer_jax.models.gridflownet import GridFlowNet
from mer_jax.models.hybridattention3dnet import HybridAttention3DNet
from mer_jax.models.hybridattention3dsenet import HybridAttention3DSENet
from mer_jax.models.intermediatemicroexpfusenet import IntermediateMicroExpFuseNet
from mer_jax.models.latemicroexpfusenet import LateMicroExpFuseNet
from mer_jax.models.microexpstcnn import MicroExpSTCNN
from mer_jax.models.offapexnet import OffApexNet
from mer_jax.models.singlepath3dnet import SinglePath3DNet
from mer_jax.models.squeezeexcitation3dnet import SqueezeExcitation3DNet
from mer_jax.models.ststnet import STSTNet

__all__ = [
    "DualPath3DNet",
    "GridFlowNet",
    "HybridAttention3DNet",
    "HybridAttention3DSENet",
    "IntermediateMicroExpFuseNet",
    "LateMicroExpFuseNet",
    "MicroExpSTCNN",
    "OffApexNet",
    "STSTNet",
    "SinglePath3DNet",
    "SqueezeExcitation3DNet",
]
