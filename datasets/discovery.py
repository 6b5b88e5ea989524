"""Finds the annotation of a release: inside the tree of clips or beside it, recognised by name and content."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.folders import COPY_SUFFIX, describe_folder, list_files, walk
from datasets.spreadsheet import Sheet, open_sheets
from mer_jax.errors import CorpusError
from mer_jax.system.files import natural_key

_ANNOTATION_DEPTH = 3  # levels below the given folder
_GUESS = 90  # ranks from here on are guesses
_SUBJECT_LIKE = re.compile(r"(?i)(sub|s|spno\.?)?[ _-]?\d{1,4}")


def check_manual_dir(manual_dir: Path, title: str) -> None:
    """Checks that a folder is there.

    Raises:
        CorpusError: It is not.
    """
    if not manual_dir.is_dir():
        what = "is a file" if manual_dir.exists() else "does not exist"
        raise CorpusError(f"manual_dir {manual_dir} {what}; expected the folder that {title} was unpacked into.")


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
        CorpusError: There is none, or it cannot be read.
    """
    found: dict[str, tuple[int, int, Path]] = {}
    for folder, distance in _folders_around(manual_dir, root):
        for path in list_files(folder):
            suffix, fit = path.suffix.lower(), rank(path.stem.casefold())
            if fit is not None and suffix in (".xlsx", ".xlsm", ".csv", ".xls"):
                # An old .xls counts only if there is nothing else.
                fit += {".xls": 50, ".csv": 1}.get(suffix, 0) + 3 * bool(COPY_SUFFIX.search(path.stem))
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
    raise CorpusError(
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
