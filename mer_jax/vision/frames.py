"""Lazy sources of frames: a folder of images, an array, and selections of other sources.

A frame is decoded on access, so that a clip of hundreds of frames costs only those that the sampling selects. The
content of a file determines its format, not its name.
"""

import itertools
import operator
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float64, UInt8

from mer_jax.errors import DecodeError
from mer_jax.system.files import natural_key
from mer_jax.vision.libraries import cv2, quiet_opencv

FRAME_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff")

Frame = UInt8[np.ndarray, "h w 3"]
GrayFrame = UInt8[np.ndarray, "h w"]

_MOST_PIXELS = 2**27  # of one image; a 49 kB PNG may claim 400 million
_PNG = b"\x89PNG\r\n\x1a\n"

# How browsers and file managers mark a second copy.
_COPY_MARK = re.compile(r"( \(\d+\)| - copy( \(\d+\))?| copy( \d+)?)$", re.IGNORECASE)
_LAST_DIGITS = re.compile(r"(\d+)\D*$")


class FrameSource(ABC):
    """Frames of one clip in temporal order: `len(source)`, `source[i]` in RGB, `source.gray(i)`.

    Indices are integers, 0-based; negative ones count from the end. Slices are not supported, since they would decode
    everything.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of frames."""

    @abstractmethod
    def __getitem__(self, index: SupportsIndex) -> Frame:
        """Returns frame `index` as RGB, uint8."""

    @abstractmethod
    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as 8-bit luma, which may differ from converting `self[index]` by a few gray levels."""

    @abstractmethod
    def describe(self, index: SupportsIndex) -> str:
        """Returns a name of frame `index` for messages."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A name of the whole source for messages."""

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"] | None:
        """Presentation or arrival time of each frame in seconds; None if unknown, as for a folder."""
        return None

    @property
    def stated_duration_s(self) -> float | None:
        """Duration in seconds that the source claims to have; None if it claims none."""
        return None

    @property
    def corrections(self) -> tuple[str, ...]:
        """What was corrected in every frame, for messages."""
        return ()

    def holds(self, index: int) -> bool:
        """Returns whether frame `index` (0 or more) exists; decodes only up to that frame."""
        return 0 <= index < len(self)

    def time_s(self, index: int) -> float | None:
        """Returns the timestamp of one frame in seconds, None if unknown; decodes only up to that frame."""
        times = self.timestamps_s
        return None if times is None else float(times[index])

    def close(self) -> None:
        """Releases files; frames can no longer be read."""
        return

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in itertools.takewhile(self.holds, itertools.count()))

    def _position(self, index: SupportsIndex) -> int:
        try:
            position = operator.index(index)
        except TypeError as error:
            raise TypeError(f"frames are indexed by one integer, not by {index!r}") from error
        if position < 0:
            position += len(self)
        if not self.holds(position):
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
    """Lists the images of a folder in natural order: `img9` before `img10`, `frame9_0` before `frame10_0`.

    Names without digits come last. Hidden files, files without an image suffix, and second copies such as
    `img7 (1).jpg` beside `img7.jpg` are ignored.

    Args:
        folder: A folder of frames; subfolders are ignored.

    Raises:
        DecodeError: It is not a folder, or contains no image.
    """
    return _list_frames_and_copies(Path(folder))[0]


