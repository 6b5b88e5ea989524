"""What is measured on each frame and on each face in it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, UInt8

from mer_jax.vision.crop import box_crop, warp_gray
from mer_jax.vision.frames import GrayFrame
from mer_jax.vision.landmarks import Landmarks
from mer_jax.vision.libraries import cv2
from mer_jax.vision.tracks import Track

_BLACK, _WHITE = 2, 253  # gray levels at or beyond which a pixel counts as clipped

PerFrame = Float64[np.ndarray, "n"]


class PictureFigures(NamedTuple):
    """Measured on a whole frame; `FrameFigures` explains each value."""

    brightness: float
    contrast: float
    change: float


class FaceFigures(NamedTuple):
    """Measured on one face of a frame; `FrameFigures` explains each value."""

    width_px: float
    yaw: float
    pitch: float
    roll: float
    eye_closure: float
    sharpness: float
    relative_sharpness: float
    clipped: float
    flatness: float
    face_change: float


_NOT_SEEN = FaceFigures(*[float("nan")] * len(FaceFigures._fields))


@dataclasses.dataclass(frozen=True, eq=False)
class FrameFigures:
    """Measured on each examined frame; NaN where the face was not seen.

    Attributes:
        index: Frame numbers, 0-based.
        time_s: Presentation time in seconds; None if the source has no timestamps.
        num_faces: Number of faces detected.
        brightness: Mean gray level of the frame.
        contrast: Standard deviation of its gray levels.
        width_px: Width of the face, pixels of the frame.
        yaw, pitch, roll: Rotation of the head, degrees.
        eye_closure: Mean of the two blink blendshapes, 0 (open) to 1 (closed).
        sharpness: Variance of the Laplacian of the 128x128 face.
        relative_sharpness: The same over the variance of its gray levels, which darkness does not change.
        clipped: Fraction of its pixels that are black or white.
        flatness: Fraction of the face whose 3x3 neighbourhood has a single gray level; high in drawings.
        change: Mean absolute difference from the previous examined frame, gray levels; 0 for a repeated frame, NaN
            for the first frame and after a change of size.
        face_change: The same in the region of the face: a small face hardly changes a large frame.
    """

    index: Int[np.ndarray, "n"]
    time_s: PerFrame | None
    num_faces: Int[np.ndarray, "n"]
    brightness: PerFrame
    contrast: PerFrame
    width_px: PerFrame
    yaw: PerFrame
    pitch: PerFrame
    roll: PerFrame
    eye_closure: PerFrame
    sharpness: PerFrame
    relative_sharpness: PerFrame
    clipped: PerFrame
    flatness: PerFrame
    change: PerFrame
    face_change: PerFrame


def measure_picture(gray: GrayFrame, before: GrayFrame | None) -> PictureFigures:
    """Measures a whole frame.

    Args:
        gray: The frame.
        before: The previous examined frame, if there is one.
    """
    mean, deviation = cv2.meanStdDev(gray)
    return PictureFigures(float(mean.item()), float(deviation.item()), _change(gray, before))


def measure_face(gray: GrayFrame, face: Landmarks, before: GrayFrame | None) -> FaceFigures:
    """Measures one face.

    Args:
        gray: The frame.
        face: The face in it; without pose or blendshapes the values that need them are NaN.
        before: The previous examined frame, if there is one.
    """
    crop = warp_gray(gray, box_crop(face.ibug))
    yaw, pitch, roll = (face.pose.yaw, face.pose.pitch, face.pose.roll) if face.pose else (float("nan"),) * 3
    scores = face.blendshapes
    closure = (scores["eyeBlinkLeft"] + scores["eyeBlinkRight"]) / 2 if scores else float("nan")
    sharp = sharpness(crop)
    return FaceFigures(
        face.width_px, yaw, pitch, roll, closure, sharp, sharp / max(float(crop.var()), 1e-6), clipped_fraction(crop),
        _flatness(gray, face), _change(gray, before, _face_region(gray, face)),
    )  # fmt: skip


def collect_figures(
    pictures: Mapping[int, PictureFigures],
    detections: Mapping[int, Sequence[Landmarks]],
    measured: Mapping[int, Sequence[FaceFigures]],
    track: Track | None,
    timestamps_s: Float64[np.ndarray, "t"] | None,
) -> FrameFigures:
    """Gathers what was measured frame by frame into arrays over the frames.

    Args:
        pictures: Frame number to what was measured on the whole frame, in temporal order.
        detections: Frame number to the faces detected there.
        measured: Frame number to what was measured on each of these faces.
        track: The face to describe; None leaves the values of the face at NaN.
        timestamps_s: Of all frames of the clip.
    """
    rows = []
    for index, faces in detections.items():
        ours = None if track is None else track.faces.get(index)
        rows.append(next((f for face, f in zip(faces, measured[index], strict=True) if face is ours), _NOT_SEEN))
    indices = np.array(list(detections), int)
    of_picture = np.array(list(pictures.values()), np.float64).reshape(-1, len(PictureFigures._fields)).T
    of_face = np.array(rows, np.float64).reshape(-1, len(FaceFigures._fields)).T
    return FrameFigures(
        index=indices,
        time_s=None if timestamps_s is None else timestamps_s[indices],
        num_faces=np.array([len(faces) for faces in detections.values()], int),
        **dict(zip(PictureFigures._fields, of_picture, strict=True)),
        **dict(zip(FaceFigures._fields, of_face, strict=True)),
    )


def sharpness(face: UInt8[np.ndarray, "h w"]) -> float:
    """Returns the variance of the Laplacian of a face; low values mean blur."""
    return float(cv2.Laplacian(face, cv2.CV_32F).var())


def clipped_fraction(faces: UInt8[np.ndarray, "*t h w"]) -> float:
    """Returns the fraction of pixels that are black or white."""
    return float(((faces <= _BLACK) | (faces >= _WHITE)).mean())


def _change(gray: GrayFrame, before: GrayFrame | None, region: tuple[slice, slice] = np.s_[:, :]) -> float:
    if before is None or before.shape != gray.shape or 0 in gray[region].shape:
        return float("nan")
    return float(cv2.absdiff(gray[region], before[region]).mean())


def _face_region(gray: GrayFrame, face: Landmarks) -> tuple[slice, slice]:
    left, top, right, bottom = (max(0, round(edge)) for edge in face.box)
    return slice(top, bottom), slice(left, right)


def _flatness(gray: GrayFrame, face: Landmarks) -> float:
    part = gray[_face_region(gray, face)]
    if min(part.shape) < 3:
        return float("nan")
    kernel = np.ones((3, 3), np.uint8)
    return float((cv2.dilate(part, kernel) == cv2.erode(part, kernel)).mean())
