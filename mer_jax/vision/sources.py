"""Finds the clips to inspect: a video, a folder of frames, a folder of either, or a camera."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from mer_jax.errors import DecodeError
from mer_jax.system.addresses import hide_password
from mer_jax.system.files import natural_key
from mer_jax.vision.camera import record_camera
from mer_jax.vision.frames import FRAME_SUFFIXES, FolderFrames, FrameSource
from mer_jax.vision.tiff import TIFF_SUFFIXES, StackFrames, count_pages
from mer_jax.vision.video import VideoFrames

VIDEO_SUFFIXES = (
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip

ClipKind = Literal["clip", "video"]


@dataclasses.dataclass(frozen=True)
class ClipSource:
    """A clip that has been found but not opened.

    Attributes:
        name: Its path below the folder that was searched.
        kind: `clip` runs from onset to offset; in a `video` the expression may be anywhere.
        open: Opens it; raises DecodeError if it cannot be decoded.
    """

    name: str
    kind: ClipKind
    open: Callable[[], FrameSource]


@dataclasses.dataclass(frozen=True)
class FoundClips:
    """The clips of a source, and what was passed over.

    Attributes:
        clips: In natural order of their names.
        passed_over: File suffix to the number of files that are neither videos nor frames.
    """

    clips: tuple[ClipSource, ...]
    passed_over: Mapping[str, int] = dataclasses.field(default_factory=dict)


def open_frames(path: str | Path) -> FrameSource:
    """Opens a folder of frames, a single image, a TIFF stack or a video file.

    Args:
        path: The folder or file.

    Raises:
        DecodeError: It does not exist, contains no frame, or cannot be decoded.
    """
    path = Path(path)
    if path.is_dir():
        return FolderFrames(path)
    if path.suffix.lower() in FRAME_SUFFIXES:
        return StackFrames(path) if _is_stack(path) else FolderFrames([path])
    return VideoFrames(path)


def find_clips(source: str, seconds: float | None = None) -> FoundClips:
    """Finds the clips of a source.

    Args:
        source: A video, a folder of frames, a folder of such videos and folders, or, with `seconds`,
            `camera[:NUMBER|:ADDRESS]`. Links to folders are followed, hidden files ignored.
        seconds: How long a camera is recorded.

    Raises:
        DecodeError: The source does not exist, or contains neither videos nor frames.
    """
    word, _, device = source.partition(":")
    if word == "camera" and seconds is not None:
        number = int(device or 0) if device.isdecimal() or not device else device
        return FoundClips((ClipSource(hide_password(source), "video", lambda: record_camera(number, seconds)),))
    root = Path(source).expanduser()
    if not root.exists():
        expected = "a video or a folder" if seconds is None else "a video, a folder, or camera[:NUMBER|:ADDRESS]"
        raise DecodeError(f"{hide_password(source)} does not exist; expected {expected}")
    if root.is_file():
        return FoundClips((_entry(root, root.name),))
    clips: set[Path] = set()
    passed_over: Counter[str] = Counter()
    for path in _walk(root, passed_over):
        suffix = path.suffix.lower()
        if suffix in FRAME_SUFFIXES and not _is_stack(path):
            clips.add(path.parent)
        elif suffix in FRAME_SUFFIXES or suffix in VIDEO_SUFFIXES:
            clips.add(path)
        else:
            passed_over[suffix or path.name] += 1
    if not clips:
        raise DecodeError(
            f"{source} contains neither videos ({', '.join(VIDEO_SUFFIXES)}) nor folders of frames "
            f"({', '.join(FRAME_SUFFIXES)}); found {describe_passed_over(passed_over) or 'no files'}"
        )
    named = {root.name if path == root else path.relative_to(root).as_posix(): path for path in clips}
    entries = tuple(_entry(named[name], name) for name in sorted(named, key=natural_key))
    return FoundClips(entries, dict(sorted(passed_over.items())))


def describe_passed_over(passed_over: Mapping[str, int]) -> str:
    """Counts files by their suffix; empty if there are none.

    Example:
        >>> describe_passed_over({".txt": 2, ".heic": 1})
        '3 other files: 2 .txt, 1 .heic'
    """
    total = sum(passed_over.values())
    if not total:
        return ""
    kinds = sorted(passed_over.items(), key=lambda item: -item[1])
    named = ", ".join(f"{count} {suffix}" for suffix, count in kinds)
    return f"{total} other file{'' if total == 1 else 's'}: {named}"


def _walk(root: Path, passed_over: Counter[str]) -> Iterator[Path]:
    """Yields all files below a folder that are not hidden; follows links to folders, each folder once."""
    visited: set[str] = set()

    def count(error: OSError) -> None:
        passed_over["unreadable folder"] += 1

    for folder, folders, files in os.walk(root, onerror=count, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))


def _is_stack(path: Path) -> bool:
    return path.suffix.lower() in TIFF_SUFFIXES and count_pages(path) > 1


def _entry(path: Path, name: str) -> ClipSource:
    return ClipSource(name, "clip" if path.is_dir() else "video", lambda: open_frames(path))