def _list_frames_and_copies(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DecodeError(f"{folder} cannot be read as a folder of frames: {error.strerror}") from error
    files = [each for each in entries if each.suffix.lower() in FRAME_SUFFIXES and not each.name.startswith(".")]
    if not files:
        raise DecodeError(
            f"{folder} contains no frame: expected {', '.join(FRAME_SUFFIXES)}, found {len(entries)} other entries"
        )
    names = {each.name for each in files}
    originals = {each: each.with_stem(_COPY_MARK.sub("", each.stem)) for each in files}
    # Without a number of its own, `clip (1).jpg` beside `clip.jpg` is the next frame.
    copies = [
        each
        for each, original in originals.items()
        if original != each and original.name in names and frame_number(original) is not None
    ]
    frames = sorted(
        set(files) - set(copies), key=lambda path: (frame_number(path) is None, natural_key(path.stem), path.name)
    )
    return frames, sorted(copies)


class FolderFrames(FrameSource):
    """Frames from image files: 8 or 16 bit, gray or colour.

    16-bit images are scaled by their full range (65535 becomes 255). The EXIF orientation is applied.

    Args:
        paths: A folder, whose images are sorted by frame number, or a list of files, whose order is kept (a corpus may
            repeat a file to fill a gap).
    """

    def __init__(self, paths: str | Path | Iterable[str | Path]) -> None:
        self._corrections: tuple[str, ...] = ()
        if isinstance(paths, str | Path):
            frames, copies = _list_frames_and_copies(Path(paths))
            self._paths = tuple(frames)
            self._name = str(paths)
            if copies:
                named = ", ".join(each.name for each in copies[:3]) + (", ..." if len(copies) > 3 else "")
                self._corrections = (f"{len(copies)} second copies are left out: {named}",)
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
    def corrections(self) -> tuple[str, ...]:
        """Which files of the folder were left out."""
        return self._corrections

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
    _refuse_huge_png(content, path)
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise DecodeError(f"{path} cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise DecodeError(
            f"{path} cannot be decoded ({len(content):,} bytes, starting with {content[:8]!r}): it is cut short or not "
            "an image. Copy it again from its source."
        )
    return to_8_bit(image, str(path))


def _refuse_huge_png(content: bytes, path: Path) -> None:
    """Checks the size in the header before the pixels are decoded; OpenCV's own limit is 2**30 pixels."""
    if len(content) < 24 or not content.startswith(_PNG):
        return
    width, height = struct.unpack_from(">II", content, 16)
    if width * height > _MOST_PIXELS:
        raise DecodeError(f"{path} has {width}x{height} pixels; at most {_MOST_PIXELS:,} pixels are decoded")


def to_8_bit(image: np.ndarray, name: str) -> UInt8[np.ndarray, "..."]:
    """Scales a 16-bit image to 8 bits by its full range; leaves an 8-bit image unchanged.

    Args:
        image: uint8 or uint16.
        name: Name for messages.

    Raises:
        DecodeError: It has another dtype.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise DecodeError(f"{name} holds {image.dtype} pixels; expected 8-bit or 16-bit images")


class ArrayFrames(FrameSource):
    """Frames in memory.

    Args:
        array: RGB `[t h w 3]` or gray `[t h w]`, uint8 or uint16.
        name: Name for messages.
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
        """The given name."""
        return self._name

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        image = to_8_bit(np.ascontiguousarray(self._array[self._position(index)]), self._name)
        return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma."""
        image = to_8_bit(np.ascontiguousarray(self._array[self._position(index)]), self._name)
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name and the number of the frame."""
        return f"{self._name}, frame {self._position(index)}"


class WrappedFrames(FrameSource):
    """Base of sources that change the frames of another source; everything but the frames is that of the other one.

    Args:
        source: The other source.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._source.name

    @property
    def timestamps_s(self) -> Float64[np.ndarray, "t"] | None:
        """Times of the source."""
        return self._source.timestamps_s

    @property
    def stated_duration_s(self) -> float | None:
        """Claim of the source."""
        return self._source.stated_duration_s

    @property
    def corrections(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.corrections

    def __len__(self) -> int:
        return len(self._source)

    def holds(self, index: int) -> bool:
        """Asks the source."""
        return self._source.holds(index)

    def time_s(self, index: int) -> float | None:
        """Asks the source."""
        return self._source.time_s(index)

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name of the frame in the source."""
        return self._source.describe(index)


class SelectedFrames(FrameSource):
    """Some frames of another source, in the given order.

    Args:
        source: The other source.
        indices: Frame numbers there, 0-based.
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
        """Times of the selected frames."""
        times = [self._source.time_s(index) for index in self._indices]
        return None if None in times else np.array(times, np.float64)

    def time_s(self, index: int) -> float | None:
        """Asks the source for the time of one frame, rather than for those of all."""
        return self._source.time_s(self._indices[self._position(index)])

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return self._source[self._indices[self._position(index)]]

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` of the selection as luma."""
        return self._source.gray(self._indices[self._position(index)])

    def describe(self, index: SupportsIndex) -> str:
        """Returns the name of the frame in the source."""
        return self._source.describe(self._indices[self._position(index)])
