"""`overlay.webm`, written while a video is read."""

import collections
import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from mer_jax.data.provenance import surrogate_mark
from mer_jax.errors import DecodeError
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.video import PredictedInterval, WatchedFace, frame_duration
from mer_jax.vision.frames import Frame
from mer_jax.vision.libraries import cv2
from mer_jax.vision.overlay import Box, OverlayWriter, shrink

OVERLAY = "overlay.webm"
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]  # of small frames that wait


@dataclasses.dataclass(frozen=True)
class _Waiting:
    index: int
    time_s: float
    picture: np.ndarray  # a small frame as JPEG
    boxes: Sequence[tuple[str, Box]]


class OverlayFile:
    """Streaming writer of the copy of a video with face boxes and captions; a context manager.

    A frame is encoded as soon as no interval that is found later can contain it; until then it waits in memory, small
    and as JPEG: 15 MB for 25 s at 30 frames a second.

    Args:
        folder: For the file. It has another name until `finish`, and is removed if that is not called.
        model: Whose answers the captions are.
        wait_s: How long after a frame an interval that contains it may be found, seconds; 0 if all are known.
    """

    def __init__(self, folder: Path, model: ModelDescription, wait_s: float):
        self._path, self._part = folder / OVERLAY, folder / f".{OVERLAY}.part.webm"
        self._heading = f"{surrogate_mark(model.provenance, after=' ')}model {model.name}: movement, not a feeling"
        self._wait_s = wait_s
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._intervals: list[PredictedInterval] = []
        self._writer: OverlayWriter | None = None
        self._size = (0, 0)
        self._next = 0

    def add(self, time_s: float, frame: Frame, faces: Sequence[WatchedFace]) -> None:
        """Adds the next frame.

        Args:
            time_s: Its time in seconds; increases.
            frame: RGB.
            faces: Its faces.

        Raises:
            DecodeError: OpenCV cannot write the file.
        """
        self._size = frame.shape[1], frame.shape[0]
        # Channels may be in any order, as long as both sides agree: RGB goes in here and comes out of `_encode`.
        small = cv2.imencode(".jpg", shrink(frame), _QUALITY)[1]
        boxes = [(f"face {face.face_id}", face.box) for face in faces]
        self._waiting.append(_Waiting(self._next, time_s, small, boxes))
        self._next += 1
        # The rate of the file has to be known when its first frame is written.
        while len(self._waiting) > 2 and self._waiting[0].time_s < time_s - self._wait_s:
            self._encode(self._waiting.popleft())

    def add_interval(self, predicted: PredictedInterval) -> None:
        """Adds an interval: of no frame that is `wait_s` older than the last one."""
        self._intervals.append(predicted)

    def finish(self) -> None:
        """Completes the file, and gives it its name; call it after the last frame and interval."""
        while self._waiting:
            self._encode(self._waiting.popleft())
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            self._part.replace(self._path)

    def __enter__(self) -> "OverlayFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            with contextlib.suppress(DecodeError):  # what went wrong first is the reason
                self._writer.close()
        self._part.unlink(missing_ok=True)

    def _encode(self, frame: _Waiting) -> None:
        if self._writer is None:
            times = [frame.time_s, *(each.time_s for each in self._waiting)]
            rate = 1 / frame_duration(times) if len(times) > 1 else 1.0
            self._writer = OverlayWriter(self._part, *self._size, rate, self._heading)
        self._intervals = [each for each in self._intervals if each.interval.offset_frame >= frame.index]
        inside = [each for each in self._intervals if each.interval.onset_frame <= frame.index]
        inside.sort(key=lambda each: (each.interval.onset_frame, each.interval.offset_frame))
        picture = cv2.imdecode(frame.picture, cv2.IMREAD_COLOR)
        assert picture is not None  # it is of `add`
        self._writer.write(picture, frame.boxes, "; ".join(each.text for each in inside))
