"""Apex spotting for clips and uncut video, without training.

In a clip from onset to offset, each frame is compared with the linear interpolation between the first and the last
frame at the same time. Slow drift (posture, light) is cancelled by the interpolation; a rise and fall is not. The apex
is the frame with the largest difference. Comparing with the onset alone was worse than always answering the middle.

An uncut video has no onset: each frame is compared with the mean of the two frames half an expression before and after
it. The largest difference in a video need not be an expression: speech and restless lips are as large.

Measured on surrogate SMIC by benchmarks/apex.py, beside the error of always answering the middle. In clips (36 frames)
and in uncut video (200 frames) half of the apexes are within one frame; one in three to one in six is off by more than
three, so the mean error in clips of difficulty `real`, 2.8 frames, is hardly below the 3.0 of the middle. There is no
ground truth for real faces here, and the surrogate's single rise and fall is easy for any method.

Source: Li et al., "Towards reading hidden emotions: a comparative study of spontaneous micro-expression spotting and
recognition methods", IEEE TAFFC 2018, section 3.1: the difference to the mean of tail and head frame.
Differs: no contrast with neighbouring frames, which made it worse here; smoothed, registered gray levels instead of
LBP histograms; and linear interpolation instead of the mean where the ends of the clip are known.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.libraries import cv2
from mer_jax.vision.masks import face_mask

_SMOOTHING_SIGMA_PX = 2.0  # smaller structure is camera noise
_SMOOTHING_FRAMES = 1.0  # sigma along the curve
_NOTHING = 0.01  # gray levels; rounding errors stay below
# Half of a typical micro-expression, .32 s in SMIC. Half of the longest, .25 s, doubles the response to other motion.
HALF_INTERVAL_S = 0.16

FaceClip = UInt8[np.ndarray, "t 128 128"]


def spot_apex(faces: FaceClip, ibug: Float[np.ndarray, "68 2"], half_interval: int | None = None) -> int:
    """Returns the frame of the largest motion, 0-based.

    Args:
        faces: Registered faces without a mask: all frames of a clip from onset to offset, or of an uncut video.
        ibug: The 68 points in pixels of the faces, fixed for the clip.
        half_interval: For an uncut video half the length of an expression in frames, `HALF_INTERVAL_S` times the frame
            rate; None for a clip.

    Returns:
        The apex; the middle frame if nothing moves.
    """
    curve = movement_curve(faces, ibug, half_interval)
    return int(curve.argmax()) if curve.max() > _NOTHING else len(faces) // 2


def movement_curve(
    faces: FaceClip, ibug: Float[np.ndarray, "68 2"], half_interval: int | None = None
) -> Float64[np.ndarray, "t"]:
    """Returns the motion curve: the difference of each frame from the interpolation, in gray levels, 0 or more.

    Args:
        faces: As in `spot_apex`.
        ibug: As in `spot_apex`.
        half_interval: As in `spot_apex`; a video shorter than two of them is treated as a clip. Frames without
            neighbours at that distance are 0.
    """
    if half_interval is not None and half_interval < 1:
        raise ValueError(f"half_interval is {half_interval}; it must be 1 frame or more")
    # Excludes the eyeballs: a blink or a glance is larger than any micro-expression.
    weight = (face_mask(ibug, "face") * face_mask(ibug, "blank_eyes")).astype(np.float32)
    levels = _even_light(faces, weight)
    num_frames = len(levels)
    if half_interval is None or num_frames < 2 * half_interval + 1:
        time = np.linspace(0, 1, num_frames, dtype=np.float32)[:, None, None]
        difference = levels - (1 - time) * levels[0] - time * levels[-1]
        if num_frames < 3:
            difference = np.zeros_like(difference)
        return _smooth(_strength(difference, weight))
    k = half_interval
    curve = np.zeros(num_frames)
    curve[k:-k] = _smooth(_strength(levels[k:-k] - (levels[: -2 * k] + levels[2 * k :]) / 2, weight))
    return curve


def _even_light(faces: FaceClip, weight: Float32[np.ndarray, "128 128"]) -> Float32[np.ndarray, "t 128 128"]:
    """Smooths each frame and matches its brightness and contrast to the first frame."""
    levels = np.stack([cv2.GaussianBlur(face, (0, 0), _SMOOTHING_SIGMA_PX) for face in faces]).astype(np.float32)
    share = weight / max(float(weight.sum()), 1e-6)
    levels -= (levels * share).sum(axis=(1, 2), keepdims=True)
    contrast = np.sqrt((levels * levels * share).sum(axis=(1, 2), keepdims=True))
    return levels * (contrast[0] / np.maximum(contrast, 1e-3))


def _strength(
    difference: Float32[np.ndarray, "t 128 128"], weight: Float32[np.ndarray, "128 128"]
) -> Float64[np.ndarray, "t"]:
    weighted = (difference * weight).reshape(-1, FACE_SIZE * FACE_SIZE).astype(np.float64)
    return np.sqrt((weighted**2).mean(axis=1))


def _smooth(curve: Float64[np.ndarray, "t"]) -> Float64[np.ndarray, "t"]:
    times = np.arange(len(curve))
    kernel = np.exp(-0.5 * ((times[:, None] - times) / _SMOOTHING_FRAMES) ** 2)
    return (kernel / kernel.sum(axis=1, keepdims=True)) @ curve
