"""Cutting pictures into square tiles, and stacking the features of all tiles as channels."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.errors import ShapeError


def split_tiles(x: Float[Array, "*b h w c"], size: int) -> Float[Array, "*b rows columns size size c"]:
    """Cuts pictures into square tiles that do not overlap.

    Args:
        x: Pictures.
        size: Height and width of a tile in pixels; divides height and width of the pictures.

    Raises:
        ShapeError: Tiles do not fill the pictures.

    Example:
        >>> split_tiles(jnp.arange(16.0).reshape(4, 4, 1), 2)[0, 1, :, :, 0].tolist()
        [[2.0, 3.0], [6.0, 7.0]]
    """
    *batch, height, width, channels = x.shape
    if height % size or width % size:
        raise ShapeError(
            f"got pictures of {height}x{width} (height x width) and tiles of {size}x{size}, expected tiles that fill "
            "the picture; use a size that divides both"
        )
    x = x.reshape(*batch, height // size, size, width // size, size, channels)
    return jnp.swapaxes(x, -4, -3)


def stack_tiles(x: Float[Array, "*b rows columns h w d"]) -> Float[Array, "*b h w _e"]:
    """Stacks the features of all tiles as channels, in row order of the tiles.

    Args:
        x: Features of each tile.

    Returns:
        Pictures of the size of one tile, with `rows * columns * d` channels.

    Example:
        >>> stack_tiles(split_tiles(jnp.arange(16.0).reshape(4, 4, 1), 2))[0, 0].tolist()
        [0.0, 2.0, 8.0, 10.0]
    """
    *batch, rows, columns, height, width, channels = x.shape
    x = jnp.moveaxis(x, (-5, -4), (-3, -2))  # *b h w rows columns d
    return x.reshape(*batch, height, width, rows * columns * channels)
