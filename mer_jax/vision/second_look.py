"""A second look for faces that are too small for the detector: at parts of the frame, one at a time.

The detector scales every frame to a small fixed size, so it misses faces narrower than 10 to 12 % of the frame. In a
quarter of the frame the same face is four times as large. In 1920x1080 this finds faces from 60 pixels on; it costs one
detection for each of 28 parts, so it is used only if the whole frame shows no face.
"""

import dataclasses

import numpy as np

from mer_jax.vision.frames import Frame
from mer_jax.vision.landmarks import MAX_FACES, FaceLandmarker, Landmarks

_PARTS = 4  # the side of a part is this fraction of the frame's longer side
_SMALLEST_SIDE_PX = 240  # smaller parts would search for faces that are too small to use
_SIDE_PER_FACE = 8  # a face has to be this fraction of the side to be found
_NEAR_WIDTHS = 4.0  # side of the part around a known face, in its widths
_SAME_FACE_WIDTHS = 0.5  # two detections whose centres are closer than this are one face


def detect_in_parts(frame: Frame, landmarker: FaceLandmarker) -> tuple[Landmarks, ...]:
    """Detects faces in overlapping parts of a frame.

    A detection counts only if it is confirmed in a part centred on it, which gives the landmarks as well.

    Args:
        frame: RGB.
        landmarker: Detects the faces.

    Returns:
        Up to 4 faces, the widest first, in pixels of the frame; empty if the frame is too small for parts.
    """
    height, width = frame.shape[:2]
    side = _side_px(width, height)
    if side >= max(height, width):
        return ()
    found: list[Landmarks] = []
    for top in _starts(height, side):
        for left in _starts(width, side):
            for coarse in _detect_part(frame, left, top, side, landmarker):
                if not any(_is_same(coarse, known) for known in found):
                    found += [face for face in detect_near(frame, coarse, landmarker) if _is_new(face, coarse, found)]
    widest = sorted(found, key=lambda face: -face.width_px)[:MAX_FACES]
    return tuple(dataclasses.replace(face, num_faces=len(widest)) for face in widest)


def smallest_face_px(width: int, height: int) -> int:
    """Returns the width of the smallest face that the second look finds in a frame of this size, pixels.

    Example:
        >>> smallest_face_px(1920, 1080)
        60
    """
    return _side_px(width, height) // _SIDE_PER_FACE


def detect_near(frame: Frame, known: Landmarks, landmarker: FaceLandmarker) -> tuple[Landmarks, ...]:
    """Detects faces in the part of a frame around a known face.

    Args:
        frame: RGB.
        known: A face in this frame, or in a recent one of the same size.
        landmarker: Detects the faces.

    Returns:
        The faces, the widest first, in pixels of the frame.
    """
    left, top, right, bottom = known.box
    side = round(_NEAR_WIDTHS * max(right - left, bottom - top))
    return _detect_part(frame, round((left + right - side) / 2), round((top + bottom - side) / 2), side, landmarker)


def _detect_part(frame: Frame, left: int, top: int, side: int, landmarker: FaceLandmarker) -> tuple[Landmarks, ...]:
    height, width = frame.shape[:2]
    left, top = max(0, min(left, width - side)), max(0, min(top, height - side))
    part = np.ascontiguousarray(frame[top : top + side, left : left + side])
    shift = np.array([left, top, 0], np.float32)
    return tuple(dataclasses.replace(face, mesh=face.mesh + shift) for face in landmarker.detect_all(part))


def _side_px(width: int, height: int) -> int:
    return max(_SMALLEST_SIDE_PX, max(width, height) // _PARTS)


def _starts(length: int, side: int) -> list[int]:
    """Returns where parts begin that cover `length`, overlapping by half or more."""
    if side >= length:
        return [0]
    count = -(-2 * (length - side) // side) + 1
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def _is_same(one: Landmarks, other: Landmarks) -> bool:
    apart = float(np.linalg.norm((one.mesh - other.mesh)[:, :2].mean(axis=0)))
    return apart < _SAME_FACE_WIDTHS * max(one.width_px, other.width_px)


def _is_new(face: Landmarks, coarse: Landmarks, found: list[Landmarks]) -> bool:
    return _is_same(face, coarse) and not any(_is_same(face, known) for known in found)
