"""Reads SMIC-E: the same expressions with what was recorded before and after them, and an annotation file.

    SMIC-E_raw image/HS_long/SMIC-HS-E/s<NN>/s<N>_<ne|po|sur>_<kk>/image<counter>.jpg
    SMIC-HS-E_annotation.xlsx

Frame numbers in the annotation are formulas for the most part, and those of third expressions point at wrong columns.
So a pair of onset and offset counts only if it lies within the recording; a pair that repeats another is dropped.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.annotated import Annotation, Joiner, Published, make_corpus, row_of
from datasets.records import Corpus, enter_doubled, list_frames, normalize_name, subfolders
from datasets.release import Key, find_annotation, find_release, list_clip_folders
from datasets.report import Findings
from datasets.schemes import Scheme
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows
from mer_jax.errors import CorpusError

if TYPE_CHECKING:
    from datasets.smic.reader import Variant

_CAMERAS = ("hs", "vis", "nir")
_SUBJECT = re.compile(r"s_?0*(\d{1,3})")
_CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_(\d+)")
_CLASS_OF_TOKEN = {"ne": "negative", "po": "positive", "sur": "surprise"}
_PAIRS = (("OnsetF", "OffsetF", "TotalMF1"), ("Onset2F", "Offset2F", None), ("Onset3F", "Offset3F", None))
_REQUIRED = ("Subject", "Filename", "OnsetF", "Emotion")


def read_extended(manual_dir: Path, published: "Variant") -> Corpus:
    """Finds one camera of SMIC-E below a folder and lists its clips, from onset to offset; opens no frame.

    Args:
        manual_dir: the folder that holds the release.
        published: which camera, and its counts.

    Raises:
        CorpusError: no such recordings, no annotation, or one that cannot be read.
    """
    camera = published.folder.lower()
    title = f"SMIC-E {published.folder}"
    findings = Findings()
    release = find_release(
        title,
        "smic",
        manual_dir,
        is_root=_is_root,
        layout_of=_camera_of,
        layouts=(*_CAMERAS, "unknown camera"),
        wanted=camera,
        expected=f"SMIC-{published.folder}-E/s<NN>/s<N>_<ne|po|sur>_<kk>/",
    )
    path, rows, others = find_annotation(
        title,
        release.root,
        manual_dir,
        rank=lambda stem: _rank(stem, camera),
        opens=lambda sheets: _open(sheets, camera),
        expected=f"SMIC-{published.folder}-E_annotation.xlsx",
    )
    findings.add("not_read", *(f"{other} is an annotation too" for other in others))
    folders = {
        (number, _clip_id(name) or name): folder
        for (number, name), folder in list_clip_folders(release.root, _subject_of, findings).items()
    }
    scheme = Scheme(
        name="3class",
        field="emotion",
        class_of={name: name for name in published.class_names},
        by_class=published.by_class,
        num_subjects=len(published.by_subject),
        source="Li et al., SMIC, FG 2013; the column Emotion of the annotation",
    )
    joiner = Joiner("smic", scheme, findings, is_cut=False, has_apex=False)
    annotations = []
    for row in rows:
        try:
            annotations.append(_make_sense(row, folders, findings))
        except CellError as error:
            joiner.leave_out(error)
    joiner.join(annotations, folders)
    counts = Published("emotion", published.by_class, published.by_subject)
    return make_corpus(title, release, path, annotations, joiner, counts)


def _subject_of(folder_name: str) -> int | None:
    match = _SUBJECT.fullmatch(normalize_name(folder_name))
    return int(match.group(1)) if match else None


def _clip_id(name: str) -> str | None:
    match = _CLIP.fullmatch(normalize_name(name))
    return f"s{match.group(1)}_{match.group(2)}_{int(match.group(3)):02d}" if match else None


def _is_root(folder: Path) -> bool:
    return any(
        _subject_of(subject.name) is not None
        and any(_clip_id(clip.name) for clip in subfolders(enter_doubled(subject)))
        for subject in subfolders(folder)
    )


def _camera_of(root: Path) -> str:
    for folder in (root, *root.absolute().parents[:4]):
        for part in normalize_name(folder.name).split("_"):
            if part in _CAMERAS:
                return part
    return "unknown camera"


def _rank(stem: str, camera: str) -> int | None:
    parts = normalize_name(stem).split("_")
    if "annotation" not in normalize_name(stem):
        return None
    named = [part for part in parts if part in _CAMERAS]
    if camera in named:
        return 10 * ("orig" in parts)
    return 30 if "hs" in named and camera == "vis" else None  # its workbook has a sheet of VIS


def _open(sheets: list[Sheet], camera: str) -> list[Row]:
    own = [sheet for sheet in sheets if normalize_name(sheet.name) == camera]
    others = [sheet for sheet in sheets if normalize_name(sheet.name) in _CAMERAS]
    if not own and others:
        raise CorpusError(
            f"{sheets[0].path} has no sheet {camera.upper()}; its sheets are {', '.join(each.name for each in sheets)}."
        )
    names = [*_REQUIRED, "FirstF", "LastF", "TotalVL", *(name for pair in _PAIRS for name in pair if name)]
    spellings = {name: (name, f"{name} {camera}") for name in dict.fromkeys(names)}
    optional = [name for name in spellings if name not in _REQUIRED]
    sheet, header, columns = find_header(own or sheets, spellings, optional=optional, prefer=camera)
    return [row for row in table_rows(sheet, header, columns) if row.text("Filename")]


def _make_sense(row: Row, folders: dict[Key, Path], findings: Findings) -> Annotation:
    number, clip = subject_number(row, "Subject"), _clip_id(row.text("Filename"))
    if not clip:
        raise CellError(
            f"{row.place('Filename')} holds {row.text('Filename')[:60]!r}; expected the name of a clip, such as "
            "s3_ne_02."
        )
    emotion, token = row.text("Emotion").casefold(), clip.split("_")[1]
    if emotion != _CLASS_OF_TOKEN[token]:
        findings.add(
            "other", f"{clip} is named as {_CLASS_OF_TOKEN[token]}; read as {emotion} by {row.place('Emotion')}"
        )
    key = (number, clip)
    with row_of(key):
        pairs = _expressions(row, clip, folders.get(key), findings)
    if len(pairs) > 1:
        findings.add("other", f"{clip} has {len(pairs)} expressions; the first is the clip ({row.place()})")
    onset, offset = pairs[0]
    return Annotation(
        clip_id=clip,
        subject=f"s{number}",
        key=key,
        onset=onset,
        apex=None,
        offset=offset,
        labels={"emotion": emotion},
        place=row.place(),
    )


def _expressions(row: Row, clip: str, folder: Path | None, findings: Findings) -> list[tuple[int, int]]:
    """Returns the pairs of onset and offset that lie within the recording, each once."""
    first, last = _recording(row, folder)
    pairs: list[tuple[int, int]] = []
    for position, (onset_name, offset_name, length_name) in enumerate(_PAIRS, start=1):
        onset, offset = _loose(row, onset_name), _loose(row, offset_name)
        length = _loose(row, length_name) if length_name else None
        if position == 1 and onset is None:
            raise CellError(f"{row.place(onset_name)} holds {row.text(onset_name)[:60]!r}; expected a frame number.")
        if offset is None and onset is not None and length:
            offset = onset + length - 1
        if onset is None or offset is None:
            continue
        if not first <= onset <= offset <= last:
            told = f"{onset} to {offset} is not within the recording, frames {first} to {last}"
            if position == 1:
                raise CellError(f"{row.place(onset_name)}: {told}.")
            findings.add("repairs", f"{clip}, expression {position} ({row.place(onset_name)}): {told}; it is not read")
        elif (onset, offset) not in pairs:
            pairs.append((onset, offset))
    return pairs


def _recording(row: Row, folder: Path | None) -> tuple[int, int]:
    """Returns the first and the last frame: of the folder; without one, as annotated."""
    if folder is not None:
        _, numbers, _ = list_frames(enter_doubled(folder))
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
        return round(value) if isinstance(value, float) and value >= 0 else None
