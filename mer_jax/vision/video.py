"""Video files as a source of frames, decoded by FFmpeg inside OpenCV."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
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
_MOST_READERS = 4  # one that leads, and one behind it for each of three faces that move at the same time

# Decodes one frame with FFmpeg's error messages, which cannot be switched on in a running process.
_PROBE = "import sys, cv2; print(cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG).read()[0])"


class FrameClock:
    """Replaces non-increasing timestamps using the nominal frame rate.

    Some streams have no times, and times start again where recordings were joined.

    Args:
        rate: Frames per second by the header, 0 if unknown; then times stay as they are.

    Example:
        >>> clock = FrameClock(25.0)
        >>> [round(clock.tell(own_s), 2) for own_s in (0.0, 0.04, 0.0, 0.04, 0.2)]
        [0.0, 0.04, 0.08, 0.12, 0.2]
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._anchor_s, self._since, self._last_s = 0.0, 0, -np.inf

    def tell(self, own_s: float) -> float:
        """Returns the time of the next frame in seconds.

        Args:
            own_s: Its own, seconds.
        """
        if own_s > self._last_s or self._rate <= 0:
            self._anchor_s, self._since = own_s, 0
        else:
            self._since += 1
        self._last_s = self._anchor_s + (self._since / self._rate if self._since else 0.0)
        return self._last_s


