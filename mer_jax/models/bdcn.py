"""BDCN."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.isda import augment_logits, init_class_statistics, update_class_statistics
from mer_jax.blocks.small_conv import resolve
from mer_jax.blocks.small_layers import ConvReluPool2D
from mer_jax.blocks.tiles import split_tiles, stack_tiles
from mer_jax.data.targets import Targets
from mer_jax.data.views import check_inputs
from mer_jax.typing import Logits

_POOL, _POOL_PADDING = (3, 3), ((1, 1), (1, 1))


class BDCN(nn.Module):
    """Block division convolutional network: one small convolution for all tiles of four flow maps, trained with ISDA.

    Each map is cut into tiles of 10x10. All tiles of all maps share a convolution of 8 filters 3x3 + ReLU and 3x3 max
    pooling; their 4x4 features are stacked as 4,608 channels. Then: 1x1 convolution of 512 filters, flatten to 8,192,
    dense 1024, dense 128, all with ReLU; logits.

    While training, logits are those of implicit semantic data augmentation, whose strength grows with the epochs.

    Parameters: 10,881,107 with 3 classes.
    Collections: `params`, `class_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        num_classes: Number of classes k.
        picture_size: Height and width s of the flow maps, in pixels; a multiple of `tile_size`.
        tile_size: Height and width of a tile, in pixels. The authors' code also has 8, 20, 30 and 40.
        tile_features: Filters of the shared convolution.
        features: Filters of the 1x1 convolution; with those tiles 512, 256, 128 and 32 in that code.
        dense: Width of the two dense layers.
        isda: Strength of the augmentation at the last epoch; 0 leaves it out.
        dtype: Of the arithmetic; None takes that of the input. Parameters, statistics and logits are float32.

    Source: Chen et al., "Block division convolutional network with implicit deep features augmentation for
    micro-expression recognition", IEEE Transactions on Multimedia 25, 2023, in the form of the authors' code.
    Differs: one channel a map, which makes 144 parameters less than three alike. The fourth map is the magnitude of the
    flow, own choice: the code does not say how its picture was made. Values from -1 to 1 instead of the mean and
    deviation of another data set.
    """

    view: ClassVar[str] = "flow_maps"

    num_classes: int = 3
    picture_size: int = 120
    tile_size: int = 10
    tile_features: int = 8
    features: int = 512
    dense: tuple[int, int] = (1024, 128)
    isda: float = 0.5
    dtype: Any = None

    def describe(self) -> dict[str, str]:
        """The implementation of the convolution on this machine, for the record of a run."""
        return {"convolution": resolve(pool_size=_POOL)}

    @nn.compact
    def __call__(self, maps: Num[Array, "..."], *, is_training: bool, targets: Targets | None = None) -> Logits:
        """Maps the flow maps of each clip to logits.

        Args:
            maps: Horizontal flow, vertical flow, strain and magnitude [*b, s, s, 4], from -1 to 1.
            is_training: Without effect: there is neither dropout nor normalisation.
            targets: Of a training batch; then logits are those of the augmentation.

        Raises:
            ShapeError: Maps of another size, tiles that do not fill them, or integers.
        """
        del is_training
        check_inputs(self, maps)
        tiles = split_tiles(jnp.moveaxis(maps, -1, -3)[..., None], self.tile_size)  # *b 4 rows columns 10 10 1
        x = self.convolve_tiles()(tiles)
        x = stack_tiles(x.reshape(*x.shape[:-6], -1, *x.shape[-4:]))  # *b 4 4 (4 rows columns 8)
        x = nn.relu(nn.Dense(self.features, dtype=self.dtype, name="mix")(x))
        x = x.reshape(*x.shape[:-3], -1)
        for layer, width in enumerate(self.dense, start=1):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, name=f"dense_{layer}")(x))
        head = nn.Dense(self.num_classes, dtype=self.dtype, name="logits")
        logits = head(x).astype(jnp.float32)
        if not self.isda:
            return logits
        statistics = self.variable("class_stats", "features", init_class_statistics, self.num_classes, x.shape[-1])
        if targets is None:
            return logits
        statistics.value = update_class_statistics(statistics.value, x, targets.label, targets.real)
        kernel, covariance = head.variables["params"]["kernel"], statistics.value["covariance"]
        return augment_logits(logits, kernel, covariance, targets.label, self.isda * targets.progress)

    def convolve_tiles(self) -> nn.Module:
        """Returns the layer that all tiles share."""
        return ConvReluPool2D(
            self.tile_features, (3, 3), ((1, 1), (1, 1)), self.dtype, _POOL, _POOL_PADDING, name="tile"
        )
