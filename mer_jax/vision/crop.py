"""Crops of the 128x128 face as affine maps, and the warp that applies them.

A crop is a matrix that maps pixels of the frame to pixels of the face. Crops and registration are composed as matrices
before any pixel is read, so each frame is resampled exactly once.
"""

import math

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mer_jax.sizes import FACE_SIZE, MOTION_SIZE
from mer_jax.vision.frames import GrayFrame
from mer_jax.vision.landmarks import EYE_CORNERS, NOSE, eye_centres
from mer_jax.vision.libraries import cv2

# Margins around the box of the 68 points, as fractions of its width and height. The top one adds the forehead, since
# the points end at the brows.
_MARGIN_SIDES, _MARGIN_TOP, _MARGIN_BOTTOM = 0.08, 0.30, 0.06

# Positions of the two eye centres in the `similarity` crop: 40 px apart, so that the face fills the square and the
# border between the halves (row 64) crosses the middle of the nose.
_EYES_ROW, _EYE_LEFT_COLUMN, _EYE_RIGHT_COLUMN = 46.0, 43.5, 83.5

# Positions of the two eyes in the `eyes` crop. Its inner 112 pixels are the box of the motion features, 28x28 cells of
# 4 pixels: eyes at columns 5.6 and 20.3 and row 6 of it, from the brows to the mouth, without jaw and background. The
# border around the box exists because optical flow is unreliable at the edges of a picture.
EYES_BORDER = 8  # pixels
_CELL = (FACE_SIZE - 2 * EYES_BORDER) / MOTION_SIZE
EYES_BOX_COLUMNS, EYES_BOX_ROW = (5.6, 20.3), 6.0  # cells of the box; 0 is the centre of the first one

# Points that expressions hardly move; `per_frame_stable` follows them.
_STABLE_POINTS = (*EYE_CORNERS, *range(NOSE.start, NOSE.stop))
_STABLE_SMOOTHING_FRAMES = 2.0  # sigma over sampled frames

Affine = Float64[np.ndarray, "3 3"]
Face = UInt8[np.ndarray, "128 128"]


def box_crop(ibug: Float[np.ndarray, "68 2"]) -> Affine:
    """Returns the crop that stretches the box around the 68 points, with margins, to the whole face image.

    The stretch puts brows, mouth and chin of every subject on about the same rows.
    """
    left, top = ibug.min(axis=0).astype(np.float64)
    right, bottom = ibug.max(axis=0).astype(np.float64)
    width, height = right - left, bottom - top
    left, right = left - _MARGIN_SIDES * width, right + _MARGIN_SIDES * width
    top, bottom = top - _MARGIN_TOP * height, bottom + _MARGIN_BOTTOM * height
    scale_x, scale_y = FACE_SIZE / (right - left), FACE_SIZE / (bottom - top)
    # The box spans the outer edges of the image, half a pixel outside the first and last pixel centre.
    return np.array([[scale_x, 0, -0.5 - scale_x * left], [0, scale_y, -0.5 - scale_y * top], [0, 0, 1]])


def similarity_crop(ibug: Float[np.ndarray, "68 2"]) -> Affine:
    """Returns the crop that rotates, scales and shifts the two eye centres to fixed positions."""
    source = np.stack(eye_centres(ibug.astype(np.float64)))
    target = np.array([[_EYE_LEFT_COLUMN, _EYES_ROW], [_EYE_RIGHT_COLUMN, _EYES_ROW]])
    return fit_similarity(source, target)


def eyes_crop(ibug: Float[np.ndarray, "68 2"]) -> Affine:
    """Returns the crop of the motion features' tight box, from the four eye corners alone.

    Rotates, scales and shifts the middles of the two eyes to fixed positions. Eye corners are the points that
    expressions move least; brows, mouth and jaw have no influence.
    """
    corners = ibug[list(EYE_CORNERS)].astype(np.float64)
    left, right = EYES_BOX_COLUMNS
    cells = np.array([[left, EYES_BOX_ROW], [right, EYES_BOX_ROW]])
    return fit_similarity(corners.reshape(2, 2, 2).mean(axis=1), EYES_BORDER + _CELL * (cells + 0.5) - 0.5)


