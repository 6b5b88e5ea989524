"""CASME II as its owners release it.

    CASME2-coding-20140508.xlsx     CASME2-ObjectiveClasses.xlsx
    CASME2_RAW_selected/sub<NN>/<clip>/img<N>.jpg        onset to offset, numbered as recorded
    CASME2_RAW/CASME2-RAW/sub<NN>/<clip>/img<N>.jpg      the whole recording, from 1
    Cropped/sub<NN>/<clip>/reg_img<N>.jpg                onset to offset, registered face

Names of clips are unique only together with the subject. Counts: the annotation of 2014-05-08.
"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets.annotated import AnnotatedRelease, Annotation, Key
from datasets.discovery import find_annotation
from datasets.folders import normalize_name
from datasets.records import Published
from datasets.release import Publication
from datasets.report import Findings
from datasets.schemes import MEGC_2019, Scheme, as_annotated, by_name, grouped, objective
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows
from mer_jax.errors import CorpusError

_EMOTIONS = {"disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "others": 99, "sadness": 7, "fear": 2}
_SUBJECTS = (9, 13, 7, 5, 19, 5, 9, 3, 14, 14, 10, 12, 8, 4, 3, 4, 36, 3, 16, 11, 2, 2, 12, 10, 7, 17)
_YAN = "Yan et al., CASME II, PLoS ONE 2014"
_THREE = Scheme(
    name="3class",
    class_of=grouped(negative=("disgust", "repression"), positive=("happiness",), surprise=("surprise",)),
    by_class={"negative": 90, "positive": 32, "surprise": 25},
    source="Irawan et al. name the classes and no counts; grouped as MEGC 2019, without its two omissions",
)
_OBJECTIVE_COLUMNS = {
    "Subject": ("Subject",),
    "Filename": ("Filename", "File name"),
    "Objective Class": ("Objective Class", "Objective Classes"),
}


class Casme2(AnnotatedRelease):
    """CASME II: 255 micro-expressions of 26 people at 200 frames per second."""

    name = "casme2"
    title = "CASME II"
    parts = ("selected", "raw", "cropped")  # preferred first: whole pictures, and no more of them than needed
    schemes = by_name(
        _THREE,
        dataclasses.replace(
            _THREE,
            name="megc2019",
            by_class={"negative": 88, "positive": 32, "surprise": 25},
            num_subjects=24,
            # The first has no apex, the second has it on the onset; the third is in a later annotation only.
            excluded=frozenset({"sub04_EP12_01f", "sub05_EP09_05f", "sub24_EP02_07"}),
            source=MEGC_2019,
        ),
        dataclasses.replace(
            _THREE,
            name="3class_fear_sadness",
            class_of={**_THREE.class_of, "fear": "negative", "sadness": "negative"},
            by_class={"negative": 99, "positive": 32, "surprise": 25},
            source="in use beside MEGC 2019's: fear and sadness count as negative too",
        ),
        Scheme(name="5class", **as_annotated(_EMOTIONS, "sadness", "fear"), num_subjects=26, source=_YAN),
        Scheme(name="7class", **as_annotated(_EMOTIONS), num_subjects=26, source=f"{_YAN}: all labels"),
        *objective(25, 15, 99, 26, 20, 1, 69),
    )
    instructions = "Unpack CASME2_RAW_selected (or CASME2_RAW, or Cropped) and CASME2-coding-20140508.xlsx."
    homepage = "http://casme.psych.ac.cn/casme/e2"
    publication = Publication(
        hidden=frozenset({"sub12", "sub22"}),
        needs_permission=False,
        credit="(c) Xiaolan Fu",
        source="terms of CASME II, by the one source that was found; your own agreement decides",
    )

    published = Published(_EMOTIONS, {f"sub{number:02d}": count for number, count in enumerate(_SUBJECTS, start=1)})
    expected_tree = "CASME2_RAW_selected, CASME2-RAW or Cropped with sub<NN>/EP<NN>_<NN>/ inside"
    annotation_name = "CASME2-coding-20140508.xlsx"
    subject_pattern = re.compile(r"sub_?0*(\d{1,3})")
    clip_pattern = re.compile(r"EP\d{2}(_\d{1,2}){0,2}f?", re.IGNORECASE)
    marks = (("cropped", "crop"), ("cropped", "preprocessed"), ("selected", "select"), ("raw", "raw"))
    whole_recordings = ("raw",)
    sheet = "Sheet1"

    def identify(self, root: Path) -> tuple[str, str]:
        """Returns which tree it is, by its name or by its first frame."""
        if part := self.marked_part(root):
            return part, ""
        for folder in self.list_folders(root, Findings()).values():
            frames, numbers = self.frames_of(folder)
            if frames:
                is_cropped = normalize_name(frames[0].name).startswith("reg_")
                return "cropped" if is_cropped else "raw" if numbers[0] == 1 else "selected", ""
        return "selected", ""

    def rank(self, stem: str) -> int | None:
        """Prefers the annotation of 2014-05-08."""
        name = normalize_name(stem).replace("_", "")
        if any(other in name for other in ("objective", "samm", "smic", "mmew", "cas(me)")):
            return None
        if "casme2coding" in name:
            return 0 if "20140508" in name else 10
        return 20 if "casme2" in name else 90

    def read_rows(self, root: Path) -> tuple[Path | None, Iterable[Any]]:
        """Reads the annotation, and the objective classes where their file is there."""
        found = super().read_rows(root)
        self._objective: dict[Key, str] = {}
        try:
            _, rows, _ = find_annotation(
                self.title,
                root,
                self.manual_dir,
                rank=lambda stem: 0 if "objective" in stem else None,
                opens=_open_objective,
                expected="CASME2-ObjectiveClasses.xlsx",
            )
        except CorpusError as error:
            self.findings.add("other", f"objective classes are not read: {error}".rstrip("."))
            return found
        for row in rows:
            try:
                key = (subject_number(row, "Subject"), row.text("Filename").casefold())
                self._objective[key] = row.text("Objective Class")
            except CellError as error:
                self.findings.add("other", str(error).rstrip("."))
        return found

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row; a slash is a missing apex."""
        number, clip = subject_number(row, "Subject"), row.match("Filename", self.clip_pattern, "EP02_01f").group()
        key, subject = (number, clip.casefold()), f"sub{number:02d}"
        return self.interpret(row, f"{subject}_{clip}", subject, key, objective_class=self._objective.get(key, ""))


def _open_objective(sheets: list[Sheet]) -> list[Row]:
    # Its second sheet holds left-over rows without a header.
    return table_rows(*find_header(sheets, _OBJECTIVE_COLUMNS, prefer="Sheet1"))
