"""`overlay.webm`: a small copy of a video with boxes and captions; VP8, which browsers play."""

import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from mer_jax.errors import DecodeError
from mer_jax.system.files import printable
from mer_jax.vision.frames import Frame
from mer_jax.vision.libraries import cv2, quiet_opencv, without_start_messages

_MOST_PX = 320  # of the longer side
_STRIP_PX = 40  # below the picture, for captions
_TEXT, _SMALLEST_TEXT = 0.4, 0.3  # scale of captions; long ones are smaller
_EDGE_PX = 4
_WAITING = 8  # frames that may wait for the encoder
_INK, _BOX, _MARK = (31, 41, 55), (178, 114, 0), (0, 94, 213)  # BGR

Box = tuple[float, float, float, float]


class OverlayWriter:
    """Writes the video frame by frame, encoded in a thread of its own.

    Args:
        path: The file; it is complete after `close`.
        width: Of the frames, pixels.
        height: Of the frames, pixels.
        frame_rate: Frames per second.
        heading: First caption of every frame.

    Raises:
        DecodeError: OpenCV cannot write the file.
    """

    def __init__(self, path: Path, width: int, height: int, frame_rate: float, heading: str):
        self._scale = min(1.0, _MOST_PX / max(width, height))
        self._width, self._height = _small_size(width, height)
        self._heading = _ascii(heading)
        size = (self._width, self._height + _STRIP_PX)
        try:
            str(path).encode()
            with quiet_opencv(), without_start_messages():
                code = cv2.VideoWriter.fourcc(*"VP80")
                self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, frame_rate, size)
        except UnicodeEncodeError as error:
            raise DecodeError(
                f"{printable(str(path))} cannot be written: OpenCV takes UTF-8 names only; choose another --out, or "
                "leave the overlay out (--no-overlay)"
            ) from error
        if not self._writer.isOpened():
            raise DecodeError(
                f"{path} cannot be written: the folder is full, or this OpenCV has no encoder for VP8; leave the "
                "overlay out (--no-overlay)"
            )
        self._queue: queue.Queue[UInt8[np.ndarray, "h w 3"] | None] = queue.Queue(_WAITING)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._encode, daemon=True)
        self._thread.start()

    def write(self, frame: Frame, boxes: Sequence[tuple[str, Box]], caption: str) -> None:
        """Adds a frame.

        Args:
            frame: RGB, or what `shrink` made of it.
            boxes: Name and left, top, right, bottom of each face, pixels of the frame before that.
            caption: Second line; "" for none. It marks the frame as part of an interval.
        """
        small = shrink(frame)
        picture = np.full((self._height + _STRIP_PX, self._width, 3), 255, np.uint8)
        picture[: self._height] = small[..., ::-1]
        colour = _MARK if caption else _BOX
        for name, box in boxes:
            left, top, right, bottom = (round(value * self._scale) for value in box)
            cv2.rectangle(picture, (left, top), (right, bottom), colour, 1)
            cv2.putText(picture, _ascii(name), (left, max(10, top - 3)), cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1)
        for line, text in enumerate((self._heading, _ascii(caption))):
            place = (_EDGE_PX, self._height + 15 + 17 * line)
            (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _TEXT, 1)
            scale = max(_SMALLEST_TEXT, _TEXT * min(1.0, 0.9 * self._width / max(1, width)))  # drawn, it is wider
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _MARK if line else _INK, 1, cv2.LINE_AA)
        self._queue.put(picture)

    def close(self) -> None:
        """Waits until every frame is encoded, and completes the file.

        Raises:
            DecodeError: A frame could not be encoded.
        """
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._writer.release()
        if self._failure is not None:
            raise DecodeError(f"the overlay cannot be written: {self._failure}; leave it out (--no-overlay)")

    def __enter__(self) -> "OverlayWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _encode(self) -> None:
        while (picture := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._writer.write(picture)
            except cv2.error as error:  # frames that wait are taken all the same, or `write` would wait for ever
                self._failure = error


def shrink(frame: Frame) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Returns a frame in the size of the file; one that has it already as it is."""
    size = _small_size(frame.shape[1], frame.shape[0])
    return frame if size == (frame.shape[1], frame.shape[0]) else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _small_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _MOST_PX / max(width, height))
    small = (max(16, 2 * round(scale * side / 2)) for side in (width, height))  # VP8 takes even sizes only
    return next(small), next(small)


def _ascii(text: str) -> str:
    """OpenCV's fonts have no other characters."""
    return text.encode("ascii", "replace").decode()
