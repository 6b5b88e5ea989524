"""The long videos of SAMM.

    SAMM_longvideos/<sss>_<v>/<sss>_<v>_<number>.jpg    200 frames per second, numbered from 1; 4 digits or 5
    SAMM_LongVideos_V<n>_Release.xlsx                   sheet FACS_Movement_Only: ten rows before the first movement
    SAMM_Micro_FACS_Codes_v2.xlsx                       beside it, if there: the emotions of micro-movements

Source: Yap, Kendrick and Yap, SAMM Long Videos, FG 2020: 147 videos, 343 macro- and 159 micro-movements.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from datasets.cutting import Annotation, Key
from datasets.discovery import find_annotation
from datasets.folders import enter_doubled, normalize_name, subfolders
from datasets.long_videos import LongRelease
from datasets.records import Published
from datasets.samm.release import Samm
from datasets.spreadsheet import CellError, Row, Sheet, subject_number, table_rows
from mer_jax.errors import CorpusError

_COLUMNS = {
    name: position
    for position, name in enumerate(
        ("Subject", "Filename", "Inducement", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units", "Notes")
    )
}
_VIDEO = re.compile(r"(\d{3})_(\d{1,2})")
_MOVEMENT = re.compile(r"(\d{3})_(\d{1,2})_\d{1,2}")
# As MEGC 2019 groups the emotions; what it leaves aside is others.
_COARSE = {**Samm.schemes["3class"].class_of, "other": "others"}


class Videos(LongRelease):
    """SAMM Long Videos: 147 videos at 200 frames per second, with 343 macro- and 159 micro-movements."""

    name = "samm"
    title = "SAMM Long Videos"
    frame_rate = 200.0
    published = Published({"macro": 343, "micro": 159}, {}, field="kind")
    published_numbers: ClassVar[Mapping[str, int]] = {"macro": 343, "micro": 159, "videos": 147}
    expected_videos = "SAMM_longvideos with <sss>_<v> inside, such as SAMM_longvideos/006_1/006_1_0001.jpg"
    annotation_name = "SAMM_LongVideos_V3_Release.xlsx"
    subject_pattern = Samm.subject_pattern
    clip_pattern = _MOVEMENT
    sheet = "FACS_Movement_Only"

    def find_videos(self, root: Path) -> dict[Key, tuple[str, str, Path]]:
        """Lists videos by the number of the subject and the name of the folder."""
        found: dict[Key, tuple[str, str, Path]] = {}
        for folder in subfolders(root):
            if match := _VIDEO.fullmatch(folder.name):
                found[int(match[1]), folder.name] = (folder.name, match[1], enter_doubled(folder))
        return found

    def rank(self, stem: str) -> int | None:
        """Ranks annotation files: the latest version of the long-video FACS codes first."""
        name = normalize_name(stem)
        if "samm" not in name or "long" not in name:
            return None
        version = re.search(r"v(\d)", name)
        return 10 - int(version[1]) if version else 20

    def open_table(self, sheets: list[Sheet]) -> list[Row]:
        """Returns the rows of movements: those below the header that name one; columns are known by their places."""
        named = [sheet for sheet in sheets if normalize_name(sheet.name) == normalize_name(self.sheet)]
        for sheet in [*named, *sheets]:
            rows = [row for row in table_rows(sheet, -1, _COLUMNS) if _MOVEMENT.fullmatch(row.text("Filename"))]
            if rows:
                return rows
        if named:  # it is the right file, and nothing moved
            return []
        raise CorpusError(
            f"{sheets[0].path}: no sheet has rows with the name of a movement, such as 006_1_2, in column B; expected "
            f"the sheet {self.sheet}. This is another file."
        )

    def read_rows(self, root: Path) -> tuple[Path, list[Row]]:
        """Finds and opens the annotation, and the emotions of micro-movements where they are there."""
        path, rows, others = find_annotation(
            self.title, root, self.manual_dir, rank=self.rank, opens=self.open_table, expected=self.annotation_name
        )
        self.findings.add("not_read", *(f"{other} is an annotation too" for other in others))
        self._emotion_of = self._read_emotions(root)
        return path, rows

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row; an onset of 0 lies before the video, an apex or offset of 0 is missing."""
        number, name = subject_number(row, "Subject"), row.match("Filename", _MOVEMENT, "006_1_2")
        if int(name[1]) != number:
            raise CellError(
                f"{row.place('Filename')} holds {name.group()!r}, a movement of another subject than the row's, "
                f"{number}."
            )
        kind = row.text("Type").casefold().partition(" ")[0].partition("-")[0]
        labels = {"kind": kind, "action_units": row.text("Action Units")}
        if kind == "micro":
            labels["emotion"] = self._emotion_of.get(name.group(), "")
        onset, apex, offset = (row.frame(column) for column in ("Onset", "Apex", "Offset"))
        # A movement is named once for each kind.
        key = (number, f"{name.group()} {kind}")
        return Annotation(name.group(), name[1], key, labels, row.place(), onset, apex or None, offset or None)

    def folder_key(self, annotation: Annotation) -> Key:
        """Returns the key of the video: subject and the first two numbers of the movement."""
        return annotation.key[0], annotation.clip_id.rpartition("_")[0]

    def coarse_emotion(self, annotation: Annotation) -> str:
        """Returns the class of MEGC 2019, or others; "" for macro-movements, whose emotion is not coded."""
        return _COARSE.get(self.emotion(annotation), "")

    def _read_emotions(self, root: Path) -> dict[str, str]:
        """Emotions by the name of the movement, from the codes of micro-movements."""
        clips = Samm(self.manual_dir)

        def rank(stem: str) -> int | None:
            fit = clips.rank(stem)
            return fit if fit is not None and fit < 20 else None  # a guess could be the table of long videos

        try:
            _, rows, _ = find_annotation(
                self.title, root, self.manual_dir, rank=rank, opens=clips.open_table, expected=clips.annotation_name
            )
        except CorpusError:
            self.findings.add("missing", f"{clips.annotation_name} is not there, so no movement has an emotion")
            return {}
        return {row.text("Filename"): row.text("Emotion").casefold() for row in rows}
