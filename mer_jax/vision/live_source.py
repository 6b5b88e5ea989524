"""The newest frame of a camera, a network stream, or a file that is played as if it were live.

A thread reads; the newest frame waits for whoever analyses. A frame that is not taken before the next one arrives is
dropped and counted: an analysis that is too slow sees fewer frames, but never old ones.
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from mer_jax.errors import ConfigError, DecodeError
from mer_jax.system.addresses import hide_password
from mer_jax.vision.frames import Frame
from mer_jax.vision.libraries import cv2, quiet_opencv
from mer_jax.vision.live_readers import Picture, TimedPictures, play_file, read_address, read_camera

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
_MOST_PX = 960  # of the longer side; larger frames are shrunk, or seconds of them would fill the memory
_GRACE_S = 1.0  # for OpenCV, whose own time limit is the same and whose message says more
_CLOSING_S = 2.0  # that a reader gets to end


@dataclasses.dataclass(frozen=True)
class LiveFrame:
    """One frame.

    Attributes:
        number: Its number, 0-based; dropped frames are counted.
        time_s: Its time in seconds since the first frame: of arrival for a camera, otherwise the stream's own.
        arrived_s: When it arrived, by `time.monotonic`.
        picture: RGB, at most 960 pixels wide and high.
    """

    number: int
    time_s: float
    arrived_s: float
    picture: Frame


class LiveSource:
    """The newest frame of a source; a context manager, which begins to read when it is entered.

    Attributes:
        name: The source as the user gave it, without a password.
        arrived: Frames that arrived.
        dropped: Frames of them that were replaced by the next one before they were taken.

    Args:
        source: `camera:0`, `camera:/dev/video2`, an address with one of `SCHEMES`, or the path of a video.
        timeout_s: Longest time without a frame of a camera or a stream, seconds.
        pace: How many times as fast as its timestamps a file is played.

    Raises:
        ConfigError: Another kind of address.
        DecodeError: There is no such file.
    """

    def __init__(self, source: str, *, timeout_s: float = 10.0, pace: float = 1.0) -> None:
        self.name = hide_password(source)
        self.arrived = self.dropped = 0
        self._timeout_s: float | None = timeout_s
        self._stop = threading.Event()
        self._open_pictures = self._find_reader(source, timeout_s, pace)
        self._changed = threading.Condition()
        self._newest: tuple[int, float, float, Picture] | None = None
        self._failure: DecodeError | None = None
        self._is_over = False
        self._last_s = 0.0
        self._thread = threading.Thread(target=self._read, name="mer live reader", daemon=True)

    def take(self, wait_s: float) -> LiveFrame | None:
        """Waits for the next frame and takes it.

        Args:
            wait_s: Longest time to wait.

        Returns:
            The frame; None if none came in this time, or none comes any more, see `is_over`.

        Raises:
            DecodeError: The source cannot be opened, stops in the middle, or delivers nothing within its time limit.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._is_over, wait_s)
            taken, self._newest = self._newest, None
            if taken is None:
                if self._failure is not None:
                    raise self._failure
                if not self._is_over:
                    self._check_stall()
                return None
        number, time_s, arrived_s, picture = taken
        return LiveFrame(number, time_s, arrived_s, cv2.cvtColor(_shrink(picture), cv2.COLOR_BGR2RGB))

    @property
    def is_over(self) -> bool:
        """Whether no frame is left and none will come; of a source that has failed, `take` says so instead."""
        with self._changed:
            return self._is_over and self._newest is None and self._failure is None

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join(_CLOSING_S)  # a connection that hangs is left to the end of the process

    def __enter__(self) -> "LiveSource":
        self._last_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _find_reader(self, source: str, timeout_s: float, pace: float) -> Callable[[], TimedPictures]:
        word, _, device = source.partition(":")
        is_camera = word == "camera"
        if is_camera and "://" not in device:
            number = int(device or 0) if device.isdecimal() or not device else device
            return functools.partial(read_camera, number, self.name, self._stop)
        address = device if is_camera else source
        scheme, is_address, _ = address.partition("://")
        if is_address:
            if scheme.lower() not in SCHEMES:
                raise ConfigError(f"got {self.name}, an address with {scheme}; expected one of {', '.join(SCHEMES)}")
            return functools.partial(read_address, address, self.name, timeout_s, self._stop)
        path = Path(source).expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
            raise DecodeError(f"{source} {what}; expected a video, an address such as rtsp://..., or camera:0")
        self._timeout_s = None
        return functools.partial(play_file, path, pace, self._stop)

    def _read(self) -> None:
        size = None
        try:
            with quiet_opencv():  # what it says of a stream that stalls is raised as an error
                for time_s, picture in self._open_pictures():
                    if size is not None and picture.shape != size:
                        before, now = (f"{each[1]}x{each[0]}" for each in (size, picture.shape))
                        raise DecodeError(f"{self.name} changes from {before} to {now} pixels; start again")
                    size = picture.shape
                    self._post(time_s, picture)
        except DecodeError as error:
            self._failure = error
        except Exception as error:  # whatever it is: a thread that dies quietly would look like the end of the source
            reason = error.err if isinstance(error, cv2.error) else f"{type(error).__name__}: {error}"
            self._failure = DecodeError(f"{self.name} cannot be decoded: {hide_password(reason)}")
            self._failure.__cause__ = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _post(self, time_s: float, picture: Picture) -> None:
        with self._changed:
            self.dropped += self._newest is not None
            self._last_s = time.monotonic()
            self._newest = self.arrived, time_s, self._last_s, picture
            self.arrived += 1
            self._changed.notify_all()

    def _check_stall(self) -> None:
        if self._timeout_s is None or time.monotonic() - self._last_s < self._timeout_s + _GRACE_S:
            return
        what = "has stalled: no frame for" if self.arrived else "delivers no frame within"
        raise DecodeError(f"{self.name} {what} {self._timeout_s:g} s (--timeout)")


def _shrink(picture: Picture) -> UInt8[np.ndarray, "rows columns 3"]:
    height, width = picture.shape[:2]
    scale = _MOST_PX / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
