"""Eulerian motion magnification: amplifies small motions without tracking points."""

import numpy as np
from jaxtyping import Float32

from mer_jax.vision.libraries import cv2

# Temporal band: the difference of two first-order low-pass filters, as in the authors' fast filter. Coefficients per
# frame of the prepared clip; they pass motions that last two to about twenty frames.
_FAST, _SLOW = 0.4, 0.05
# Smaller details are amplified less, or their edges would break up; pixels of the 128x128 face.
_SHORTEST_FULL_WAVELENGTH_PX = 16.0
_LEVELS = 4


def magnify_motion(faces: Float32[np.ndarray, "t h w"], factor: float) -> Float32[np.ndarray, "t h w"]:
    """Amplifies motion in a registered clip.

    Each level of a Laplacian pyramid is band-pass filtered in time, multiplied by a factor and added back. The first
    frame stays unchanged, since the filters start at rest there.

    Args:
        faces: Registered gray faces in temporal order, 0 to 255; the result may exceed this range.
        factor: alpha of the source, 0 or more.

    Source: Wu et al., "Eulerian video magnification for revealing subtle changes in the world", SIGGRAPH 2012,
    sections 3.2 (the bound on alpha by wavelength) and 5 (the filters); on micro-expressions: Li et al., "Towards
    reading hidden emotions", IEEE TAFFC 2018.
    Differs: gray instead of YIQ, and as many pyramid levels as a face of 128 pixels allows.
    """
    levels = _laplacian_levels(faces)
    # The source's bound, (1 + alpha) * delta < wavelength / 8; delta such that it just holds at the wavelength above.
    delta = _SHORTEST_FULL_WAVELENGTH_PX / 8 / (1 + factor)
    motion = np.zeros_like(faces)
    for number, level in enumerate(levels):
        wavelength = 2.0 ** (number + 2)  # of the middle of the band of this level
        allowed = max(0.0, min(factor, wavelength / 8 / delta - 1))
        motion += np.float32(allowed) * _band_pass(level)
    return faces + motion


def _laplacian_levels(clip: Float32[np.ndarray, "t h w"]) -> list[Float32[np.ndarray, "t h w"]]:
    """Splits each frame into full-size bands, fine to coarse, without the coarsest residual, which is illumination."""
    bands, rest = [], clip
    for level in range(_LEVELS):
        smoother = np.stack([cv2.GaussianBlur(frame, (0, 0), 2.0**level) for frame in clip])
        bands.append(rest - smoother)
        rest = smoother
    return bands


def _band_pass(level: Float32[np.ndarray, "t h w"]) -> Float32[np.ndarray, "t h w"]:
    fast, slow = level[0].copy(), level[0].copy()
    passed = np.zeros_like(level)
    for t in range(1, len(level)):
        fast += np.float32(_FAST) * (level[t] - fast)
        slow += np.float32(_SLOW) * (level[t] - slow)
        passed[t] = fast - slow
    return passed
