"""The late MicroExpFuseNet."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.models.intermediatemicroexpfusenet import IntermediateMicroExpFuseNet


class LateMicroExpFuseNet(IntermediateMicroExpFuseNet):
    """Eyes and mouth through a 3D convolution and dense layers each, joined last.

    Parameters: 6,827,523 with 18 frames and 3 classes. 177.2 million with 96 frames.
    Collections: `params`. Rngs: `dropout` when training.

    Source: as `IntermediateMicroExpFuseNet`.
    Differs: as there.
    """

    def fuse(self, regions: list[Float[Array, "*b _d"]], is_training: bool) -> Float[Array, "*b d"]:
        """Joins the regions after their dense layers."""
        named = zip(("eyes", "mouth"), regions, strict=True)
        return jnp.concatenate([self.densify(name, x, is_training) for name, x in named], axis=-1)
