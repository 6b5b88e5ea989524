"""Motion in 8 bits, as `Clips` hold it, and its standardised form."""

import numpy as np
from jaxtyping import Float32, UInt8

from mer_jax.sizes import MOTION_ZERO

# What 255 stands for: horizontal and vertical flow in pixels of the 128x128 face, strain per pixel, magnitude in
# pixels. Micro-expressions move a feature by .2 to 1 pixel; a blink goes beyond the scale and is clipped.
FULL_SCALE = (2.0, 2.0, 0.25, 2.0)
DIFFERENCE_FULL_SCALE = 4.0  # of gray differences in patches, in units of the face's contrast
# Of motion features in the tight box (crop `eyes`): raise it whenever the same clips would give others. Weights that
# were trained on another version are refused.
EYES_MOTION_VERSION = 1
EYES_FLOW = "tvl1_half"  # method of `mer_jax.vision.flow.optical_flow` for them


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


def standardize(pictures: UInt8[np.ndarray, "*b h w 3"]) -> Float32[np.ndarray, "*b h w 3"]:
    """Motion features less their median, divided by their standard deviation, for each clip and channel.

    The median is what most of the face does, which is the head's own motion. The result does not depend on the scale
    of the stored pictures, so features that others have stretched to 0 .. 255 clip by clip give the same.

    Args:
        pictures: Horizontal flow, vertical flow, strain.

    Returns:
        The standardised features; 0 for a channel without any motion.
    """
    levels = pictures.astype(np.float32)
    levels = levels - np.median(levels, axis=(-3, -2), keepdims=True)
    spread = levels.std(axis=(-3, -2), keepdims=True)
    return levels / np.where(spread > 0, spread, 1)


def mirror(pictures: UInt8[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Exchanges left and right of the face: horizontal flow changes its sign."""
    mirrored = pictures[..., ::-1, :].copy()
    mirrored[..., 0] = np.minimum(2 * MOTION_ZERO - mirrored[..., 0].astype(np.int64), 255)
    return mirrored


def stretch(picture: UInt8[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Stretches each channel to 0 .. 255, as authors publish motion features; a flat one becomes 0."""
    levels = picture.astype(np.float64)
    low, high = (edge(levels, axis=(-3, -2), keepdims=True) for edge in (np.min, np.max))
    return np.round(255 * (levels - low) / np.where(high > low, high - low, 1)).astype(np.uint8)
