"""Finds a release below a folder: the tree of clips, the annotation beside it, the folders of the clips.

Archives are unpacked into folders of their own name, annotations lie inside of the release or beside it, and several
trees of one corpus may be there. So everything is known by what it holds, and nothing by a fixed path.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.records import (
    describe_folder,
    enter_doubled,
    find_folders,
    find_marker,
    list_files,
    subfolders,
)
from datasets.report import Findings, natural_key
from datasets.spreadsheet import Sheet, open_sheets
from mer_jax.errors import CorpusError

RELEASE_DEPTH = 5  # levels below the given folder; archives that were unpacked into folders of their own name add some
MARKER_DEPTH = 6  # levels above the clips' root
ANNOTATION_DEPTH = 3  # levels below the given folder
_SUBJECT_LIKE = re.compile(r"(?i)(sub|s|spno\.?)?[ _-]?\d{1,4}")

Key = tuple[int, str]  # number of the subject, name of the clip in lower case


@dataclasses.dataclass(frozen=True)
class Release:
    """The tree of clips that is read.

    Attributes:
        root: the folder of subjects.
        layout: which tree it is.
        marker: content of the surrogate's marker file; None for recordings.
        others: trees that were passed over.
    """

    root: Path
    layout: str
    marker: Mapping[str, Any] | None
    others: tuple[Path, ...]


def find_release(
    title: str,
    corpus: str,
    manual_dir: Path,
    *,
    is_root: Callable[[Path], bool],
    layout_of: Callable[[Path], str],
    layouts: Sequence[str],
    wanted: str | None,
    expected: str,
) -> Release:
    """Finds the tree of clips below a folder.

    Args:
        title: the corpus as a person writes it.
        corpus: its name.
        manual_dir: where to look.
        is_root: whether a folder is a folder of subjects of this corpus.
        layout_of: says which tree it is.
        layouts: the trees, the preferred one first.
        wanted: the tree to take; None takes the preferred one of those that are there.
        expected: what should be there, for the message.

    Raises:
        CorpusError: it is not there.
    """
    if not manual_dir.is_dir():
        what = "is a file" if manual_dir.exists() else "does not exist"
        raise CorpusError(f"manual_dir {manual_dir} {what}; expected the folder that {title} was unpacked into.")
    candidates = []
    for root in find_folders(manual_dir, is_root, max_depth=RELEASE_DEPTH):
        num_clips = sum(len(subfolders(enter_doubled(subject))) for subject in subfolders(root))
        candidates.append((root, layout_of(root), find_corpus_marker(root), num_clips))
    usable = [each for each in candidates if wanted in (None, each[1])]
    if not usable:
        found = (
            "found: " + ", ".join(f"{layout} in {root}" for root, layout, *_ in candidates)
            if candidates
            else f"found: {describe_folder(manual_dir)}"
        )
        raise CorpusError(
            f"no {title}{f' ({wanted})' if wanted else ''} in {manual_dir}. Looked up to {RELEASE_DEPTH} levels down "
            f"for {expected}; {found}. Point manual_dir at the folder that you unpacked {title} into; "
            f"datasets/{corpus}/README.md says where to ask for a copy."
        )
    usable.sort(key=lambda each: (each[2] is not None, layouts.index(each[1]), -each[3]))
    root, layout, marker, _ = usable[0]
    return Release(root, layout, marker, tuple(each[0] for each in candidates if each[0] != root))


def find_corpus_marker(root: Path) -> Mapping[str, Any] | None:
    """Looks for a surrogate's marker above a folder, also above where a link leads.

    Any marker counts: better that recordings below a surrogate are called rendered than the other way round.

    Raises:
        CorpusError: a marker that cannot be read.
    """
    for start in dict.fromkeys((Path(os.path.abspath(root)), Path(os.path.realpath(root)))):
        top = start
        for _ in range(MARKER_DEPTH):
            top = top.parent
        marker = find_marker(start, top)
        if marker is not None:
            return marker
    return None


def find_annotation(
    title: str,
    root: Path,
    manual_dir: Path,
    *,
    rank: Callable[[str], int | None],
    opens: Callable[[list[Sheet]], Any],
    expected: str,
) -> tuple[Path, Any, tuple[Path, ...]]:
    """Finds and opens the annotation file, inside the release or beside it.

    Args:
        title: the corpus as a person writes it.
        root: the folder of subjects.
        manual_dir: the folder that the user named.
        rank: from a file's normalized name, how well it fits, 0 best; None if it is not it. Ranks of 90 and more are
            guesses: such a file is passed over where it cannot be opened.
        opens: makes a table of the sheets.
        expected: the name that it should have.

    Returns:
        the file, what `opens` made of it, and the files of like names that were passed over.

    Raises:
        CorpusError: there is none, or it cannot be read.
    """
    found: dict[str, tuple[int, int, Path]] = {}
    places = [(path, depth) for folder, depth in _folders_around(manual_dir, root) for path in list_files(folder)]
    for path, depth in places:
        if path.suffix.lower() not in (".xlsx", ".xlsm", ".csv", ".xls"):
            continue
        fit = rank(path.stem.casefold())
        if fit is not None:
            # An old .xls is only then of interest if there is nothing else.
            fit += 50 * (path.suffix.lower() == ".xls") + 1 * (path.suffix.lower() == ".csv")
            found.setdefault(os.path.realpath(path), (fit, depth, path))
    candidates = sorted(found.values(), key=lambda each: (*each[:2], natural_key(each[2].name)))
    for position, (fit, _, path) in enumerate(candidates):
        try:
            table = opens(open_sheets(path))
        except CorpusError:
            if fit < 90:
                raise
            continue
        return path, table, tuple(each[2] for each in candidates[position + 1 :] if each[0] < 90)
    raise CorpusError(
        f"{title} is in {root}, but its annotation is not there: looked for {expected} in {manual_dir}, the folders "
        f"in it and the one above it; found: {describe_folder(manual_dir)}."
    )


def _folders_around(manual_dir: Path, root: Path) -> list[tuple[Path, int]]:
    """Lists folders that may hold an annotation, and how far they are: no subject's folder among them."""
    found, seen, level = [], set(), [manual_dir]
    for depth in range(ANNOTATION_DEPTH + 1):
        below = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            found.append((folder, depth))
            if folder != root and depth < ANNOTATION_DEPTH:
                below += [each for each in subfolders(folder) if not _SUBJECT_LIKE.fullmatch(each.name)]
        level = below
    between = [folder for folder in root.parents if folder.is_relative_to(manual_dir)]
    found += [(folder, depth) for depth, folder in enumerate([root, *between]) if os.path.realpath(folder) not in seen]
    above = Path(os.path.abspath(manual_dir)).parents[:2]
    return found + [(folder, 20 + depth) for depth, folder in enumerate(above) if os.access(folder, os.R_OK)]


def list_clip_folders(root: Path, subject_of: Callable[[str], int | None], findings: Findings) -> dict[Key, Path]:
    """Lists the clip folders of a tree `<subject>/<clip>/`.

    Args:
        root: the folder of subjects.
        subject_of: the number in the name of a subject's folder; None if it is no such name.
        findings: takes folders that are no subject's, and clips that are there twice.
    """
    folders: dict[Key, Path] = {}
    for subject_folder in subfolders(root):
        number = subject_of(subject_folder.name)
        if number is None:
            findings.add("other", f"{subject_folder} is no subject's folder and is not read")
            continue
        for clip_folder in subfolders(enter_doubled(subject_folder)):
            key = (number, clip_folder.name.strip().casefold())
            if key in folders:
                findings.add("other", f"{clip_folder} is there twice; {folders[key]} is read")
            folders.setdefault(key, clip_folder)
    return folders
