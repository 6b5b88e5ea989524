"""Finds a release below a folder: the tree of clips and the annotation beside it.

Archives are unpacked into folders of their own name, annotations lie inside the release or beside it, and several
trees of one corpus may be there. So everything is recognised by its content, and nothing by a fixed path.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.folders import (
    describe_folder,
    enter_doubled,
    find_folders,
    find_marker,
    list_files,
    natural_key,
    subfolders,
    walk,
)
from datasets.spreadsheet import Sheet, open_sheets
from mer_jax.errors import CorpusError

_RELEASE_DEPTH = 5  # levels below the given folder; archives unpacked into folders of their own name add some
_ANNOTATION_DEPTH = 3  # levels below the given folder
_GUESS = 90  # ranks from here on are guesses
_SUBJECT_LIKE = re.compile(r"(?i)(sub|s|spno\.?)?[ _-]?\d{1,4}")


class AnnotationNotFoundError(CorpusError):
    """A release without the annotation file that belongs to it."""


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree of clips.

    Attributes:
        root: The folder of subjects.
        part: Which part of the release it is.
        form: Raw or cropped, where a part comes in several forms; "" otherwise.
        marker: Content of the surrogate's marker file; None for recordings.
        num_clips: Clip folders in it.
    """

    root: Path
    part: str
    form: str
    marker: Mapping[str, Any] | None
    num_clips: int


def check_manual_dir(manual_dir: Path, title: str) -> None:
    """Checks that a folder is there.

    Raises:
        CorpusError: It is not.
    """
    if not manual_dir.is_dir():
        what = "is a file" if manual_dir.exists() else "does not exist"
        raise CorpusError(f"manual_dir {manual_dir} {what}; expected the folder that {title} was unpacked into.")


def find_tree(
    manual_dir: Path,
    *,
    title: str,
    corpus: str,
    is_root: Callable[[Path], bool],
    identify: Callable[[Path], tuple[str | None, str]],
    count_clips: Callable[[Path], int],
    parts: Sequence[str],
    forms: Sequence[str],
    wanted: str | None,
    expected: str,
) -> tuple[Tree, list[Path]]:
    """Finds the tree of clips below a folder.

    Args:
        manual_dir: Where to look.
        title: The corpus as people write it.
        corpus: Its name.
        is_root: Whether a folder is a folder of subjects of this corpus.
        identify: Returns part and form of a folder of subjects; a part of None could be any.
        count_clips: Number of clip folders below a folder of subjects.
        parts: Known parts, preferred first.
        forms: Known forms, preferred first.
        wanted: Part to take; None takes the preferred one.
        expected: What should be there, for the error.

    Returns:
        The tree, and the roots of others that would do. Recordings are preferred to surrogates, then preferred parts
        and forms, then the larger tree.

    Raises:
        CorpusError: It is not there.
    """
    check_manual_dir(manual_dir, title)
    trees = []
    for root in find_folders(manual_dir, is_root, max_depth=_RELEASE_DEPTH):
        part, form = identify(root)
        trees.append(Tree(root, part or wanted or parts[0], form, find_marker(root), count_clips(root)))
    usable = [tree for tree in trees if wanted in (None, tree.part)]
    if not usable:
        found = ", ".join(f"{tree.part} in {tree.root}" for tree in trees) or describe_folder(manual_dir)
        raise CorpusError(
            f"no {title}{f' ({wanted})' if wanted else ''} in {manual_dir}. Looked up to {_RELEASE_DEPTH} levels down "
            f"for {expected}; found: {found}. Point manual_dir at the folder that you unpacked {title} into; "
            f"datasets/{corpus}/README.md says where to ask for a copy."
        )
    usable.sort(
        key=lambda tree: (tree.marker is not None, parts.index(tree.part), forms.index(tree.form), -tree.num_clips)
    )
    return usable[0], [tree.root for tree in usable[1:]]


def find_annotation(
    title: str,
    root: Path,
    manual_dir: Path,
    *,
    rank: Callable[[str], int | None],
    opens: Callable[[list[Sheet]], Any],
    expected: str,
) -> tuple[Path, Any, list[Path]]:
    """Finds and opens the annotation file, inside the release or beside it.

    Args:
        title: The corpus as people write it.
        root: The folder of subjects.
        manual_dir: The folder that the user named.
        rank: From the lower-case stem of a file name, how well it fits, 0 best; None if it does not. Ranks of 90 and
            more are guesses: such a file is passed over if it cannot be opened.
        opens: Makes a table of the sheets.
        expected: The name that it should have.

    Returns:
        The file, what `opens` made of it, and files of similar names that were passed over.

    Raises:
        AnnotationNotFoundError: There is none.
        CorpusError: It cannot be read.
    """
    found: dict[str, tuple[int, int, Path]] = {}
    for folder, distance in _folders_around(manual_dir, root):
        for path in list_files(folder):
            suffix, fit = path.suffix.lower(), rank(path.stem.casefold())
            if fit is not None and suffix in (".xlsx", ".xlsm", ".csv", ".xls"):
                # An old .xls counts only if there is nothing else.
                fit += {".xls": 50, ".csv": 1}.get(suffix, 0)
                found.setdefault(os.path.realpath(path), (fit, distance, path))
    candidates = sorted(found.values(), key=lambda each: (*each[:2], natural_key(each[2].name)))
    for position, (fit, _, path) in enumerate(candidates):
        try:
            table = opens(open_sheets(path))
        except CorpusError:
            if fit < _GUESS:
                raise
            continue
        return path, table, [other for fit, _, other in candidates[position + 1 :] if fit < _GUESS]
    raise AnnotationNotFoundError(
        f"{title} is in {root}, but its annotation is not there: looked for {expected} in {manual_dir}, the folders "
        f"in it and the one above it; found: {describe_folder(manual_dir)}."
    )


def _folders_around(manual_dir: Path, root: Path) -> list[tuple[Path, int]]:
    """Lists folders that may hold an annotation and their distance; folders of subjects are not among them."""

    def may_hold_it(folder: Path) -> bool:
        return folder == manual_dir or not _SUBJECT_LIKE.fullmatch(folder.name)

    def enters(folder: Path) -> bool:
        return folder != root and may_hold_it(folder)

    walked = walk(manual_dir, max_depth=_ANNOTATION_DEPTH, enters=enters)
    found = [(folder, depth) for folder, depth in walked if may_hold_it(folder)]
    known = {os.path.realpath(folder) for folder, _ in found}
    between = [root, *(folder for folder in root.parents if folder.is_relative_to(manual_dir))]
    found += [(folder, depth) for depth, folder in enumerate(between) if os.path.realpath(folder) not in known]
    above = Path(os.path.abspath(manual_dir)).parents[:2]
    return found + [(folder, 20 + depth) for depth, folder in enumerate(above) if os.access(folder, os.R_OK)]


def holds_clips(folder: Path, is_subject: Callable[[str], bool], is_clip: Callable[[str], bool]) -> bool:
    """Returns whether a folder holds folders of subjects that hold folders of clips."""
    return any(
        is_subject(subject.name) and any(is_clip(clip.name.strip()) for clip in subfolders(enter_doubled(subject)))
        for subject in subfolders(folder)
    )
