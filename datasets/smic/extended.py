"""SMIC-E as its owners release it: the same expressions with what was recorded before and after, and an annotation.

    SMIC-E_raw image/HS_long/SMIC-HS-E/s<NN>/s<N>_<ne|po|sur>_<kk>/image<counter>.jpg
    SMIC-HS-E_annotation.xlsx

Most frame numbers in the annotation are formulas, and those of third expressions point at wrong columns. So a pair of
onset and offset counts only if it lies within the recording; a pair that repeats another is dropped.
"""

from pathlib import Path

from datasets.annotated import AnnotatedRelease, Annotation, Key, row_of
from datasets.folders import normalize_name
from datasets.report import Findings
from datasets.smic.names import CLASS_OF_TOKEN, CLIP, PUBLISHED, SCHEMES, SUBJECT, clip_id_of
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows
from mer_jax.errors import CorpusError

_CAMERAS = ("hs", "vis", "nir")
_PAIRS = (("OnsetF", "OffsetF", "TotalMF1"), ("Onset2F", "Offset2F", None), ("Onset3F", "Offset3F", None))
_REQUIRED = ("Subject", "Filename", "OnsetF", "Emotion")


class SmicExtended(AnnotatedRelease):
    """One camera of SMIC-E, cut to onset and offset."""

    name = "smic"
    title = "SMIC-E"
    parts = ("hs_e", "vis_e", "nir_e")
    schemes = SCHEMES
    published = PUBLISHED
    expected_tree = "SMIC-<HS|VIS|NIR>-E/s<NN>/s<N>_<ne|po|sur>_<kk>/"
    annotation_name = "SMIC-<HS|VIS|NIR>-E_annotation.xlsx"
    subject_pattern = SUBJECT
    clip_pattern = CLIP
    whole_recordings = parts
    has_apex = False

    def is_clip(self, name: str) -> bool:
        """Returns whether a folder's name is that of a clip."""
        return clip_id_of(name) is not None

    def identify(self, root: Path) -> tuple[str | None, str]:
        """Returns the camera by the names of the folders."""
        for folder in (root, *root.absolute().parents[:4]):
            for word in normalize_name(folder.name).split("_"):
                if word in _CAMERAS:
                    return f"{word}_e", ""
        return None, ""

    def list_folders(self, root: Path, findings: Findings) -> dict[Key, Path]:
        """Lists the clip folders by clip id."""
        found = super().list_folders(root, findings).items()
        return {(number, clip_id_of(name) or name): folder for (number, name), folder in found}

    def rank(self, stem: str) -> int | None:
        """Prefers the camera's own annotation; that of HS has a sheet of VIS."""
        name, camera = normalize_name(stem), self.part.removesuffix("_e")
        words = name.split("_")
        if "annotation" not in name:
            return None
        if camera in words:
            return 10 * ("orig" in words)
        return 30 if "hs" in words and camera == "vis" else None

    def open_table(self, sheets: list[Sheet]) -> list[Row]:
        """Returns the rows of the camera's sheet."""
        camera = self.part.removesuffix("_e")
        own = [sheet for sheet in sheets if normalize_name(sheet.name) == camera]
        others = [sheet.name for sheet in sheets if normalize_name(sheet.name) in _CAMERAS]
        if not own and others:
            raise CorpusError(f"{sheets[0].path} has no sheet {camera.upper()}; its sheets are {', '.join(others)}.")
        names = [*_REQUIRED, "FirstF", "LastF", "TotalVL", *(name for pair in _PAIRS for name in pair if name)]
        spellings = {name: (name, f"{name} {camera}") for name in dict.fromkeys(names)}
        optional = [name for name in spellings if name not in _REQUIRED]
        rows = table_rows(*find_header(own or sheets, spellings, optional=optional, prefer=camera))
        return [row for row in rows if row.text("Filename")]

    def annotate(self, row: Row) -> Annotation:
        """Interprets one row; of several expressions, the first is the clip."""
        number, clip = subject_number(row, "Subject"), clip_id_of(row.text("Filename"))
        if not clip:
            raise CellError(
                f"{row.place('Filename')} holds {row.text('Filename')[:60]!r}; expected the name of a clip, such as "
                "s3_ne_02."
            )
        emotion, named = row.text("Emotion").casefold(), CLASS_OF_TOKEN[clip.split("_")[1]]
        if emotion != named:
            self.findings.add("other", f"{clip} is named as {named}; read as {emotion} by {row.place('Emotion')}")
        key = (number, clip)
        with row_of(key):
            pairs = self._expressions(row, clip, self.folders.get(key))
        if len(pairs) > 1:
            self.findings.add("other", f"{clip} has {len(pairs)} expressions; the first is the clip ({row.place()})")
        onset, offset = pairs[0]
        labels = {"emotion": emotion, "kind": "micro"}
        return Annotation(clip, f"s{number}", key, labels, row.place(), onset=onset, offset=offset)

    def _expressions(self, row: Row, clip: str, folder: Path | None) -> list[tuple[int, int]]:
        """Returns the pairs of onset and offset that lie within the recording, each once."""
        first, last = self._recording(row, folder)
        pairs: list[tuple[int, int]] = []
        for position, (onset_name, offset_name, length_name) in enumerate(_PAIRS, start=1):
            onset, offset = _loose(row, onset_name), _loose(row, offset_name)
            length = _loose(row, length_name) if length_name else None
            if position == 1 and onset is None:
                raise CellError(
                    f"{row.place(onset_name)} holds {row.text(onset_name)[:60]!r}; expected a frame number."
                )
            if offset is None and onset is not None and length:
                offset = onset + length - 1
            if onset is None or offset is None:
                continue
            if not first <= onset <= offset <= last:
                told = f"{onset} to {offset} is not within the recording, frames {first} to {last}"
                if position == 1:
                    raise CellError(f"{row.place(onset_name)}: {told}.")
                self.findings.add(
                    "repairs", f"{clip}, expression {position} ({row.place(onset_name)}): {told}; it is not read"
                )
            elif (onset, offset) not in pairs:
                pairs.append((onset, offset))
        if not pairs:
            raise CellError(f"{row.place(_PAIRS[0][1])} holds no offset; expected a frame number.")
        return pairs

    def _recording(self, row: Row, folder: Path | None) -> tuple[int, int]:
        """Returns the first and the last frame: of the folder; without one, as annotated."""
        if folder is not None:
            _, numbers = self.frames_of(folder)
            if numbers:
                return numbers[0], numbers[-1]
        first, last, length = (_loose(row, name) for name in ("FirstF", "LastF", "TotalVL"))
        if first is not None and last is None and length:
            last = first + length - 1
        return first or 0, last if last is not None else 10**12


def _loose(row: Row, column: str) -> int | None:
    """Returns a frame number; None if the cell holds none, as some do (`MISSING <-426679`)."""
    try:
        return row.frame(column)
    except CellError:
        value = row.value(column)
        # Formulas that convert between frame rates give fractions.
        return round(value) if isinstance(value, float) and 0 <= value < 10**12 else None
