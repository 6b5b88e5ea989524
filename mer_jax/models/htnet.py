"""HTNet."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.blocks.patch_conv import PatchConv
from mer_jax.blocks.region import UNFIT_CROPS, join_areas
from mer_jax.blocks.tiles import split_tiles
from mer_jax.blocks.transformer import TransformerLayer
from mer_jax.data.views import check_motion
from mer_jax.errors import ConfigError
from mer_jax.sizes import MOTION_SIZE
from mer_jax.typing import Logits


class HTNet(nn.Module):
    """Hierarchical transformer over four facial areas: both eyes and both corners of the mouth.

    The areas are cut from the motion features and joined to one picture of 28x28, whose patches are the tokens. Each
    level divides the picture into 4^(levels - 1), ..., 4, 1 blocks, attends within each block, and then halves the
    picture: convolution 3x3 to twice the width, layer normalisation, 3x3 max pooling. Then: layer normalisation, mean
    over places, logits.

    The defaults are a preset of 2 M parameters, ours: two levels, the first within an area, the second over all four.
    As published: `HTNet(dim=256, heads=3, repeats=(2, 2, 10))`, 139,582,982 parameters and .40 GFLOP a clip; by that
    count the published training (68 folds, 800 epochs) is about 28 PFLOP, days on a CPU. There, patches of 7 pixels
    and three levels leave one token in each block: attention has nothing to mix, and `query` and `key` get no gradient.

    Parameters: 2,289,675 with 3 classes.
    Collections: `params`. Rngs: `dropout` when training.

    Attributes:
        num_classes: Number of classes k.
        dim: Width of tokens at the first level; it doubles from level to level.
        heads: Heads at the first level; they double too.
        repeats: Transformer layers of each level.
        patch_size: Height and width of a token, in pixels.
        dropout: Share of features set to zero after attention and perceptron while training.
        dtype: Of the arithmetic; None takes that of the input. Parameters and logits are float32.

    Source: Wang et al., "HTNet for micro-expression recognition", Neurocomputing 602, 2024 (arXiv 2307.14637), and the
    authors' code for the order of layers and the published sizes.
    Differs: the areas lie at fixed places, ours, for faces of the crop `onset`, instead of around detected landmarks.
    Features from -1 to 1 instead of 0 to 255. The preset is ours.
    """

    view: ClassVar[str] = "motion"
    unfit_crops: ClassVar[tuple[str, ...]] = UNFIT_CROPS

    num_classes: int = 3
    dim: int = 128
    heads: int = 4
    repeats: tuple[int, ...] = (2, 2)
    patch_size: int = 7
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, motion: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the motion features of each clip to logits.

        Args:
            motion: Horizontal flow, vertical flow and strain [*b, 28, 28, 3], from -1 to 1.
            is_training: Whether dropout is on.

        Raises:
            ConfigError: Patches and levels that do not divide 28 pixels, or more heads than features.
            ShapeError: Features of another size, or integers.
        """
        check_motion(motion)
        levels, side = len(self.repeats), MOTION_SIZE // self.patch_size
        if MOTION_SIZE % self.patch_size or not levels or side % 2 ** (levels - 1) or self.heads > self.dim:
            raise ConfigError(
                f"got patch_size={self.patch_size}, repeats={self.repeats}, heads={self.heads}, dim={self.dim}; "
                "expected a patch size that divides 28 into a multiple of 2^(levels - 1) patches, and at most `dim` "
                "heads"
            )
        x = _blocks(join_areas(motion, by_side=True), side)  # *b side^2 patch^2 3
        x = nn.Dense(self.dim, dtype=self.dtype, name="embed")(x.reshape(*x.shape[:-2], -1))
        x = x.reshape(*x.shape[:-2], side, side, self.dim)
        for level, repeats in enumerate(self.repeats):
            dim, blocks = self.dim * 2**level, 2 ** (levels - 1 - level)
            tokens = _blocks(x, blocks)  # *b blocks^2 n d
            place = self.param(f"place_{level + 1}", nn.initializers.normal(1.0), (tokens.shape[-2],))
            tokens = tokens + place[:, None].astype(tokens.dtype)
            for repeat in range(repeats):
                heads = self.heads * 2**level
                layer = TransformerLayer(heads, dim // heads, 4 * dim, dropout=self.dropout, dtype=self.dtype,
                                         name=f"level_{level + 1}_{repeat + 1}")  # fmt: skip
                tokens = layer(tokens, is_training=is_training)
            x = _joined(tokens, blocks)
            if level < levels - 1:
                x = PatchConv(2 * dim, dtype=self.dtype, name=f"halve_{level + 1}")(x)
                x = nn.LayerNorm(1e-5, dtype=self.dtype, name=f"norm_{level + 1}")(x)
                x = _halve(x)
        x = nn.LayerNorm(1e-5, dtype=self.dtype, name=f"norm_{levels}")(x).mean((-3, -2))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)


def _halve(x: Array) -> Array:
    """Max pooling of 3x3 with a stride of 2 and a padding of 1; `nn.max_pool` takes one leading axis."""
    pictures = x.reshape(-1, *x.shape[-3:])
    padded = jnp.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    pooled = nn.max_pool(padded, (3, 3), strides=(2, 2))
    return pooled.reshape(*x.shape[:-3], *pooled.shape[1:])


def _blocks(x: Array, number: int) -> Array:
    """Divides square pictures [*b, h, h, c] into `number` rows and columns of blocks: [*b, number^2, places, c]."""
    return split_tiles(x, x.shape[-2] // number).reshape(*x.shape[:-3], number**2, -1, x.shape[-1])


def _joined(x: Array, number: int) -> Array:
    """Joins blocks, as `_blocks` divides them, to square pictures."""
    lead, (n, c) = x.shape[:-3], x.shape[-2:]
    side = round(n**0.5)
    x = x.reshape(*lead, number, number, side, side, c)
    return jnp.swapaxes(x, -4, -3).reshape(*lead, number * side, number * side, c)
