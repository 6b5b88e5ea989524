"""Lateral accretion: parallel columns of convolutions, half of which also see what their neighbour has found."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.blocks.small_layers import BatchNorm2D

_SIZES = (1, 3, 5)  # of the filters of each layer


class LateralAccretion(nn.Module):
    """Columns of convolutions 1x1, 3x3 and 5x5 with a stride of 2 and ReLU; each second one accretes its neighbour.

    The first column of a pair is plain. The second adds the features of the first to its own after the first two
    layers, and normalises the sum. Columns are concatenated at an eighth of the height and width, rounded up.

    Parameters: for each pair, two convolutions of each size and two normalisations.
    Collections: `params`, `batch_stats`. Rngs: none beyond `params` at initialisation.

    Attributes:
        pairs: Pairs of columns.
        features: Filters of the three layers of a column.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Verma et al., "LEARNet: Dynamic imaging network for micro expression recognition", IEEE TIP 29, 2020
    (arXiv 1904.09410), in the form of the authors' code: a stride of 2 in all layers.
    """

    pairs: int = 2
    features: tuple[int, int, int] = (16, 32, 64)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b h w c"], *, is_training: bool) -> Float[Array, "*b h2 w2 d"]:
        """Maps pictures to the concatenated features of all columns.

        Args:
            x: Pictures.
            is_training: Whether statistics are those of the batch, and update the running averages.
        """
        columns = []
        for pair in range(1, self.pairs + 1):
            plain, accreted = x, x
            for layer in range(len(_SIZES)):
                plain = self._convolve(layer, f"plain_{pair}")(plain)
                accreted = self._convolve(layer, f"accreted_{pair}")(accreted)
                if layer < len(_SIZES) - 1:
                    normalize = BatchNorm2D(dtype=self.dtype, name=f"normalize_{pair}_{layer + 1}")
                    accreted = normalize(accreted + plain, is_training=is_training)
            columns += [plain, accreted]
        return jnp.concatenate(columns, axis=-1)

    def _convolve(self, layer: int, column: str) -> Callable[[Array], Array]:
        size = (_SIZES[layer], _SIZES[layer])
        conv = nn.Conv(self.features[layer], size, (2, 2), dtype=self.dtype, name=f"{column}_{layer + 1}")
        return lambda x: nn.relu(conv(x))
