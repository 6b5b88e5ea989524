"""DBMNet, with choices of this project's own."""

import flax.linen as nn

from mer_jax.blocks.multi_scale_conv import MultiScaleConv2D
from mer_jax.models.bdcn import BDCN


class DBMNet(BDCN):
    """Divided-block multi-scale network: BDCN whose tiles are convolved at three scales side by side.

    Built with own choices: of the publication only its title and the paper's description were at hand: onset and apex,
    four flow pictures, divided blocks, convolution at several scales.

    All tiles share four filters each of 1x1, 3x3 and 5x5 + ReLU and 3x3 max pooling; their 4x4 features are stacked as
    6,912 channels. The rest is BDCN's, without its augmentation.

    Parameters: 12,060,827 with 3 classes.
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        tile_features: Filters of each scale.
        isda: Strength of BDCN's augmentation; 0 leaves it out.

    Source: DBMNet, ICCSIE 2022, as section 2 of the paper describes it.
    Differs: own choices: all sizes, and everything after the tiles, which is BDCN's.
    """

    tile_features: int = 4
    isda: float = 0.0

    def convolve_tiles(self) -> nn.Module:
        """Returns the layer that all tiles share."""
        return MultiScaleConv2D(self.tile_features, (1, 3, 5), (3, 3), ((1, 1), (1, 1)), dtype=self.dtype, name="tile")
