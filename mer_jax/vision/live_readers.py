"""Reading a camera, a network stream, or a file at the pace of its own timestamps: generators of pictures.

Each yields the time of a picture in seconds since the first, and the picture in BGR as OpenCV decodes it. They end when
`stop` is set or the source has ended, and raise `DecodeError` where an end is a fault.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from mer_jax.errors import DecodeError
from mer_jax.vision.cut_short import compare_durations
from mer_jax.vision.frames import to_8_bit
from mer_jax.vision.libraries import cv2, quiet_opencv
from mer_jax.vision.video import VideoFrames, stated_duration_s

_FARTHEST_APART_S = 2.0  # of a stream's own time and that of arrival, beyond which its own is made up
_LARGEST_JUMP_S = 5.0  # of a stream's own time from frame to frame
_MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
_USUAL_RATE = 25.0  # frames per second, for files that state none

Picture = UInt8[np.ndarray, "h w 3"]
TimedPictures = Iterator[tuple[float, Picture]]


def read_camera(device: int | str, name: str, stop: threading.Event) -> TimedPictures:
    """Reads a camera; times are those of arrival.

    Args:
        device: Number of the camera, 0 is the first, or its path.
        name: Name for messages.
        stop: Ends reading.

    Raises:
        DecodeError: There is no such camera, another program uses it, or it disappears.
    """
    with quiet_opencv():
        capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        raise DecodeError(
            f"{name} cannot be opened: it does not exist, another program uses it, or you lack permission (on Linux: "
            "/dev/video0 and so on, for members of the group video)"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    first_s = last_s = None
    for picture in _pull(capture, name, stop):
        last_s = time.monotonic()
        first_s = last_s if first_s is None else first_s
        yield last_s - first_s, picture
    if stop.is_set():
        return
    if first_s is None or last_s is None:
        raise DecodeError(f"{name} opens but delivers no frame; is another program using it?")
    raise DecodeError(f"{name} has stopped after {last_s - first_s:.1f} s: unplugged, or taken by another program")


def read_address(address: str, name: str, timeout_s: float, stop: threading.Event) -> TimedPictures:
    """Reads a network stream; times are its own, or those of arrival where its own cannot be true.

    A file on a server is played at its own pace.

    Args:
        address: The address.
        name: Name for messages, without a password.
        timeout_s: Longest time for a connection or a frame, seconds.
        stop: Ends reading.

    Raises:
        DecodeError: No video comes from there, or none any more.
    """
    limit_ms = round(1000 * timeout_s)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
    with quiet_opencv():
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise DecodeError(f"{name} cannot be opened: no video comes from this address")
    if capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        yield from _pace(capture, name, 1.0, stop)
        return
    # FFmpeg numbers the pictures of a motion JPEG stream at 25 a second, however fast they come.
    is_counted = address.lower().startswith("http") and capture.get(cv2.CAP_PROP_FOURCC) == _MOTION_JPEG
    clock, last_s = StreamClock(is_own=not is_counted), time.monotonic()
    for picture in _pull(capture, name, stop):
        last_s = time.monotonic()
        yield clock.tell(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, last_s), picture
        last_s = time.monotonic()
    if stop.is_set():
        return
    if time.monotonic() - last_s >= timeout_s:
        raise DecodeError(f"{name} has stalled: no frame for {timeout_s:g} s (--timeout)")
    raise DecodeError(f"{name} has stopped: the stream has ended, or the connection is lost")


def play_file(path: Path, pace: float, stop: threading.Event) -> TimedPictures:
    """Plays a video as if it were live.

    Args:
        path: The file.
        pace: How many times as fast as its timestamps.
        stop: Ends reading.

    Raises:
        DecodeError: It cannot be decoded, or ends in the middle.
    """
    with quiet_opencv():  # absolute, since FFmpeg reads `10:30.mp4` as a protocol
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    stated_s, usual_s = stated_duration_s(capture), _usual_s(capture)
    lasts_s = 0.0
    for time_s, picture in _pace(capture, str(path), pace, stop):
        lasts_s = time_s + usual_s
        yield time_s, picture
    if stop.is_set():
        return
    if not lasts_s:
        VideoFrames(path).close()  # says what is wrong with it
        raise DecodeError(f"{path} cannot be decoded")
    if (cut := compare_durations(stated_s, lasts_s)) is not None:
        raise DecodeError(f"{path} is {cut}")


class StreamClock:
    """Time of the frames of a stream: its own, or from the moment when that cannot be true any more, that of arrival.

    Args:
        is_own: Whether it has a time of its own.
    """

    def __init__(self, *, is_own: bool = True) -> None:
        self._time_s = 0.0
        self._before: tuple[float, float] | None = None
        self._begin = (0.0, 0.0)
        self._is_own = is_own

    def tell(self, own_s: float, arrived_s: float) -> float:
        """Returns the time of the next frame in seconds since the first.

        Args:
            own_s: By the stream.
            arrived_s: By the clock of this machine.
        """
        if self._before is None:
            self._begin = self._before = own_s, arrived_s
            return self._time_s
        step_s, waited_s = own_s - self._before[0], arrived_s - self._before[1]
        apart_s = (own_s - self._begin[0]) - (arrived_s - self._begin[1])
        self._is_own &= 0 < step_s < _LARGEST_JUMP_S and abs(apart_s) < _FARTHEST_APART_S
        self._before = own_s, arrived_s
        self._time_s += step_s if self._is_own else max(waited_s, 1e-3)
        return self._time_s


def _pace(capture: "cv2.VideoCapture", name: str, pace: float, stop: threading.Event) -> TimedPictures:
    """Yields the frames of a file, each when its time has come."""
    usual_s = _usual_s(capture)
    start_s, time_s, before_s = time.monotonic(), 0.0, None
    for picture in _pull(capture, name, stop):
        own_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if before_s is not None:
            time_s += own_s - before_s if own_s > before_s else usual_s  # as of streams without timestamps
            stop.wait(max(0.0, start_s + time_s / pace - time.monotonic()))
        before_s = own_s
        yield time_s, picture


def _usual_s(capture: "cv2.VideoCapture") -> float:
    """Duration of a frame by the header."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return 1 / (rate if 0 < rate <= 1000 else _USUAL_RATE)


def _pull(capture: "cv2.VideoCapture", name: str, stop: threading.Event) -> Iterator[Picture]:
    try:
        while not stop.is_set():
            is_read, picture = capture.read()
            if not is_read:
                break
            yield to_8_bit(picture, name)
    finally:
        capture.release()
