"""The long videos of CAS(ME)^2.

    rawpic/s<NN>/<NN>_<code><name>/img<NNN>.jpg         preferred: the annotation counts these, from 1
    rawvideo/s<NN>/<NN>_<code><name>.avi                the same, where rawpic is not there
    CAS(ME)^2code_final.xlsx

Source: MEGC 2020's baseline counts 98 videos; three of them have no expression.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from datasets.casme_squared.release import VIDEO, CasmeSquared
from datasets.cutting import Annotation, Key
from datasets.folders import enter_doubled, list_files, subfolders
from datasets.long_videos import LongRelease
from datasets.spreadsheet import Row, Sheet

_SHEETS = ["CASFEcode_final", "naming rule1", "naming rule2"]
_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".wmv")


class Videos(LongRelease, CasmeSquared):
    """CAS(ME)^2: 98 videos of 22 people at 30 frames per second, with 300 macro- and 57 micro-expressions."""

    frame_rate = 30.0
    published_numbers: ClassVar[Mapping[str, int]] = {"macro": 300, "micro": 57, "videos": 98}
    expected_videos = "rawpic or rawvideo with s<NN>/<NN>_<code>..., such as rawvideo/s15/15_0101disgustingteeth.avi"

    def __init__(self, manual_dir: Path):
        super().__init__(manual_dir)
        self.part = "raw"  # keys of rows are those of videos

    def find_videos(self, root: Path) -> dict[Key, tuple[str, str, Path]]:
        """Lists videos by the number of the subject's folder and the four-digit code of the film."""
        found: dict[Key, tuple[str, str, Path]] = {}
        for folder in subfolders(root):
            number = self.subject_number(folder.name)
            if number is None or not re.match(r"(?i)s", folder.name):
                continue
            inside = enter_doubled(folder)
            files = [path for path in list_files(inside) if path.suffix.lower() in _SUFFIXES]
            for path in [*subfolders(inside), *files]:
                film = VIDEO.fullmatch(path.name)
                if film is None:
                    continue
                if int(path.name.partition("_")[0]) != number:
                    self.findings.add("other", f"{path} is named after another subject; it counts as one of s{number}")
                if (number, film.group(1)) in found:
                    self.findings.add("other", f"{path} is there twice; {found[number, film.group(1)][2]} is read")
                    continue
                found[number, film.group(1)] = (f"{folder.name}/{path.name}", f"s{number}", path)
        return found

    def open_table(self, sheets: list[Sheet]) -> list[Row]:
        """Returns the rows of expressions; none if the first of the three sheets is empty: nothing was expressed."""
        if len(sheets) == len(_SHEETS) and not sheets[0].rows and [each.name for each in sheets[1:]] == _SHEETS[1:]:
            return []
        return super().open_table(sheets)

    def emotion(self, annotation: Annotation) -> str:
        """Returns the self-reported emotion."""
        return annotation.labels["self_report"].replace("happyiness", "happiness")  # sic, one cell
