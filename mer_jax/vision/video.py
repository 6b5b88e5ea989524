"""Video files as a source of frames, decoded by FFmpeg inside OpenCV."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float64, UInt8

from mer_jax.errors import DecodeError
from mer_jax.vision.frames import Frame, FrameSource, GrayFrame, to_8_bit
from mer_jax.vision.libraries import cv2, quiet_opencv

_TEXT_BYTES = frozenset(range(32, 127)) | frozenset(b"\t\n\r")
# Offset and signature of MP4 and QuickTime, AVI, Matroska and WebM, and MPEG.
_CONTAINER_MARKS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"RIFF"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\0\0\1"))
_SQUARE = 0.01  # relative deviation of the pixel aspect ratio that is ignored
_PROBED_FRAMES = 3  # identical ones at the beginning are a reason to look for interlacing
_PROBE_TIMEOUT_S = 60

# Decodes one frame with FFmpeg's error messages, which cannot be switched on in a running process.
_PROBE = "import sys, cv2; print(cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG).read()[0])"


class VideoFrames(FrameSource):
    """Frames of a video file.

    A rotation flag is applied, and non-square pixels are made square by enlarging the narrower direction.

    Opening reads the file once from end to end, since headers are often wrong about the number of frames, and a
    variable frame rate shows only in the timestamps. Frames are decoded in order; asking for an earlier one starts
    again from the beginning, which is exact where seeking is not.

    Args:
        path: The file.

    Raises:
        DecodeError: The file does not exist, is not a video that FFmpeg can decode, or is interlaced.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise DecodeError(
                f"{path} {'is not a file' if self._path.exists() else 'does not exist'}; expected a video"
            )
        self._link: Path | None = None
        self._capture = self._open()
        timestamps_ms, first = [], []
        while self._capture.grab():
            timestamps_ms.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            if len(first) < _PROBED_FRAMES:
                first.append(self._capture.retrieve()[1])
        if not timestamps_ms:
            raise DecodeError(
                f"{path} opens as a video, but none of its frames can be decoded: it is cut short, or needs a codec "
                "that OpenCV's FFmpeg lacks"
            )
        if len(first) == _PROBED_FRAMES and all(np.array_equal(first[0], each) for each in first[1:]):
            self._refuse_interlaced()
        self._stated_duration_s = stated_duration_s(self._capture)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._timestamps_s = repair_times((np.asarray(timestamps_ms) - timestamps_ms[0]) / 1000.0, rate)
        self._corrections = self._plan_aspect()
        self._restart()

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"]:
        """Presentation time of each frame in seconds since the first: its own, or by the rate if some have none."""
        return self._timestamps_s

    @property
    def stated_duration_s(self) -> float | None:
        """Duration in seconds by the header, None without one; a longer one than the frames last means a cut file."""
        return self._stated_duration_s

    @property
    def corrections(self) -> tuple[str, ...]:
        """What was corrected in every frame, for messages."""
        return self._corrections

    def __len__(self) -> int:
        return len(self._timestamps_s)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return cv2.cvtColor(self._bgr(self._position(index)), cv2.COLOR_BGR2RGB)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma."""
        return cv2.cvtColor(self._bgr(self._position(index)), cv2.COLOR_BGR2GRAY)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the path of the file and the number of the frame in it."""
        return f"{self._path}, frame {self._position(index)}"

    def close(self) -> None:
        """Closes the file; frames can no longer be read."""
        self._capture.release()
        if self._link is not None:
            self._remove_link()

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg only: the other backends of OpenCV interpret a text file as a pattern of image names.
        with quiet_opencv():
            capture = cv2.VideoCapture(self._openable_path(), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise DecodeError(
                f"{self._path} ({self._path.stat().st_size:,} bytes) cannot be opened as a video: {self._guess_fault()}"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    def _openable_path(self) -> str:
        """Returns a path that OpenCV can open: absolute, since FFmpeg reads `10:30.mp4` as a protocol, and UTF-8."""
        path = os.path.abspath(self._path)
        try:
            path.encode()
        except UnicodeEncodeError:
            if self._link is None:
                folder = tempfile.mkdtemp(prefix="mer_jax_video_")
                self._remove_link = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                self._link = Path(folder) / "video"
                self._link.symlink_to(path)
            return str(self._link)
        return path

    def _guess_fault(self) -> str:
        with self._path.open("rb") as file:
            head = file.read(512)
        if not head:
            return "it is empty"
        if not set(head) - _TEXT_BYTES:
            return "it is a text file"
        if any(head[place:].startswith(mark) for place, mark in _CONTAINER_MARKS):
            return "it is cut short, or needs a codec that OpenCV's FFmpeg lacks"
        return "its format is unknown to OpenCV's FFmpeg, or its beginning is damaged"

    def _refuse_interlaced(self) -> None:
        """Raises if FFmpeg's conversion to RGB refuses the frames: OpenCV then returns one and the same buffer."""
        environment = {name: value for name, value in os.environ.items() if name != "OPENCV_FFMPEG_LOGLEVEL"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROBE, self._openable_path()], env=environment, capture_output=True,
                timeout=_PROBE_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return
        if b"interlaced" in done.stderr + done.stdout:
            raise DecodeError(
                f"{self._path} is interlaced, which OpenCV cannot decode; convert it with "
                f"`{deinterlacing_command(self._path)}`"
            )

    def _plan_aspect(self) -> tuple[str, ...]:
        """Decides to which size frames are resized so that their pixels are square."""
        self._size: tuple[int, int] | None = None
        ratio = self._capture.get(cv2.CAP_PROP_SAR_NUM) / max(1.0, self._capture.get(cv2.CAP_PROP_SAR_DEN))
        if ratio <= 0 or abs(ratio - 1) < _SQUARE:
            return ()
        if self._capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90:  # frames come turned, the ratio does not
            ratio = 1 / ratio
        width, height = (
            round(self._capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        self._size = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
        return (
            f"pixels are not square ({ratio:.3f} times as wide as high): frames of {width}x{height} are resized to "
            f"{self._size[0]}x{self._size[1]}",
        )

    def _restart(self) -> None:
        self._capture.release()
        self._capture = self._open()
        self._next = 0  # the frame that the next grab() yields
        self._current: UInt8[np.ndarray, "h w 3"] | None = None  # frame self._next - 1, once decoded

    def _bgr(self, position: int) -> UInt8[np.ndarray, "h w 3"]:
        if position == self._next - 1 and self._current is not None:
            return self._current
        if position < self._next:
            self._restart()
        while self._next <= position:
            if not self._capture.grab():
                raise DecodeError(f"{self.describe(position)} cannot be decoded, although it could be on opening")
            self._next += 1
        decoded, image = self._capture.retrieve()
        if not decoded:
            raise DecodeError(f"{self.describe(position)} cannot be decoded")
        image = to_8_bit(image, self.describe(position))
        if self._size is not None:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_CUBIC)
        self._current = image
        return image


def stated_duration_s(capture: cv2.VideoCapture) -> float | None:
    """Returns the duration of an open file by its header in seconds; None without one."""
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return count / rate if rate > 0 and count > 0 else None


def repair_times(times_s: Float64[np.ndarray, "t"], rate: float) -> Float64[np.ndarray, "t"]:
    """Replaces times that do not increase from frame to frame, as of streams without timestamps, by those of the rate.

    Args:
        times_s: Seconds.
        rate: Frames per second by the header, 0 if unknown.

    Example:
        >>> repair_times(np.array([0.0, 0.04, 0.0]), 25.0).tolist()
        [0.0, 0.04, 0.08]
    """
    if (np.diff(times_s) > 0).all() or rate <= 0:
        return times_s
    return np.arange(len(times_s)) / rate


def deinterlacing_command(path: Path) -> str:
    """Returns the ffmpeg command that converts an interlaced video to progressive frames, one for each field.

    Example:
        >>> deinterlacing_command(Path("tape 1.avi"))
        "ffmpeg -i 'tape 1.avi' -vf bwdif -c:v libx264 -crf 12 -an 'tape 1_progressive.mp4'"
    """
    result = path.with_name(f"{path.stem}_progressive.mp4")
    return f"ffmpeg -i {shlex.quote(str(path))} -vf bwdif -c:v libx264 -crf 12 -an {shlex.quote(str(result))}"
