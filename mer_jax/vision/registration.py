"""Sub-pixel registration of each frame to the onset frame: ECC alignment of the region from lids to nose.

In a fixed crop, head motion moves every pixel; in the 128x128 face a micro-expression moves half a pixel, and so does
the head. The correction is composed into the crop, so pixels are never resampled twice.

Differs: the usual choice is the upper half of the crop. Ours is a window from the lids to below the nose. It excludes
the background beside the face: with a still background behind a real, moving head, the wider window had a mean error
of .23 px and this one .07 px. It excludes the brows: raising them was mistaken for head motion (.16 px instead of
.11 px on the surrogate corpus). The eyes are masked: a closing lid or a glance moved the whole face by up to .5 px;
without them at most .27 px remain in 76 surrogate clips of every difficulty. Frames are smoothed before the window is
cut, not after.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mer_jax.vision.crop import Affine, similarity_crop, transform_points, warp_gray
from mer_jax.vision.frames import GrayFrame
from mer_jax.vision.landmarks import EYE_LEFT, EYE_RIGHT
from mer_jax.vision.libraries import cv2

_ITERATIONS = 20
_STOP_AT_GAIN = 1e-4  # of the correlation coefficient, from one iteration to the next
_SMOOTHING_KERNEL = 5  # pixels

# Lids to below the nose, temple to temple in the `similarity` crop: this region moves with the skull, unlike brows
# and mouth.
_TOP, _BOTTOM, _LEFT, _RIGHT = 40, 84, 20, 108
_SMOOTHING_MARGIN = 4  # pixels around the window, so that the blur at its edge uses real pixels

# Below this correlation the alignment is wrong: talking, blinking faces stay above .93 over three seconds, false
# matches below .75.
_LOWEST_CORRELATION = 0.8

_EMPTY_SPREAD = 1.0  # standard deviation of a window without content, gray levels

Window = UInt8[np.ndarray, "44 88"]


@dataclasses.dataclass(frozen=True)
class Registration:
    """Result of the alignment.

    Attributes:
        corrections: One matrix per frame; it maps pixels of that frame to the position of the same point of the face
            in the reference frame, both in pixels of the original frames.
        failed: Indices of the frames that could not be aligned; their matrix is the identity.
    """

    corrections: Float64[np.ndarray, "t 3 3"]
    failed: tuple[int, ...]

    @property
    def failures(self) -> int:
        """Number of frames that could not be aligned."""
        return len(self.failed)


def register_frames(grays: Iterable[GrayFrame], ibug: Float[np.ndarray, "68 2"], reference: int) -> Registration:
    """Aligns the region of eyes and nose in each frame to the reference frame by translation and rotation.

    The search starts from the result of the frame before, outwards from the reference in both directions.

    Args:
        grays: Frames in temporal order.
        ibug: The 68 points in the reference frame.
        reference: Index of the frame that the others are aligned to.

    Source: Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
    maximization", PAMI 2008, in OpenCV's implementation.
    """
    # Eyes at fixed positions and no stretch: a rigid motion of the head stays rigid in the window.
    window = np.array([[1, 0, -_LEFT], [0, 1, -_TOP], [0, 0, 1]], np.float64) @ similarity_crop(ibug)
    views = [_read_window(gray, window) for gray in grays]
    still = _mask_eyes(transform_points(window, ibug))
    back = np.linalg.inv(window)
    corrections = np.tile(np.eye(3), (len(views), 1, 1))
    failed = []
    for direction in (range(reference + 1, len(views)), range(reference - 1, -1, -1)):
        start = np.eye(2, 3, dtype=np.float32)
        for index in direction:
            motion = _align(views[reference], still, views[index], start)
            if motion is None:
                failed.append(index)
                continue
            start = motion
            # ECC maps the reference to the frame; the correction is the inverse.
            corrections[index] = back @ np.linalg.inv(np.vstack([motion, [0, 0, 1]]).astype(np.float64)) @ window
    return Registration(corrections, tuple(sorted(failed)))


def _read_window(gray: GrayFrame, window: Affine) -> Window:
    margin = _SMOOTHING_MARGIN
    wider = np.array([[1, 0, margin], [0, 1, margin], [0, 0, 1]], np.float64) @ window
    view = warp_gray(gray, wider, _BOTTOM - _TOP + 2 * margin, _RIGHT - _LEFT + 2 * margin)
    view = cv2.GaussianBlur(view, (_SMOOTHING_KERNEL, _SMOOTHING_KERNEL), 0)
    return np.ascontiguousarray(view[margin:-margin, margin:-margin])


def _mask_eyes(points: Float64[np.ndarray, "68 2"]) -> Window:
    """Returns a mask that is 0 inside the eye rings of the reference frame, 255 elsewhere."""
    mask = np.full((_BOTTOM - _TOP, _RIGHT - _LEFT), 255, np.uint8)
    for eye in (EYE_LEFT, EYE_RIGHT):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points[eye]).astype(np.int32)), 0)
    return mask


def _align(
    reference: Window, still: Window, view: Window, start: Float32[np.ndarray, "2 3"]
) -> Float32[np.ndarray, "2 3"] | None:
    """Returns the motion from the reference, where `still` is not 0, to `view`; None if the alignment fails."""
    if min(reference.std(), view.std()) < _EMPTY_SPREAD:
        return None
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, _STOP_AT_GAIN)
    all_of_it, no_more_smoothing = np.full_like(still, 255), 1
    try:
        # findTransformECC's mask of the view is worse than none: it disturbs the gradients along its edge.
        correlation, motion = cv2.findTransformECCWithMask(
            reference, view, still, all_of_it, start.copy(), cv2.MOTION_EUCLIDEAN, criteria, no_more_smoothing
        )
    except cv2.error:  # "the algorithm stopped before its convergence"
        return None
    return motion if correlation >= _LOWEST_CORRELATION else None  # also if it is not a number


def residual_shifts_px(
    faces: UInt8[np.ndarray, "t 128 128"], reference: UInt8[np.ndarray, "128 128"]
) -> Float64[np.ndarray, "t"]:
    """Estimates the remaining shift of eyes and nose of each 128x128 crop from the reference, in its pixels.

    One Lucas-Kanade step: accurate well below a pixel, too small above one.
    """
    rows = slice(_TOP, _BOTTOM), slice(_LEFT, _RIGHT)
    smooth = [
        cv2.GaussianBlur(face, (_SMOOTHING_KERNEL, _SMOOTHING_KERNEL), 0)[rows].astype(np.float64)
        for face in (reference, *faces)
    ]
    gradient_y, gradient_x = np.gradient(smooth[0])
    gradient = np.stack([gradient_x.ravel(), gradient_y.ravel()], axis=1)
    difference = np.stack(smooth[1:]).reshape(len(faces), -1) - smooth[0].ravel()
    difference -= difference.mean(axis=1, keepdims=True)  # a change of exposure is not motion
    normal = gradient.T @ gradient + 1e-6 * np.eye(2)
    return np.linalg.norm(np.linalg.solve(normal, gradient.T @ difference.T), axis=0)