def fit_similarity(source: Float64[np.ndarray, "p 2"], target: Float64[np.ndarray, "p 2"]) -> Affine:
    """Returns the least-squares similarity transform from `source` to `target`.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991;
    in the plane it is one complex division.
    """
    z = (source - source.mean(axis=0)) @ [1, 1j]
    w = (target - target.mean(axis=0)) @ [1, 1j]
    turn = np.vdot(z, w) / np.vdot(z, z)  # complex: scale times rotation
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = target.mean(axis=0) - linear @ source.mean(axis=0)
    return matrix


def following_crops(ibug: Float32[np.ndarray, "t 68 2"], reference: int) -> Float64[np.ndarray, "t 3 3"]:
    """Returns the crops of `per_frame_stable`: the reference frame's box, moved with eye corners and nose.

    Args:
        ibug: The 68 points of each sampled frame.
        reference: The sampled frame that the box is taken from.
    """
    stable = _smooth_over_time(ibug[:, _STABLE_POINTS].astype(np.float64), _STABLE_SMOOTHING_FRAMES)
    box = box_crop(ibug[reference])
    return np.stack([box @ fit_similarity(points, stable[reference]) for points in stable])


def _smooth_over_time(points: Float64[np.ndarray, "t p 2"], sigma: float) -> Float64[np.ndarray, "t p 2"]:
    times = np.arange(len(points))
    kernel = np.exp(-0.5 * ((times[:, None] - times[None, :]) / sigma) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)  # at the ends the window is one-sided
    return np.einsum("ts,spc->tpc", kernel, points)


def transform_points(matrix: Affine, points: Float[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
    """Applies `matrix` to `points`."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def warp_gray(
    gray: GrayFrame, matrix: Affine, height: int = FACE_SIZE, width: int = FACE_SIZE
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Resamples a crop of a frame: anti-aliasing blur, then bilinear interpolation.

    Edge pixels are repeated beyond the frame, so that a face at the edge gets no artificial contour.

    Args:
        gray: The frame.
        matrix: Maps pixels of the frame to pixels of the result.
        height: Height of the result, pixels.
        width: Width of the result, pixels.
    """
    # Only the part of the frame that the crop covers, so that a large frame costs no more than a small one.
    inverse = np.linalg.inv(matrix)
    corners = transform_points(inverse, np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64))
    margin = 8  # room for the blur and for bilinear neighbours
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - margin, 0, [gray.shape[1] - 1, gray.shape[0] - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + margin, [left + 1, top + 1], gray.shape[::-1])
    part = gray[top:bottom, left:right]

    # warpAffine does not low-pass filter before downsampling.
    scale_x, scale_y = np.linalg.norm(inverse[:2, :2], axis=0).tolist()
    sigma_x, sigma_y = _anti_alias_sigma(scale_x), _anti_alias_sigma(scale_y)
    if sigma_x > 0 or sigma_y > 0:
        kernel = (_kernel_size(sigma_x), _kernel_size(sigma_y))
        part = cv2.GaussianBlur(part, kernel, sigmaX=max(sigma_x, 1e-3), sigmaY=max(sigma_y, 1e-3))

    shifted = matrix.copy()
    shifted[:2, 2] += matrix[:2, :2] @ [left, top]
    return cv2.warpAffine(part, shifted[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _anti_alias_sigma(scale: float) -> float:
    """Returns the sigma of the blur before downsampling by `scale`, in pixels of the larger image."""
    return 0.42 * math.sqrt(scale * scale - 1) if scale > 1 else 0.0


def _kernel_size(sigma: float) -> int:
    return 2 * math.ceil(3 * sigma) + 1


def face_points(ibug: Float[np.ndarray, "68 2"], crop: str) -> Float32[np.ndarray, "68 2"]:
    """Returns where the landmarks of a prepared clip lie in its faces, x then y, in pixels of the 128x128 face.

    Exact for the crops that are fixed for the clip, `onset`, `similarity` and `eyes`; the others put the face at the
    same place up to their smoothing.

    Args:
        ibug: `PreparedClip.landmarks`.
        crop: `VisionOptions.crop` of the clip.
    """
    matrix = {"similarity": similarity_crop, "eyes": eyes_crop}.get(crop, box_crop)
    return transform_points(matrix(ibug), ibug).astype(np.float32)
