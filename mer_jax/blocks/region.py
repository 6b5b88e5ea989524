"""Cutting a region out of a face and making it smaller, on the device."""

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
