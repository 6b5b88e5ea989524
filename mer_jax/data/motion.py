"""Motion in 8 bits, as `Clips` hold it."""

import numpy as np
from jaxtyping import Float32, UInt8

from mer_jax.sizes import MOTION_ZERO

# What 255 stands for: horizontal and vertical flow in pixels of the 128x128 face, strain per pixel, magnitude in
# pixels. Micro-expressions move a feature by .2 to 1 pixel; a blink goes beyond the scale and is clipped.
FULL_SCALE = (2.0, 2.0, 0.25, 2.0)
DIFFERENCE_FULL_SCALE = 4.0  # of gray differences in patches, in units of the face's contrast


def quantize(
    features: Float32[np.ndarray, "*b"], full_scale: tuple[float, ...] | float = FULL_SCALE
) -> UInt8[np.ndarray, "*b"]:
    """Stores motion in 8 bits: 128 is none, 255 and 1 are the full scale and beyond.

    Args:
        features: With `full_scale` as a tuple, the last axis is horizontal flow, vertical flow, strain, and magnitude
            where it is as long.
        full_scale: Of each of them, or of all values.

    Example:
        >>> quantize(np.array([[[0.0, -1.0, 9.0]]], np.float32)).tolist()
        [[[128, 64, 255]]]
    """
    scale = np.asarray(full_scale[: features.shape[-1]] if isinstance(full_scale, tuple) else full_scale, np.float32)
    return np.round(MOTION_ZERO + 127 * np.clip(features / scale, -1, 1)).astype(np.uint8)
