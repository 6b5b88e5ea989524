"""MMEW as its owners release it.

    MMEW_Micro_Exp.xlsx
    Micro_Expression/<emotion>/S<xx>-<yy>-<zzz>/<n>.jpg       frames from 1, 90 per second, 231x231
    Micro_Expression/S<xx>/<emotion>/S<xx>-<yy>-<zzz>/...     as its page describes it

The subject is the first number of a clip's name; the label is the annotation's. Counts: X. Ben et al., "Video-based
Facial Micro-Expression Analysis", IEEE TPAMI 2022; those of each subject are not known here and not compared.
"""

import re
from pathlib import Path

from datasets.annotated import AnnotatedRelease, Annotation, Key
from datasets.folders import find_folders, normalize_name, subfolders
from datasets.records import Published
from datasets.report import Findings
from datasets.schemes import Scheme, as_annotated, by_name, grouped
from datasets.spreadsheet import CellError, Row, subject_number

_EMOTIONS = {"happiness": 36, "anger": 8, "surprise": 89, "disgust": 72, "fear": 16, "sadness": 13, "others": 66}
_BEN = "Ben et al., Video-based Facial Micro-Expression Analysis, IEEE TPAMI 2022"


class Mmew(AnnotatedRelease):
    """MMEW: 300 micro-expressions at 90 frames per second."""

    name = "mmew"
    title = "MMEW"
    parts = ("cropped",)
    schemes = by_name(
        Scheme(
            name="3class",
            class_of=grouped(
                negative=("anger", "disgust", "fear", "sadness"), positive=("happiness",), surprise=("surprise",)
            ),
            by_class={"negative": 109, "positive": 36, "surprise": 89},
            source=f"{_BEN}; grouped as MEGC 2019 groups other corpora",
        ),
        Scheme(
            name="4class",
            **as_annotated(_EMOTIONS, "anger", "fear", "sadness"),
            source=f"{_BEN}: the classes with more than 30 clips",
        ),
        Scheme(name="7class", **as_annotated(_EMOTIONS), source=f"{_BEN}: all labels as annotated"),
    )
    instructions = "Unpack Micro_Expression and MMEW_Micro_Exp.xlsx."
    homepage = "http://www.dpailab.com/database.html"

    published = Published(_EMOTIONS, {})
    expected_tree = "Micro_Expression/<emotion>/S<xx>-<yy>-<zzz>/"
    annotation_name = "MMEW_Micro_Exp.xlsx"
    subject_pattern = re.compile(r"s(\d{1,3})")
    clip_pattern = re.compile(r"s(\d{1,3})_\d+_\d+")  # of a normalised name

    def is_clip(self, name: str) -> bool:
        """Returns whether a folder's name is that of a clip."""
        return _key(name) is not None

    def is_root(self, folder: Path) -> bool:
        """Returns whether a folder holds emotions with clips, or subjects with emotions."""
        for inside in subfolders(folder):
            emotions = [inside] if self.subject_number(inside.name) is None else subfolders(inside)
            if any(self.is_clip(clip.name) for emotion in emotions for clip in subfolders(emotion)):
                return True
        return False

    def list_folders(self, root: Path, findings: Findings) -> dict[Key, Path]:
        """Lists the clip folders, whatever is between them and the root."""
        folders: dict[Key, Path] = {}
        for folder in find_folders(root, lambda folder: self.is_clip(folder.name)):
            if (key := _key(folder.name)) is not None:
                folders.setdefault(key, folder)
        return folders

    def rank(self, stem: str) -> int | None:
        """Leaves out the annotation of macro-expressions."""
        name = normalize_name(stem)
        return None if "macro" in name else 0 if "mmew" in name else 90

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row."""
        clip, number = row.text("Filename"), subject_number(row, "Subject")
        key = _key(clip)
        if key is None:
            raise CellError(f"{row.place('Filename')} holds {clip[:60]!r}; expected the name of a clip, S01-01-001.")
        if number != key[0]:
            raise CellError(f"{row.place('Filename')} holds a clip of another subject than the row's, {number}.")
        return self.interpret(row, clip, f"S{number:02d}", key)


def _key(name: str) -> Key | None:
    match = Mmew.clip_pattern.fullmatch(normalize_name(name))
    return (int(match.group(1)), normalize_name(name)) if match else None
