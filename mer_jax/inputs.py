"""From whole faces in 8-bit gray to what a network takes: two normalised halves."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mer_jax.errors import ConfigError, near_names
from mer_jax.typing import HALF_HEIGHT


def normalize_difference(faces: Float[Array, "*b t h w"]) -> Float[Array, "*b t h w"]:
    """Difference of every frame to the onset frame, in units of the face's contrast.

    `8 * (x_t - x_0) / (std(x_0) + 5)`, clipped to -4 .. 4: about 1 where a feature
    with the contrast of a lip has moved by a third of a pixel. The 5 gray levels keep
    a flat frame from being blown up.

    Args:
        faces: gray values from 0 to 255; frame 0 is the onset.

    Differs: the paper feeds gray frames. On the surrogate those stay at chance for as long
    as early stopping lets them train (benchmarks/RESULTS.md), so the difference is our
    default.
    """
    onset = faces[..., :1, :, :]
    contrast = onset.std((-3, -2, -1), keepdims=True)
    return jnp.clip(8.0 * (faces - onset) / (contrast + 5.0), -4.0, 4.0)


def normalize_gray(faces: Float[Array, "*b t h w"]) -> Float[Array, "*b t h w"]:
    """Gray values with mean 0 and standard deviation 1 over the clip.

    Args:
        faces: gray values from 0 to 255.

    Source: section 3.1 of the paper feeds gray frames and names no scale; this is ours.
    """
    mean = faces.mean((-3, -2, -1), keepdims=True)
    return (faces - mean) / (faces.std((-3, -2, -1), keepdims=True) + 1e-3)


_NORMALIZATIONS = {"difference": normalize_difference, "gray": normalize_gray}


def make_inputs(
    faces: Float[Array, "*b t h w"], normalization: str
) -> tuple[Float[Array, "*b t h2 w 1"], Float[Array, "*b t h2 w 1"]]:
    """Normalises whole faces and cuts them into the upper and the lower half.

    Args:
        faces: gray values from 0 to 255, 128 high and wide.
        normalization: `difference` or `gray`.

    Returns:
        The halves, each 64 high and 128 wide, with a channel axis.

    Raises:
        ConfigError: unknown normalisation.
    """
    if normalization not in _NORMALIZATIONS:
        raise ConfigError(f"got normalization={normalization!r}; {near_names(normalization, _NORMALIZATIONS)}")
    faces = _NORMALIZATIONS[normalization](faces)[..., None]
    return faces[..., :HALF_HEIGHT, :, :], faces[..., HALF_HEIGHT:, :, :]
