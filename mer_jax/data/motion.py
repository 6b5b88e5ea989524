"""Motion features in 8 bits, as `Clips` hold them."""

import numpy as np
from jaxtyping import Float32, UInt8

from mer_jax.sizes import MOTION_ZERO

# What 255 stands for: pixels of the 128x128 face, and strain per pixel. Micro-expressions move a feature by .2 to 1
# pixel; a blink goes beyond the scale and is clipped.
FULL_SCALE = (2.0, 2.0, 0.25)


def quantize(features: Float32[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Stores motion features in 8 bits: 128 is none, 255 and 1 are `FULL_SCALE` and beyond.

    Example:
        >>> quantize(np.array([[[0.0, -1.0, 9.0]]], np.float32)).tolist()
        [[[128, 64, 255]]]
    """
    return np.round(MOTION_ZERO + 127 * np.clip(features / np.asarray(FULL_SCALE, np.float32), -1, 1)).astype(np.uint8)
