"""Masks that hide parts of the face, drawn once from the onset landmarks and fixed for the clip.

The paper masks "the eye and mouth areas" without saying whether they are kept or blanked; its stated aim, to focus on
the most expressive regions, means kept, and that is the default. Accuracy of a linear classifier on optical flow on
the surrogate corpus at its realistic difficulty (chance .43): `none` .77, `blank_eyes` .77, `blank` .76, `face` .74,
`keep` .71. A mask drawn in each frame flickers at its edges and costs another 5 to 20 points, so none is offered.
"""

import numpy as np
from jaxtyping import Float, Float32

from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.landmarks import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, JAW, MOUTH, interocular_distance
from mer_jax.vision.libraries import cv2

# Dilation of the hulls, as fractions of the inter-ocular distance.
_GROW_BROW_AND_EYE = 0.12
_GROW_EYE = 0.08
_GROW_MOUTH = 0.15
_FOREHEAD = 0.35  # height of the forehead above the brows, the same unit
_FEATHER_SIGMA_PX = 1.5

_SUBPIXEL_BITS = 4

FaceMask = Float32[np.ndarray, "128 128"]


def face_mask(ibug: Float[np.ndarray, "68 2"], mask: str) -> FaceMask:
    """Returns the weight of each pixel, from 0 (blank) to 1 (visible), with feathered edges.

    Args:
        ibug: The 68 points of the onset frame in pixels of the 128x128 face.
        mask: `keep`, `blank`, `blank_eyes`, `face` or `none`, as in `VisionOptions`.
    """
    if mask == "none":
        return np.ones((FACE_SIZE, FACE_SIZE), np.float32)
    distance = interocular_distance(ibug)
    mouth = _hull(ibug[MOUTH], _GROW_MOUTH * distance)
    if mask == "keep":
        left = np.concatenate([ibug[BROW_LEFT], ibug[EYE_LEFT]])
        right = np.concatenate([ibug[BROW_RIGHT], ibug[EYE_RIGHT]])
        grow = _GROW_BROW_AND_EYE * distance
        visible = np.maximum.reduce([_hull(left, grow), _hull(right, grow), mouth])
    elif mask in ("blank", "blank_eyes"):
        grow = _GROW_EYE * distance
        hidden = np.maximum(_hull(ibug[EYE_LEFT], grow), _hull(ibug[EYE_RIGHT], grow))
        visible = 1 - (np.maximum(hidden, mouth) if mask == "blank" else hidden)
    elif mask == "face":
        brows = np.concatenate([ibug[BROW_LEFT], ibug[BROW_RIGHT]])
        visible = _hull(np.concatenate([ibug[JAW], brows, brows - [0, _FOREHEAD * distance]]), 0.0)
    else:
        raise ValueError(f"unknown mask {mask!r}; VisionOptions.validate() lists the known ones")
    return cv2.GaussianBlur(visible, (0, 0), _FEATHER_SIGMA_PX)


def _hull(points: Float[np.ndarray, "p 2"], grow_px: float) -> FaceMask:
    """Fills the convex hull of `points`, dilated by `grow_px`."""
    image = np.zeros((FACE_SIZE, FACE_SIZE), np.float32)
    fixed_point = np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(image, cv2.convexHull(fixed_point), 1.0, cv2.LINE_AA, _SUBPIXEL_BITS)
    radius = round(grow_px)
    if radius >= 1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        image = cv2.dilate(image, disc)
    return image
