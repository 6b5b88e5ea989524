"""Lazy sources of frames: a folder of images, a video file, an array.

A frame is decoded when it is asked for, so that a clip of hundreds of frames costs only those that the sampling
picks. The content of a file decides its format, not its name.
"""

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float64, UInt8

from mer_jax.errors import DecodeError
from mer_jax.vision.libraries import cv2, quiet_opencv

FRAME_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png")

Frame = UInt8[np.ndarray, "h w 3"]
GrayFrame = UInt8[np.ndarray, "h w"]

_TEXT_BYTES = frozenset(range(32, 127)) | frozenset(b"\t\n\r")
# Where the marks of MP4 and QuickTime, AVI, Matroska and WebM, and MPEG stand in a file.
_CONTAINER_MARKS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"RIFF"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\0\0\1"))

_LAST_DIGITS = re.compile(r"(\d+)\D*$")


class FrameSource(ABC):
    """Frames of one clip in temporal order: `len(source)`, `source[i]` in RGB, `source.gray(i)`.

    Indices are whole numbers, 0-based; negative ones count from the end. Slices are refused, since they would
    decode everything.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of frames."""

    @abstractmethod
    def __getitem__(self, index: SupportsIndex) -> Frame:
        """Returns frame `index` as RGB, uint8."""

    @abstractmethod
    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as 8-bit luma; it may differ from converting `self[index]` by a few gray levels."""

    @abstractmethod
    def describe(self, index: SupportsIndex) -> str:
        """Returns a name of frame `index` for messages."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A name of the whole source for messages."""

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"] | None:
        """When each frame was shown or taken, in seconds; None where nothing says so, as for a folder."""
        return None

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def _position(self, index: SupportsIndex) -> int:
        try:
            position = operator.index(index)
        except TypeError as error:
            raise TypeError(f"frames are indexed by one whole number, not by {index!r}") from error
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"{self.name} has {len(self)} frames; there is no frame {index}")
        return position


def frame_number(path: Path) -> int | None:
    """Returns the last run of digits in the stem of `path`, or None if it has none.

    Example:
        >>> frame_number(Path("sub01/EP02_01f/reg_img46.jpg"))
        46
    """
    match = _LAST_DIGITS.search(path.stem)
    return int(match.group(1)) if match else None


def list_frame_files(folder: str | Path) -> list[Path]:
    """Lists the images of a folder in the order of their frame numbers.

    Padding differs within one corpus, so the last run of digits counts as a number. Names without digits come last;
    hidden files and files that are no images by their suffix are left out.

    Args:
        folder: A folder of frames; its subfolders are not looked into.

    Raises:
        DecodeError: It is not a folder, or holds no image.
    """
    folder = Path(folder)
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DecodeError(f"{folder} cannot be read as a folder of frames: {error.strerror}") from error
    files = [each for each in entries if each.suffix.lower() in FRAME_SUFFIXES and not each.name.startswith(".")]
    if not files:
        raise DecodeError(
            f"{folder} holds no frame: looked for {', '.join(FRAME_SUFFIXES)}, found {len(entries)} other entries"
        )

    def order(path: Path) -> tuple[bool, int, str]:
        number = frame_number(path)
        return (number is None, number or 0, path.name)

    return sorted(files, key=order)


