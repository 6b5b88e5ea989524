"""From a release folder to clip records: the rules that hold for every corpus.

Releases are met with doubled folders, mixed case, stray system files and missing
frames. Nothing of that is an error; whatever differs from what was published is
said in a `CorpusReport`. Reading a corpus lists folders; it opens no image.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.report import CorpusReport, count_names, natural_key
from mer_jax.errors import CorpusError
from mer_jax.vision.frames import FRAME_SUFFIXES, frame_number

SURROGATE_MARKER = "SURROGATE.json"
MAX_DEPTH = 3  # how far below the given folder a release folder is looked for


@dataclasses.dataclass(frozen=True)
class ClipRecord:
    """One annotated clip of a corpus, frames not yet opened.

    Attributes:
        clip_id: unique within the corpus.
        subject: who is seen, spelled as the corpus spells it.
        class_name: the label, one of the corpus's class names.
        corpus: the corpus's name, such as "smic".
        frames: image files from onset to offset in temporal order. Where the release lacks a frame, the one before it
            stands in its place.
        frame_numbers: the camera's counter of each of these files.
        onset: position in `frames`, 0-based.
        apex: position in `frames`, 0-based; None where the corpus does not say.
        offset: position in `frames`, 0-based, inclusive.
    """

    clip_id: str
    subject: str
    class_name: str
    corpus: str
    frames: tuple[Path, ...]
    frame_numbers: tuple[int, ...]
    onset: int
    apex: int | None
    offset: int


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A corpus as read from disk: what every `datasets/<corpus>/reader.py` gives.

    Attributes:
        name: the corpus's name, such as "smic".
        class_names: in the order of the labels.
        records: the clips, sorted by clip id.
        unusable: clip id to the reason why there is no record of it.
        report: what was found beside what was published.
        marker: content of the surrogate's marker file; None for recordings.
    """

    name: str
    class_names: tuple[str, ...]
    records: tuple[ClipRecord, ...]
    unusable: Mapping[str, str]
    report: CorpusReport
    marker: Mapping[str, Any] | None

    @property
    def provenance(self) -> str:
        """Either "licensed" or "surrogate"."""
        return self.report.provenance

    def source_fingerprint(self) -> str:
        """Identifies the source by names, labels, sizes and times of its files, without opening them.

        Returns:
            32 hexadecimal digits.

        Raises:
            CorpusError: a frame vanished after the folder was listed.
        """
        digest = hashlib.sha256(f"{self.name} {self.provenance}".encode())
        for record in self.records:
            key = (record.clip_id, record.subject, record.class_name, record.onset, record.apex, record.offset)
            digest.update(repr(key).encode())
            for path in dict.fromkeys(record.frames):
                try:
                    status = path.stat()
                except OSError as error:
                    raise CorpusError(f"cannot look at frame {path}: {error.strerror}.") from error
                relative = os.path.relpath(path, self.report.root)
                digest.update(os.fsencode(relative) + f"|{status.st_size}|{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:32]


def normalize_name(name: str) -> str:
    """Makes folder names comparable: case does not count, and space, `_` and `-` are one.

    Example:
        >>> normalize_name("SMIC-all raw") == normalize_name("smic_all_raw")
        True
    """
    return re.sub(r"[ _-]+", "_", name.strip()).casefold()


def subfolders(folder: Path) -> list[Path]:
    """Lists the folders in a folder, without those that systems and archivers leave behind.

    Raises:
        CorpusError: the folder cannot be listed.
    """
    with _scan(folder) as entries:
        names = [each.name for each in entries if not _is_junk(each.name) and _is_folder(each)]
    return [folder / name for name in sorted(names, key=natural_key)]


def list_files(folder: Path) -> list[Path]:
    """Lists the files in a folder, without those that systems and office programs leave behind.

    Raises:
        CorpusError: the folder cannot be listed.
    """
    with _scan(folder) as entries:
        names = [each.name for each in entries if not _is_junk(each.name) and _is_file(each)]
    return [folder / name for name in sorted(names, key=natural_key)]


def find_folders(top: Path, accepts: Callable[[Path], bool], *, max_depth: int = MAX_DEPTH) -> list[Path]:
    """Walks down, level by level, to the folders that a test accepts, and does not look inside those.

    Args:
        top: where to start; it is tested too.
        accepts: the test.
        max_depth: how many levels below `top` to look at, 0 or more.

    Returns:
        accepted folders, the nearest first. A folder that is reached twice, through a link, comes once; links that
        lead back up end nowhere.

    Raises:
        CorpusError: a folder that cannot be listed.
    """
    found, seen, level = [], set(), [top]
    for depth in range(max_depth + 1):
        below = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            if accepts(folder):
                found.append(folder)
            elif depth < max_depth:
                below += subfolders(folder)
        level = below
    return found


def enter_doubled(folder: Path) -> Path:
    """Steps into `x/x`, the mark of an archive that was unpacked into a folder of its own name.

    Returns:
        the innermost of the doubled folders, or `folder` itself.

    Raises:
        CorpusError: a folder that cannot be listed.
    """
    for _ in range(MAX_DEPTH):
        inside = [each for each in subfolders(folder) if normalize_name(each.name) == normalize_name(folder.name)]
        if not inside or os.path.realpath(inside[0]) == os.path.realpath(folder):
            break
        folder = inside[0]
    return folder


def list_frames(folder: Path) -> tuple[list[Path], list[int], list[str]]:
    """Lists the frames of a clip in temporal order.

    A frame's number is the last run of digits in its name, whatever the padding; files that are no images and those
    that systems leave behind do not count.

    Args:
        folder: of one clip.

    Returns:
        the files, their numbers, and a sentence for each oddity (a number that occurs twice, an image without one, an
        empty file).

    Raises:
        CorpusError: the folder cannot be listed.
    """
    oddities, numbered = [], {}
    with _scan(folder) as entries:
        found = sorted(
            (each.name, each.stat().st_size)
            for each in entries
            if Path(each.name).suffix.lower() in FRAME_SUFFIXES and not _is_junk(each.name) and each.is_file()
        )
    for name, size in found:
        number = frame_number(Path(name))
        if number is None:
            oddities.append(f"{folder / name} has no frame number in its name and is left out")
            continue
        if number in numbered:
            oddities.append(f"{folder / name} repeats the frame number of {numbered[number].name} and is left out")
            continue
        if not size:
            oddities.append(f"{folder / name} is an empty file")
        numbered[number] = folder / name
    numbers = sorted(numbered)
    return [numbered[number] for number in numbers], numbers, oddities


def fill_gaps(frames: Sequence[Path], numbers: Sequence[int]) -> tuple[list[Path], list[int], int]:
    """Puts the frame before it in the place of each frame that a release lacks, so that time runs evenly.

    A clip that lacks as many frames as it has is left as it is: there the counter jumps for another reason.

    Args:
        frames: files in temporal order, at least one.
        numbers: their counters, ascending.

    Returns:
        files, their counters, and how many frames were lacking.

    Example:
        >>> fill_gaps([Path("a7"), Path("a8"), Path("a10")], [7, 8, 10])[1:]
        ([7, 8, 8, 10], 1)
    """
    lacking = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not 0 < lacking < len(numbers):
        return list(frames), list(numbers), lacking
    by_number = dict(zip(numbers, frames, strict=True))
    filled = []
    for number in range(numbers[0], numbers[-1] + 1):
        filled.append(number if number in by_number else filled[-1])
    return [by_number[number] for number in filled], filled, lacking


def find_marker(root: Path, top: Path) -> dict[str, Any] | None:
    """Looks for the surrogate's marker, from the folder that was read upwards.

    Args:
        root: the folder that holds the clips.
        top: the last folder to look into, `root` itself or one above it.

    Returns:
        the marker's content; None if there is no marker, so these are recordings.

    Raises:
        CorpusError: a marker that cannot be read.
    """
    folder, top = Path(os.path.abspath(root)), Path(os.path.abspath(top))
    while True:
        path = folder / SURROGATE_MARKER
        if path.exists():
            try:
                marker = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise CorpusError(f"cannot read {path}: {error}. Render the surrogate again.") from error
            clips = marker.get("clips", {}) if isinstance(marker, dict) else None
            if not isinstance(clips, dict) or not all({"class", "subject"} <= set(clip) for clip in clips.values()):
                raise CorpusError(f"{path} does not list class and subject of its clips. Render the surrogate again.")
            return marker
        if folder in (top, folder.parent):
            return None
        folder = folder.parent


def expected_counts(
    by_class: Mapping[str, int], by_subject: Mapping[str, int], marker: Mapping[str, Any] | None
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Says how many clips there should be, per class and per subject.

    Args:
        by_class: as published.
        by_subject: as published.
        marker: of a surrogate, which may be smaller than the corpus that it stands for and lists its own clips.

    Returns:
        the published counts, or those of the surrogate.
    """
    clips = (marker or {}).get("clips")
    if not clips:
        return by_class, by_subject
    return count_names(clip["class"] for clip in clips.values()), count_names(
        clip["subject"] for clip in clips.values()
    )


def describe_folder(folder: Path, limit: int = 12) -> str:
    """Names the first entries of a folder, for a message that says what was found.

    Raises:
        CorpusError: the folder cannot be listed.
    """
    with _scan(folder) as entries:
        names = sorted((each.name + "/" * _is_folder(each) for each in entries), key=natural_key)
    if not names:
        return "nothing, the folder is empty"
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _is_junk(name: str) -> bool:
    return name.startswith((".", "~$")) or name == "__MACOSX"


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _scan(folder: Path):
    try:
        return os.scandir(folder)
    except OSError as error:
        raise CorpusError(f"cannot list folder {folder}: {error.strerror}.") from error
