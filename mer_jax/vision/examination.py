"""Examines the frames of a clip one by one: detects the faces and measures them."""

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from mer_jax.errors import DecodeError
from mer_jax.vision.figures import FaceFigures, PictureFigures, measure_face, measure_picture
from mer_jax.vision.frames import Frame, FrameSource
from mer_jax.vision.interlacing import CombCounter
from mer_jax.vision.landmarks import FaceLandmarker, Landmarks
from mer_jax.vision.libraries import cv2
from mer_jax.vision.second_look import detect_in_parts, detect_near
from mer_jax.vision.tracks import follow_face

MAX_FRAMES = 600  # that are examined in one clip, evenly spaced
PICTURES = 12  # frames kept for the contact sheet
RARE_FACE = 0.5  # fraction of frames with a face below which a second look is taken
_SECOND_LOOKS = 4  # pictures that are searched in parts


@dataclasses.dataclass(eq=False)
class Examination:
    """What was detected and measured, by frame number in temporal order.

    Attributes:
        step: Every how many frames one was examined.
        detections: The faces, the widest first.
        measured: What was measured on each of them.
        whole: What was measured on the whole frame.
        unreadable: Why a frame cannot be decoded.
        pictures: Evenly spaced frames, RGB.
        sizes: Width and height to the first frame of that size.
        is_combed: Whether the frames are woven from two fields.
        second_look_s: Duration in seconds of a second look that found faces; None if none was taken or it found none.
    """

    step: int
    detections: dict[int, tuple[Landmarks, ...]] = dataclasses.field(default_factory=dict)
    measured: dict[int, list[FaceFigures]] = dataclasses.field(default_factory=dict)
    whole: dict[int, PictureFigures] = dataclasses.field(default_factory=dict)
    unreadable: dict[int, str] = dataclasses.field(default_factory=dict)
    pictures: dict[int, Frame] = dataclasses.field(default_factory=dict)
    sizes: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    is_combed: bool = False
    second_look_s: float | None = None

    @property
    def face_rate(self) -> float:
        """Fraction of the readable frames with a face."""
        return sum(map(bool, self.detections.values())) / max(1, len(self.detections))


def examine_frames(
    frames: FrameSource, landmarker: FaceLandmarker, on_frame: Callable[[int, int], None] = lambda done, total: None
) -> Examination:
    """Detects and measures the faces in every frame, or in 600 evenly spaced ones.

    Args:
        frames: The clip.
        landmarker: Detects the faces.
        on_frame: Called after each frame with the number of frames done and to do.
    """
    step = -(-len(frames) // MAX_FRAMES)
    chosen = np.arange(0, len(frames), step)
    kept = set(chosen[np.linspace(0, len(chosen) - 1, min(PICTURES, len(chosen))).round().astype(int)].tolist())
    seen, combs, before = Examination(step), CombCounter(), None
    for done, index in enumerate(chosen.tolist(), 1):
        try:
            frame = frames[index]
        except DecodeError as error:
            seen.unreadable[index] = str(error)
            continue
        finally:
            on_frame(done, len(chosen))
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        seen.whole[index] = measure_picture(gray, before)
        seen.sizes.setdefault((gray.shape[1], gray.shape[0]), index)
        seen.detections[index] = landmarker.detect_all(frame)
        seen.measured[index] = [measure_face(gray, face, before) for face in seen.detections[index]]
        if index in kept:
            seen.pictures[index] = frame
            if before is not None and before.shape == gray.shape:
                combs.add(gray, before)
        before = gray
    seen.is_combed = combs.is_combed
    if seen.detections and seen.face_rate < RARE_FACE:
        _look_again(frames, seen, landmarker, on_frame)
    return seen


def _look_again(
    frames: FrameSource, seen: Examination, landmarker: FaceLandmarker, on_frame: Callable[[int, int], None]
) -> None:
    """Searches parts of a few pictures; follows what is found there through the frames without a face."""
    start = time.perf_counter()
    without = [index for index in seen.pictures if not seen.detections[index]]
    searched = without[:: -(-len(without) // _SECOND_LOOKS)] if without else []
    found = {index: faces for index in searched if (faces := detect_in_parts(seen.pictures[index], landmarker))}
    if not found:
        return
    last, before = next(iter(found.values()))[0], None
    for done, index in enumerate(seen.detections, 1):
        frame = frames[index]
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if not seen.detections[index]:
            faces = detect_near(frame, last, landmarker) or found.get(index, ())
            seen.detections[index] = faces
            seen.measured[index] = [measure_face(gray, face, before) for face in faces]
        before = gray
        if seen.detections[index]:
            last = follow_face(seen.detections[index], last) or seen.detections[index][0]
        on_frame(done, len(seen.detections))
    seen.second_look_s = time.perf_counter() - start
