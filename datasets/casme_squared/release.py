"""CAS(ME)^2 as its owners release it.

    CAS(ME)^2code_final.xlsx                                three sheets without a header
    selectedpic/s<NN>/<stimulus>_<k>/img<N>.jpg             onset to offset, numbered as in rawpic
    rawpic/s<NN>/<NN>_<code><name>/img<NNN>.jpg             whole videos, from 1
    cropped/<NN>/<stimulus>_<k>/img<N>.jpg                  faces; 16 clips fewer

The annotation numbers subjects from 1 to 22; its second sheet says which folder each is, its third which video each
stimulus is. Counts: the final release.
"""

import dataclasses
import re
from pathlib import Path

from datasets.annotated import AnnotatedRelease, Annotation, Key, row_of
from datasets.folders import normalize_name
from datasets.records import Published
from datasets.report import Findings
from datasets.schemes import THREE, Scheme, as_annotated, by_name, grouped
from datasets.spreadsheet import CellError, Row, Sheet, subject_number, table_rows
from mer_jax.errors import CorpusError

# Which folder each subject of the annotation is, and which video each stimulus, where the sheets that say so are lost.
FOLDER_NUMBERS = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40)
VIDEO_CODES = {
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
}  # fmt: skip
_SUBJECTS = (17, 54, 5, 3, 2, 16, 11, 32, 9, 6, 43, 1, 19, 32, 54, 4, 3, 2, 4, 23, 12, 5)
_SELF_REPORTS = {
    "happiness": 146, "happyiness": 1, "disgust": 74, "anger": 55, "surprise": 36, "fear": 21, "sadness": 9,
    "helpless": 5, "pain": 5, "confused": 3, "sympathy": 2,
}  # fmt: skip
_COLUMNS = {
    name: position
    for position, name in enumerate(
        ("subject", "clip", "onset", "apex", "offset", "action units", "coarse emotion", "type", "self-report")
    )
}
_KINDS = {"macro-expression": "macro", "micro-expression": "micro"}
VIDEO = re.compile(r"\d{1,2}_(\d{4})(?!\d).*")
_QU = "Qu et al., CAS(ME)^2, IEEE TAC 2018: the coarse emotion"

_STIMULUS = Scheme(
    name="stimulus",
    field="stimulus",
    **as_annotated({"anger": 102, "disgust": 88, "happy": 167}),
    num_subjects=22,
    source="Irawan et al. name the classes angry, happy and disgusted, and no counts; here by the film that was shown",
)
_SELF_REPORT = Scheme(
    name="self_report",
    field="self_report",
    class_of=grouped(anger=("anger",), disgust=("disgust",), happy=("happiness", "happyiness")),  # sic, one cell
    by_class={"anger": 55, "disgust": 74, "happy": 147},
    source="the same three classes, by what the person said to have felt",
)
_COARSE_FOUR = Scheme(
    name="coarse4",
    field="coarse_emotion",
    **as_annotated({"negative": 126, "positive": 124, "surprise": 25, "others": 82}),
    num_subjects=22,
    source=_QU,
)
_COARSE = dataclasses.replace(
    _COARSE_FOUR,
    name="coarse",
    class_of={name: name for name in THREE},
    by_class={"negative": 126, "positive": 124, "surprise": 25},
    num_subjects=None,
    source=f"{_QU}, without 'others'",
)


