"""Where a movement is largest: apex spotting for clips and for raw video, without training.

A clip that runs from onset to offset: each frame is compared with the straight line between the first and the last
frame, at its own time. What drifts over the clip (posture, light, a slow disturbance) lies on that line and drops out;
what rises and falls does not. The apex is where the difference is largest. Comparing with the onset alone was worse
than naming the middle of the clip.

A raw video has no onset: each frame is compared with the mean of the two frames half an expression before and after it,
which is the same line, moved along with the frame. The largest difference of a video need not be an expression: speech
and restless lips are as large.

Measured on surrogate SMIC by benchmarks/apex.py, which prints the error beside that of always naming the middle. Half
of the apexes are within one frame, of clips (36 frames) as of raw videos (200 frames); one in three to one in six is
missed by more than three, so that in clips of difficulty `real` the mean error, 2.8 frames, is hardly below the 3.0 of
the middle. Real faces have no such truth here, and the surrogate's single rise and fall is kind to any method.

Source: Li et al., "Towards reading hidden emotions: a comparative study of spontaneous micro-expression spotting and
recognition methods", IEEE TAFFC 2018, section 3.1: the difference to the mean of tail and head frame.
Differs: their contrast with neighbouring frames, which made it worse here, is left out; smoothed, registered gray
levels instead of LBP histograms; and the line in place of the mean where the clip's ends are known.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.libraries import cv2
from mer_jax.vision.masks import face_mask

_SMOOTHING_SIGMA_PX = 2.0  # what lies below it is camera noise
_SMOOTHING_FRAMES = 1.0  # sigma along the curve
_NOTHING = 0.01  # gray levels: rounding of the arithmetic
# Half a typical micro-expression, .32 s in SMIC. Half of the longest, .25 s, lets in twice as much of what else moves.
HALF_INTERVAL_S = 0.16

FaceClip = UInt8[np.ndarray, "t 128 128"]


def spot_apex(faces: FaceClip, ibug: Float[np.ndarray, "68 2"], half_interval: int | None = None) -> int:
    """Returns the frame of the largest movement, 0-based.

    Args:
        faces: Registered faces without a mask: all frames of a clip from onset to offset, or of a raw video.
        ibug: The 68 points in pixels of the faces; held for the clip.
        half_interval: For a raw video half an expression's length in frames, `HALF_INTERVAL_S` times the frame rate;
            None for a clip.

    Returns:
        The apex; the middle frame where nothing moves.
    """
    curve = movement_curve(faces, ibug, half_interval)
    return int(curve.argmax()) if curve.max() > _NOTHING else len(faces) // 2


def movement_curve(
    faces: FaceClip, ibug: Float[np.ndarray, "68 2"], half_interval: int | None = None
) -> Float64[np.ndarray, "t"]:
    """Returns how far each frame is from the line between its neighbours in time, in gray levels, 0 or more.

    Args:
        faces: As in `spot_apex`.
        ibug: As in `spot_apex`.
        half_interval: As in `spot_apex`; a video shorter than two of them is taken for a clip. The frames that have
            no neighbour so far away stand at 0.
    """
    if half_interval is not None and half_interval < 1:
        raise ValueError(f"half_interval is {half_interval}; it must be 1 frame or more")
    # The eyeballs are left out: a blink or a glance is larger than any micro-expression.
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
    """Smooths each frame, and gives all of them the brightness and contrast of the first one."""
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
