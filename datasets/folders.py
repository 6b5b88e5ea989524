"""Folders of a release: the rules that hold for every corpus, however its archives were unpacked.

Doubled folders, mixed case, stray system files and missing frames are normal in real copies and no errors.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mer_jax.errors import CorpusError
from mer_jax.system.files import natural_key
from mer_jax.vision.frames import FRAME_SUFFIXES

SURROGATE_MARKER = "SURROGATE.json"
MAX_DEPTH = 3  # levels below the given folder at which a release folder is looked for
_MARKER_DEPTH = 6  # levels above the folder of clips
# What browsers and file managers append to the name of a second copy.
COPY_SUFFIX = re.compile(r"(?i)\s*\(\d{1,3}\)$|[\s_-]+(copy|kopie|copie)(\s*\(?\d{1,3}\)?)?$")


def normalize_name(name: str) -> str:
    """Makes folder names comparable: lower case, and space, `_` and `-` are one character.

    Example:
        >>> normalize_name("SMIC-all raw") == normalize_name("smic_all_raw")
        True
    """
    return re.sub(r"[ _-]+", "_", name.strip()).casefold()


def subfolders(folder: Path) -> list[Path]:
    """Lists the folders in a folder, without those that systems and archivers leave behind.

    Raises:
        CorpusError: The folder cannot be listed.
    """
    return _list(folder, os.DirEntry.is_dir)


def list_files(folder: Path) -> list[Path]:
    """Lists the files in a folder, without those that systems and office programs leave behind.

    Raises:
        CorpusError: The folder cannot be listed.
    """
    return _list(folder, os.DirEntry.is_file)


def walk(
    top: Path, *, max_depth: int = MAX_DEPTH, enters: Callable[[Path], bool] = lambda folder: True
) -> Iterator[tuple[Path, int]]:
    """Walks down a tree level by level.

    Args:
        top: Where to start; yielded first.
        max_depth: Levels below `top`, 0 or more.
        enters: Whether to look inside a folder that was yielded.

    Yields:
        Folders and their depth, nearest first. A folder that is reached twice through a link comes once.

    Raises:
        CorpusError: A folder cannot be listed.
    """
    seen, level = set(), [top]
    for depth in range(max_depth + 1):
        below = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            yield folder, depth
            if depth < max_depth and enters(folder):
                below += subfolders(folder)
        level = below


def find_folders(top: Path, accepts: Callable[[Path], bool], *, max_depth: int = MAX_DEPTH) -> list[Path]:
    """Lists the folders that a test accepts, nearest first; does not look inside those.

    Args:
        top: Where to start; it is tested too.
        accepts: The test.
        max_depth: Levels below `top`, 0 or more.

    Raises:
        CorpusError: A folder cannot be listed.
    """
    found: list[Path] = []
    for folder, _ in walk(top, max_depth=max_depth, enters=lambda folder: folder not in found):
        if accepts(folder):
            found.append(folder)
    return found


def enter_doubled(folder: Path) -> Path:
    """Steps into `x/x`, the mark of an archive that was unpacked into a folder of its own name.

    Returns:
        The innermost of the doubled folders, or `folder` itself.

    Raises:
        CorpusError: A folder cannot be listed.
    """
    for _ in range(MAX_DEPTH):
        inside = [each for each in subfolders(folder) if normalize_name(each.name) == normalize_name(folder.name)]
        if not inside or os.path.realpath(inside[0]) == os.path.realpath(folder):
            break
        folder = inside[0]
    return folder


def list_frames(folder: Path) -> tuple[list[Path], list[int], list[str]]:
    """Lists the frames of a clip in temporal order.

    The number of a frame is the last run of digits in its name that varies, whatever the padding. A second copy, such
    as `img7 (1).jpg`, counts only where the first is missing.

    Args:
        folder: Of one clip; a doubled folder is entered.

    Returns:
        The files, their numbers, and a sentence for each oddity (a number that occurs twice, an image without one, an
        empty file).

    Raises:
        CorpusError: The folder cannot be listed.
    """
    folder = enter_doubled(folder)
    oddities: list[str] = []
    numbered: dict[int, Path] = {}
    found = [path for path in list_files(folder) if path.suffix.lower() in FRAME_SUFFIXES]
    number_of = _number_frames({path: COPY_SUFFIX.sub("", path.stem) for path in found})
    for path in sorted(found, key=lambda path: (COPY_SUFFIX.search(path.stem) is not None, path.name)):
        number = number_of[path]
        if number is None:
            oddities.append(f"{path} has no frame number in its name and is left out")
        elif number in numbered:
            oddities.append(f"{path} repeats the frame number of {numbered[number].name} and is left out")
        else:
            if not path.stat().st_size:
                oddities.append(f"{path} is an empty file")
            numbered[number] = path
    numbers = sorted(numbered)
    return [numbered[number] for number in numbers], numbers, oddities


def _number_frames(stems: Mapping[Path, str]) -> dict[Path, int | None]:
    """Returns the number of each frame: its last run of digits, or the last run that varies if that one never does."""
    runs = {path: [int(digits) for digits in re.findall(r"\d{1,18}", stem)] for path, stem in stems.items()}
    position, known = -1, [each for each in runs.values() if each]
    while len({each[position] for each in known}) == 1 < len(known) and all(len(each) > -position for each in known):
        position -= 1
    if len({each[position] for each in known}) == 1:
        position = -1
    return {path: each[position] if len(each) >= -position else None for path, each in runs.items()}


def find_marker(root: Path) -> Mapping[str, Any] | None:
    """Reads the marker file of a surrogate in a folder or above it, also above the target of a link.

    Any marker counts: recordings that lie below a surrogate are rather called rendered than the other way round.

    Args:
        root: The folder of clips.

    Returns:
        The marker's content; None for recordings.

    Raises:
        CorpusError: A marker cannot be read.
    """
    for start in dict.fromkeys((Path(os.path.abspath(root)), Path(os.path.realpath(root)))):
        for folder in (start, *start.parents[:_MARKER_DEPTH]):
            if (folder / SURROGATE_MARKER).exists():
                return _read_marker(folder / SURROGATE_MARKER)
    return None


def _read_marker(path: Path) -> Mapping[str, Any]:
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read {path}: {error}. Render the surrogate again.") from error
    clips = marker.get("clips", {}) if isinstance(marker, dict) else None
    if not isinstance(clips, dict) or not all({"class", "subject"} <= set(clip) for clip in clips.values()):
        raise CorpusError(f"{path} does not list class and subject of its clips. Render the surrogate again.")
    return marker


def describe_folder(folder: Path, limit: int = 12) -> str:
    """Names the first entries of a folder, for an error that says what was found.

    Raises:
        CorpusError: The folder cannot be listed.
    """
    names = [f"{each.name}/" for each in subfolders(folder)] + [each.name for each in list_files(folder)]
    names.sort(key=natural_key)
    if not names:
        return "nothing, the folder is empty"
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def size_fault(path: Path, size: int) -> str:
    """Returns what is wrong if a PNG is not of this width and height, by its first bytes; "" if nothing."""
    with path.open("rb") as file:
        head = file.read(24)
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    is_right = width == height == size or not head.startswith(b"\x89PNG")
    return "" if is_right else f"{path} has {width}x{height} pixels; expected motion features of {size}x{size}"


@contextlib.contextmanager
def locked(folder: Path, doing: str, say: Callable[[str], None]) -> Iterator[None]:
    """Holds a folder against other processes, which wait; the lock ends with the process, however that ends.

    Nothing is written into it, so a folder on a read-only disk will do.

    Args:
        folder: Created if it is missing.
        doing: What the holder does, for the message.
        say: Called with a line where this process has to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is {doing} {folder}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _list(folder: Path, is_wanted: Callable[[os.DirEntry], bool]) -> list[Path]:
    def holds(entry: os.DirEntry) -> bool:
        try:
            return is_wanted(entry)
        except OSError:  # a link that leads in a circle
            return False

    try:
        with os.scandir(folder) as entries:
            names = [
                each.name for each in entries if not each.name.startswith((".", "~$")) and each.name != "__MACOSX"
                if holds(each)
            ]  # fmt: skip
    except OSError as error:
        raise CorpusError(f"cannot list folder {folder}: {error.strerror}.") from error
    return [folder / name for name in sorted(names, key=natural_key)]
