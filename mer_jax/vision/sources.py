"""Finds the clips to inspect: a video, a folder of frames, a folder of either, or a camera."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mer_jax.errors import DecodeError
from mer_jax.vision.camera import record_camera
from mer_jax.vision.frames import FRAME_SUFFIXES, FrameSource, open_frames

VIDEO_SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")

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


def find_clips(source: str, seconds: float = 5.0) -> list[ClipSource]:
    """Lists the clips of a source.

    Args:
        source: A video, a folder of frames, a folder of such videos and folders, or `camera[:NUMBER|:ADDRESS]`.
        seconds: How long a camera is recorded.

    Raises:
        DecodeError: The source does not exist, or holds neither videos nor frames.
    """
    word, _, device = source.partition(":")
    if word == "camera":
        number = int(device or 0) if device.isdecimal() or not device else device
        return [ClipSource(source, "video", lambda: record_camera(number, seconds))]
    root = Path(source)
    if not root.exists():
        raise DecodeError(f"{source} does not exist; expected a video, a folder, or camera[:NUMBER|:ADDRESS]")
    if root.is_file():
        return [_entry(root, root.name)]
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    folders = {path.parent for path in files if path.suffix.lower() in FRAME_SUFFIXES}
    found = sorted({*folders, *(path for path in files if path.suffix.lower() in VIDEO_SUFFIXES)})
    if not found:
        raise DecodeError(
            f"{source} holds neither videos ({', '.join(VIDEO_SUFFIXES)}) nor folders of frames "
            f"({', '.join(FRAME_SUFFIXES)}); found {len(files)} other files"
        )
    return [_entry(path, root.name if path == root else path.relative_to(root).as_posix()) for path in found]


def _entry(path: Path, name: str) -> ClipSource:
    return ClipSource(name, "clip" if path.is_dir() else "video", lambda: open_frames(path))