class FolderFrames(FrameSource):
    """Frames that are image files: 8 or 16 bit, gray or colour.

    16-bit images are scaled by their full range (65535 becomes 255). A turned EXIF orientation is honoured.

    Args:
        paths: A folder, whose images are taken in the order of their frame numbers, or the files themselves, which
            are taken in the order given (a corpus may repeat a file where one is missing).
    """

    def __init__(self, paths: str | Path | Iterable[str | Path]) -> None:
        if isinstance(paths, str | Path):
            self._paths = tuple(list_frame_files(paths))
            self._name = str(paths)
        else:
            self._paths = tuple(Path(each) for each in paths)
            self._name = str(self._paths[0].parent) if self._paths else "an empty list of frame files"
        if not self._paths:
            raise DecodeError("no frames: the list of frame files is empty")

    @property
    def name(self) -> str:
        """The folder."""
        return self._name

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, one per frame."""
        return self._paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return _decode(self._paths[self._position(index)], cv2.IMREAD_COLOR_RGB)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma; a JPEG is then decoded in half the time."""
        return _decode(self._paths[self._position(index)], cv2.IMREAD_GRAYSCALE)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the path of frame `index`."""
        return str(self._paths[self._position(index)])


def _decode(path: Path, colour: int) -> UInt8[np.ndarray, "..."]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DecodeError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise DecodeError(f"{path} is empty (0 bytes); expected an image. Copy it again from its source.")
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise DecodeError(f"{path} cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise DecodeError(
            f"{path} cannot be decoded ({len(content):,} bytes, it begins with {content[:8]!r}): it is cut short or "
            "is no image. Copy it again from its source."
        )
    return _to_8_bit(image, str(path))


def _to_8_bit(image: np.ndarray, name: str) -> UInt8[np.ndarray, "..."]:
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise DecodeError(f"{name} holds {image.dtype} pixels; expected 8-bit or 16-bit images")


class VideoFrames(FrameSource):
    """Frames of a video file, decoded by FFmpeg inside OpenCV; a rotation flag is honoured.

    Opening reads the file once from end to end, since headers are often wrong about the number of frames and a
    variable frame rate shows in the timestamps only. Frames are then decoded in their order; asking for an earlier
    one starts anew, which is exact where seeking is not.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise DecodeError(
                f"{self._path} is {'not a file' if self._path.exists() else 'not there'}; expected a video"
            )
        self._capture = self._open()
        timestamps_ms = []
        while self._capture.grab():
            timestamps_ms.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        if not timestamps_ms:
            raise DecodeError(
                f"{self._path} opens as a video but not one frame of it can be decoded: it is cut short, or needs a "
                "codec that OpenCV's FFmpeg lacks"
            )
        self._stated_frames = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._timestamps_s = np.asarray(timestamps_ms) / 1000.0
        self._restart()

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"]:
        """Presentation time of each frame in seconds, as the file states it."""
        return self._timestamps_s

    @property
    def stated_frames(self) -> int:
        """Frames that the file says it has, 0 if it does not say; where there are fewer, it is cut short or damaged."""
        return self._stated_frames

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

    def __enter__(self) -> "VideoFrames":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg alone: the other backends of OpenCV take a text file for a pattern of image names.
        with quiet_opencv():
            capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise DecodeError(
                f"{self._path} ({self._path.stat().st_size:,} bytes) cannot be opened as a video: {self._guess_fault()}"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    def _guess_fault(self) -> str:
        with self._path.open("rb") as file:
            head = file.read(512)
        if not head:
            return "it is empty"
        if not set(head) - _TEXT_BYTES:
            return "it is a text file"
        if any(head[place:].startswith(mark) for place, mark in _CONTAINER_MARKS):
            return "it is cut short, or needs a codec that OpenCV's FFmpeg lacks"
        return "it is no video of a kind that OpenCV's FFmpeg knows, or its beginning is damaged"

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
                raise DecodeError(f"{self.describe(position)} cannot be decoded, though it could when it was opened")
            self._next += 1
        decoded, image = self._capture.retrieve()
        if not decoded:
            raise DecodeError(f"{self.describe(position)} cannot be decoded")
        self._current = _to_8_bit(image, self.describe(position))
        return self._current


class ArrayFrames(FrameSource):
    """Frames that are in memory already.

    Args:
        array: RGB `[t h w 3]` or gray `[t h w]`, uint8 or uint16.
        name: What messages call it.
    """

    def __init__(self, array: np.ndarray, name: str = "an array of frames") -> None:
        array = np.asarray(array)
        self._name = name
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] != 3) or 0 in array.shape:
            raise DecodeError(f"{name} has shape {array.shape}; expected [t h w 3] in RGB or [t h w] in gray")
        if array.dtype not in (np.uint8, np.uint16):
            raise DecodeError(f"{name} has dtype {array.dtype}; expected uint8 (0 to 255) or uint16 (0 to 65535)")
        self._array = array

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        image = _to_8_bit(np.ascontiguousarray(self._array[self._position(index)]), self._name)
        return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma."""
        image = _to_8_bit(np.ascontiguousarray(self._array[self._position(index)]), self._name)
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name and the number of the frame."""
        return f"{self._name}, frame {self._position(index)}"


class SelectedFrames(FrameSource):
    """Some of the frames of another source, in the order given.

    Args:
        source: Where they come from.
        indices: Their numbers there, 0-based.
    """

    def __init__(self, source: FrameSource, indices: Iterable[int]) -> None:
        self._source = source
        self._indices = tuple(indices)

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._source.name

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"] | None:
        """Those of the frames chosen."""
        times = self._source.timestamps_s
        return None if times is None else times[list(self._indices)]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return self._source[self._indices[self._position(index)]]

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` of the choice as luma."""
        return self._source.gray(self._indices[self._position(index)])

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name that the source has for the frame."""
        return self._source.describe(self._indices[self._position(index)])


def open_frames(path: str | Path) -> FrameSource:
    """Opens a folder of frames, a single image or a video file.

    Args:
        path: What to open.

    Raises:
        DecodeError: It is not there, holds no frame, or cannot be decoded.
    """
    path = Path(path)
    if path.is_dir():
        return FolderFrames(path)
    if path.suffix.lower() in FRAME_SUFFIXES:
        return FolderFrames([path])
    return VideoFrames(path)