class _Reader:
    """Decoding position in a video file: an open capture and the last frame it decoded.

    Attributes:
        capture: The open file.
        next: Number of the frame that the next `grab` yields.
        current: Frame `next` - 1, once decoded.
        is_at_end: Whether there are no more frames; the capture is closed then.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self.capture = capture
        self.next = 0
        self.current: UInt8[np.ndarray, "h w 3"] | None = None
        self.is_at_end = False

    def grab(self) -> bool:
        """Goes on to the next frame without decoding its colours; False at the end."""
        if self.is_at_end or not self.capture.grab():
            self.is_at_end = True
            self.capture.release()
            return False
        self.next += 1
        self.current = None
        return True

    def can_give(self, position: int) -> bool:
        """Whether it gives a frame without starting again."""
        if self.is_at_end:
            return position == self.next - 1 and self.current is not None
        return position >= self.next - 1


class VideoFrames(FrameSource):
    """Frames of a video file.

    A rotation flag is applied, and non-square pixels are made square by enlarging the narrower direction.

    Opening decodes the first frames only. Headers are often wrong about the number of frames, and a variable frame rate
    shows only in the timestamps: `len` and `timestamps_s` read on to the end, `holds` and `time_s` to the frame that
    they are asked for.

    Frames are decoded in order. There are up to four places in the file, so that a pass over it may go back for earlier
    frames, also for intervals that overlap; where none is before a frame, another one starts from the beginning, which
    is exact where seeking is not, in place of the one that is farthest behind.

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
        self._times_s: list[float] = []  # of the frames that are known
        self._timestamps_s: Float64[np.ndarray, " t"] | None = None  # of all frames, once the end is known
        self._readers: list[_Reader] = []
        first = self._start()
        capture = first.capture
        self._stated_duration_s = stated_duration_s(capture)
        self._clock, self._first_ms = FrameClock(capture.get(cv2.CAP_PROP_FPS)), 0.0
        pictures = []
        while len(pictures) < _PROBED_FRAMES and self._advance(first):
            pictures.append(capture.retrieve()[1])
        if not pictures:
            raise DecodeError(
                f"{path} opens as a video, but none of its frames can be decoded: it is cut short, or needs a codec "
                "that OpenCV's FFmpeg lacks"
            )
        if len(pictures) == _PROBED_FRAMES and all(np.array_equal(pictures[0], each) for each in pictures[1:]):
            self._refuse_interlaced()
        self._corrections = self._plan_aspect(capture.get)
        self._close_readers()

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"]:
        """Presentation time of each frame in seconds since the first: its own, or by the rate where it has none."""
        while self._timestamps_s is None:
            self._read_to(len(self._times_s))
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
        return len(self.timestamps_s)

    def holds(self, index: int) -> bool:
        """Returns whether frame `index` exists; decodes only up to that frame."""
        self._read_to(index)
        return 0 <= index < len(self._times_s)

    def time_s(self, index: int) -> float:
        """Returns the presentation timestamp of a frame, relative to the first, in seconds; decodes only up to it."""
        return self._times_s[self._position(index)]

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
        self._close_readers()
        if self._link is not None:
            self._remove_link()

    def _close_readers(self) -> None:
        for each in self._readers:
            each.capture.release()
        self._readers.clear()

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg only: the other backends of OpenCV interpret a text file as a pattern of image names.
        with quiet_opencv():
            capture = cv2.VideoCapture(self._openable_path(), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise DecodeError(self._guess_fault())
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
        try:
            with self._path.open("rb") as file:
                head, size = file.read(512), os.fstat(file.fileno()).st_size
        except OSError as error:  # removed in the meantime, or not ours to read
            return f"{self._path} cannot be opened: {error.strerror}"
        if not head:
            reason = "it is empty"
        elif not set(head) - _TEXT_BYTES:
            reason = "it is a text file"
        elif any(head[place:].startswith(mark) for place, mark in _CONTAINER_MARKS):
            reason = "it is cut short, or needs a codec that OpenCV's FFmpeg lacks"
        else:
            reason = "its format is unknown to OpenCV's FFmpeg, or its beginning is damaged"
        return f"{self._path} ({size:,} bytes) cannot be opened as a video: {reason}"

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

    def _plan_aspect(self, get: Callable[[int], float]) -> tuple[str, ...]:
        """Decides to which size frames are resized so that their pixels are square."""
        self._size: tuple[int, int] | None = None
        ratio = get(cv2.CAP_PROP_SAR_NUM) / max(1.0, get(cv2.CAP_PROP_SAR_DEN))
        if ratio <= 0 or abs(ratio - 1) < _SQUARE:
            return ()
        if get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90:  # frames come turned, the ratio does not
            ratio = 1 / ratio
        width, height = (round(get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self._size = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
        return (
            f"pixels are not square ({ratio:.3f} times as wide as high): frames of {width}x{height} are resized to "
            f"{self._size[0]}x{self._size[1]}",
        )

    def _start(self) -> _Reader:
        """Starts another pass, in place of the one that is farthest behind if there are too many."""
        if len(self._readers) == _MOST_READERS:
            behind = min(self._readers, key=lambda each: each.next)
            behind.capture.release()
            self._readers.remove(behind)
        self._readers.append(_Reader(self._open()))
        return self._readers[-1]

    def _find_reader(self, position: int) -> _Reader:
        """Returns the pass that reaches a frame first."""
        able = [each for each in self._readers if each.can_give(position)]
        return max(able, key=lambda each: each.next) if able else self._start()

    def _advance(self, reader: _Reader) -> bool:
        """Goes on by one frame, and notes its time if it was not known."""
        if reader.grab():
            if reader.next > len(self._times_s):
                own_ms = reader.capture.get(cv2.CAP_PROP_POS_MSEC)
                if not self._times_s:
                    self._first_ms = own_ms
                self._times_s.append(self._clock.tell((own_ms - self._first_ms) / 1000))
            return True
        if reader.next < len(self._times_s):
            raise DecodeError(f"{self.describe(reader.next)} cannot be decoded, although it could be before")
        self._timestamps_s = np.array(self._times_s)
        return False

    def _read_to(self, position: int) -> None:
        """Reads on until a frame is known, or the end."""
        if position < len(self._times_s) or self._timestamps_s is not None:
            return
        reader = self._find_reader(len(self._times_s))
        while self._timestamps_s is None and len(self._times_s) <= position:
            self._advance(reader)

    def _bgr(self, position: int) -> UInt8[np.ndarray, "h w 3"]:
        reader = self._find_reader(position)
        while reader.next <= position:
            self._advance(reader)
        if reader.current is None:
            decoded, image = reader.capture.retrieve()
            if not decoded:
                raise DecodeError(f"{self.describe(position)} cannot be decoded")
            image = to_8_bit(image, self.describe(position))
            if self._size is not None:
                image = cv2.resize(image, self._size, interpolation=cv2.INTER_CUBIC)
            reader.current = image
        return reader.current


def stated_duration_s(capture: cv2.VideoCapture) -> float | None:
    """Returns the duration of an open file by its header in seconds; None without one."""
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return count / rate if rate > 0 and count > 0 else None


def deinterlacing_command(path: Path) -> str:
    """Returns the ffmpeg command that converts an interlaced video to progressive frames, one for each field.

    Example:
        >>> deinterlacing_command(Path("tape 1.avi"))
        "ffmpeg -i 'tape 1.avi' -vf bwdif -c:v libx264 -crf 12 -an 'tape 1_progressive.mp4'"
    """
    result = path.with_name(f"{path.stem}_progressive.mp4")
    return f"ffmpeg -i {shlex.quote(str(path))} -vf bwdif -c:v libx264 -crf 12 -an {shlex.quote(str(result))}"
