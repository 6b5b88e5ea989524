"""Regions of a face: cut out, made smaller, joined or blanked, on the device."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32


def resize_area(x: Float[Array, "*b h w c"], size: tuple[int, int]) -> Float[Array, "*b h2 w2 c"]:
    """Downsizes pictures by averaging over the area that each new pixel covers.

    Args:
        x: Pictures.
        size: New height and width, at most the old ones.

    Source: what OpenCV calls INTER_AREA.

    Example:
        >>> resize_area(jnp.arange(8.0).reshape(2, 4, 1), (1, 2))[..., 0]
        Array([[2.5, 4.5]], dtype=float32)
    """
    rows, columns = (area_weights(old, new) for old, new in zip(x.shape[-3:-1], size, strict=True))
    return jnp.einsum("ih,...hwc,jw->...ijc", rows.astype(x.dtype), x, columns.astype(x.dtype))


def area_weights(old: int, new: int) -> Float32[np.ndarray, "{new} {old}"]:
    """Returns the share of each old pixel in each new one, along one axis.

    Args:
        old: Pixels before.
        new: Pixels after, at most as many.

    Example:
        >>> area_weights(4, 2).tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    edges = np.linspace(0, old, new + 1)
    pixel = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)


UNFIT_CROPS = ("eyes",)  # crops of `VisionOptions` in which parts of the face lie elsewhere than here


def eyes_and_mouth(
    upper: Float[Array, "*b 64 128 c"], lower: Float[Array, "*b 64 128 c"]
) -> tuple[Float[Array, "*b 32 32 c"], Float[Array, "*b 32 32 c"]]:
    """Cuts the eyes out of the upper half and nose with mouth out of the lower half, at 32x32.

    Args:
        upper: Upper halves of faces.
        lower: Lower halves of the same faces.

    Source: the regions of Reddy et al., IJCNN 2019, which they cut at points 19, 1 and 15
    (eyes) and 2, 6 and 14 (mouth) of the 68.
    Differs: boxes that are the same for every face, where these points lie on average in
    our crop, which is itself made from the 68 points: rows 28 to 64 and 74 to 114 of 128,
    columns 10 to 118 of 128.
    """
    return resize_area(upper[..., 28:64, 10:118, :], (32, 32)), resize_area(lower[..., 10:50, 10:118, :], (32, 32))


# In pixels of motion features, 28x28, of the crop `onset`; in the crop `eyes` all of this lies elsewhere. On average
# over the three faces in tests/faces, the eyes of our 128x128 crop span rows 42 to 48 and columns 30 to 51 and 80 to
# 100, and the corners of the mouth lie at row 92, columns 48 and 88.
_EYES = (slice(8, 11), (slice(5, 12), slice(16, 23)))
_AREA = 14
_AREAS = (((3, 1), (3, 13)), ((13, 3), (13, 11)))  # top and left edge: eyes with brows, then corners of the mouth


def blank_eyes(motion: Float[Array, "*b 28 28 c"]) -> Float[Array, "*b 28 28 c"]:
    """Sets both eyes of motion features to 0, no motion; the brows stay.

    Args:
        motion: Features of faces in our crop.
    """
    rows, both = _EYES
    for columns in both:
        motion = motion.at[..., rows, columns, :].set(0)
    return motion


def join_areas(motion: Float[Array, "*b 28 28 c"], *, by_side: bool = False) -> Float[Array, "*b 28 28 c"]:
    """Cuts four areas of 14x14 out of motion features and puts them together again, without what lies between them.

    Upper row: both eyes with their brows. Lower row: both corners of the mouth. The areas are the same for every face,
    where these lie on average in our crop.

    Args:
        motion: Features of faces in our crop.
        by_side: Whether rows are sides of the picture instead: eye and corner of the mouth at its left, then at its
            right.

    Example:
        >>> join_areas(jnp.ones((28, 28, 3))).shape
        (28, 28, 3)
    """
    areas = zip(*_AREAS, strict=True) if by_side else _AREAS
    rows = [[motion[..., y : y + _AREA, x : x + _AREA, :] for y, x in row] for row in areas]
    return jnp.concatenate([jnp.concatenate(row, axis=-2) for row in rows], axis=-3)
