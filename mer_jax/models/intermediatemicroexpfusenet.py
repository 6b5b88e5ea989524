"""The intermediate MicroExpFuseNet, and what the late one shares with it."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.blocks.conv_pool import Convolution, ConvReluPool
from mer_jax.blocks.region import UNFIT_CROPS, eyes_and_mouth
from mer_jax.data.views import check_halves
from mer_jax.typing import Logits


class IntermediateMicroExpFuseNet(nn.Module):
    """Eyes and mouth through a 3D convolution each, joined before the dense layers.

    Each region at 32x32: Conv3D + ReLU, MaxPool3D, dropout, flatten. Then: concatenate,
    dense, dropout, dense, dropout, logits. The dense layers have no activation, as
    published: together they are one linear map.

    Parameters: 6,694,915 with 18 frames and 3 classes. 177.1 million with 96 frames.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        conv: Of the convolution and the max pooling of each region. 15 frames of the kernel need clips of 17 or more.
        dense: Widths of the two dense layers.
        dropout: Share of features set to zero while training, in all places.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Reddy et al., "Spontaneous facial micro-expression recognition using 3D
    spatiotemporal convolutional neural networks", IJCNN 2019 (arXiv 1904.01390), by the
    authors' code.
    Differs: fixed boxes in the project's own crop, see `eyes_and_mouth`, and its
    normalisation of each clip. The second ReLU of the published code, after the pool,
    changes nothing and is left out.
    """

    view: ClassVar[str] = "halves"
    unfit_crops: ClassVar[tuple[str, ...]] = UNFIT_CROPS

    num_classes: int = 3
    conv: Convolution = Convolution(32, (15, 3, 3), (3, 3, 3))
    dense: tuple[int, int] = (1024, 128)
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, upper: Num[Array, "..."], lower: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the two halves of each clip to logits.

        Args:
            upper: Upper halves [*b, t, 64, 128, 1], normalised.
            lower: Lower halves of the same clips and shape.
            is_training: Whether dropout is on.

        Raises:
            ShapeError: Halves of another size, integers, or too few frames.
        """
        check_halves(upper, lower)
        regions = zip(("eyes", "mouth"), eyes_and_mouth(upper, lower), strict=True)
        x = self.fuse([self.convolve(name, x, is_training) for name, x in regions], is_training)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)

    def fuse(self, regions: list[Float[Array, "*b _d"]], is_training: bool) -> Float[Array, "*b d"]:
        """Joins the features of the regions."""
        return self.densify("both", jnp.concatenate(regions, axis=-1), is_training)

    def convolve(self, name: str, x: Float[Array, "*b t h w c"], is_training: bool) -> Float[Array, "*b d"]:
        """From the frames of one region to features."""
        x = ConvReluPool(self.conv, self.dtype, name=f"{name}_conv")(x)
        x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return x.reshape(*x.shape[:-4], -1)  # *b (t2 h2 w2 d)

    def densify(self, name: str, x: Float[Array, "*b _d"], is_training: bool) -> Float[Array, "*b d"]:
        """The two dense layers, without activation."""
        for layer, width in enumerate(self.dense, start=1):
            x = nn.Dense(width, dtype=self.dtype, name=f"{name}_dense_{layer}")(x)
            x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
        return x