class CasmeSquared(AnnotatedRelease):
    """CAS(ME)^2: 300 macro- and 57 micro-expressions of 22 people at 30 frames per second."""

    name = "casme_squared"
    title = "CAS(ME)^2"
    parts = ("selected", "raw", "cropped")
    schemes = by_name(
        dataclasses.replace(_STIMULUS, name="3class"),
        _STIMULUS,
        _STIMULUS.restricted("micro", 17, 18, 22),
        _STIMULUS.restricted("macro", 85, 70, 145),
        _SELF_REPORT,
        _SELF_REPORT.restricted("micro", 8, 16, 15),
        _SELF_REPORT.restricted("macro", 47, 58, 132),
        _COARSE,
        _COARSE.restricted("micro", 21, 8, 9),
        _COARSE.restricted("macro", 105, 116, 16),
        _COARSE_FOUR,
        _COARSE_FOUR.restricted("micro", 21, 8, 9, 19),
        _COARSE_FOUR.restricted("macro", 105, 116, 16, 63),
    )
    instructions = "Unpack selectedpic (or rawpic, or cropped) and CAS(ME)^2code_final.xlsx."
    homepage = "http://casme.psych.ac.cn/casme/e3"

    published = Published(
        _SELF_REPORTS,
        {f"s{number}": count for number, count in zip(FOLDER_NUMBERS, _SUBJECTS, strict=True)},
        field="self_report",
    )
    expected_tree = "selectedpic, rawpic or cropped with s<NN>/<anger1|...|happy5>_<k>/ or s<NN>/<NN>_<code>.../ inside"
    annotation_name = "CAS(ME)^2code_final.xlsx"
    subject_pattern = re.compile(r"s?_?0*(\d{1,2})")
    clip_pattern = re.compile(r"((anger|disgust|happy)\d)_\d+", re.IGNORECASE)
    marks = (("cropped", "crop"), ("selected", "select"))
    whole_recordings = ("raw",)
    clamp_apex = True

    def is_clip(self, name: str) -> bool:
        """Returns whether a folder's name is that of a clip or of a video."""
        return bool(self.clip_pattern.fullmatch(name) or VIDEO.fullmatch(name))

    def identify(self, root: Path) -> tuple[str, str]:
        """Returns which tree it is: by the names of its clips, then by its own name, then by its subjects."""
        folders = self.list_folders(root, Findings())
        if not any(self.clip_pattern.fullmatch(clip) for _, clip in folders):
            return "raw", ""
        subjects = {folder.parent.name for folder in folders.values()}
        return self.marked_part(root) or (
            "selected" if any(name.lower().startswith("s") for name in subjects) else "cropped"
        ), ""

    def rank(self, stem: str) -> int | None:
        """Prefers the final codes."""
        name = normalize_name(stem)
        if "blink" in name:
            return None
        if "code_final" in name or "codefinal" in name:
            return 10 if "updated" in name else 0
        return 20 if "cas(me)" in name else 90

    def open_table(self, sheets: list[Sheet]) -> list[Row]:
        """Returns the rows of expressions; reads the folder of each subject and the video code of each stimulus."""
        tables = [(sheet, self._clip_rows(sheet)) for sheet in sheets]
        first, rows = next((each for each in tables if each[1]), (None, []))
        if first is None:
            names = ", ".join(sheet.name for sheet in sheets if sheet.name)
            raise CorpusError(
                f"{sheets[0].path}: no sheet has rows of subject, clip (such as anger1_1), onset, apex, offset from "
                f"column A on{f'; its sheets are {names}' if names else ''}. This is another file, or its first sheet "
                "was removed."
            )
        self._folder_of, self._code_of = dict(enumerate(FOLDER_NUMBERS, start=1)), dict(VIDEO_CODES)
        for cells in (cells for sheet in sheets if sheet is not first for cells in sheet.rows):
            texts = [str(cell).strip() for cell in cells if cell is not None]
            if len(texts) >= 3 and re.fullmatch(r"s\d{1,6}", texts[1]) and re.fullmatch(r"\d{1,6}", texts[2]):
                self._folder_of[int(texts[2])] = int(texts[1][1:])
            elif len(texts) >= 2 and re.fullmatch(r"\d{1,6}", texts[0]) and texts[1].casefold() in VIDEO_CODES:
                self._code_of[texts[1].casefold()] = f"{int(texts[0]):04d}"
        return rows

    def _clip_rows(self, sheet: Sheet) -> list[Row]:
        rows = table_rows(sheet, -1, _COLUMNS)
        if not any(self.clip_pattern.fullmatch(row.text("clip")) for row in rows[:5]):
            return []
        # Some copies have a header, which the release has not.
        if not re.fullmatch(r"[a-z]?\d+|", rows[0].text("subject").casefold()):
            rows = rows[1:]
        return [row for row in rows if row.text("clip")]

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row; 0 is a missing frame number."""
        number, clip = subject_number(row, "subject"), row.match("clip", self.clip_pattern, "anger1_1")
        if number not in self._folder_of:
            raise CellError(
                f"{row.place('subject')} holds {number}; expected a subject from 1 to {max(self._folder_of)}."
            )
        key = (self._folder_of[number], clip.group().casefold())
        with row_of(self._folder_key(key)):
            onset, apex, offset = (row.frame(column) or None for column in ("onset", "apex", "offset"))
        kind = row.text("type").casefold().replace(" ", "-")
        labels = {
            "stimulus": clip.group(2).casefold(),
            "coarse_emotion": row.text("coarse emotion").casefold(),
            "self_report": row.text("self-report").casefold(),
            "action_units": row.text("action units"),
            "kind": _KINDS.get(kind, kind),
        }
        return Annotation(f"s{key[0]}_{clip.group()}", f"s{key[0]}", key, labels, row.place(), onset, apex, offset)

    def list_folders(self, root: Path, findings: Findings) -> dict[Key, Path]:
        """Lists the folders of clips, and videos by four-digit code; s19 also holds one named after subject 23."""
        folders: dict[Key, Path] = {}
        for (number, name), folder in super().list_folders(root, findings).items():
            video = VIDEO.fullmatch(name)
            if video and int(name.partition("_")[0]) != number:
                findings.add("other", f"{folder} is named after another subject; it counts as one of s{number}")
            folders.setdefault((number, video.group(1) if video else name), folder)
        return folders

    def folder_key(self, annotation: Annotation) -> Key:
        """Returns the key of a clip, or of the video that it lies in."""
        return self._folder_key(annotation.key)

    def _folder_key(self, key: Key) -> Key:
        return (key[0], self._code_of[key[1].rpartition("_")[0]]) if self.part == "raw" else key
