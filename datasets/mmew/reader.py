"""Reads MMEW as its owners released it: from folder tree and annotation to clip records.

    MMEW_Micro_Exp.xlsx
    Micro_Expression/<emotion>/S<xx>-<yy>-<zzz>/<n>.jpg       frames from 1, 90 per second, 231x231
    Micro_Expression/S<xx>/<emotion>/S<xx>-<yy>-<zzz>/...     as its page describes it

The subject is the first number of a clip's name; the label is the annotation's. Counts: X. Ben et al., "Video-based
Facial Micro-Expression Analysis", IEEE TPAMI 2022; those of each subject are not known here and not compared.
"""

import re
from pathlib import Path

from datasets.annotated import Annotation, Joiner, Published, make_corpus, make_variants, row_of
from datasets.records import Corpus, find_folders, normalize_name, subfolders
from datasets.release import Key, find_annotation, find_release
from datasets.report import Findings
from datasets.schemes import SCHEMES
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows

LAYOUTS = ("cropped",)
VARIANTS = make_variants(LAYOUTS, SCHEMES["mmew"])
PUBLISHED = Published(field="emotion", by_label=SCHEMES["mmew"]["7class"].by_class, by_subject={})
COLUMNS = {
    "Subject": ("Subject",),
    "Filename": ("Filename", "File name"),
    "OnsetFrame": ("OnsetFrame", "Onset"),
    "ApexFrame": ("ApexFrame", "Apex"),
    "OffsetFrame": ("OffsetFrame", "Offset"),
    "Estimated Emotion": ("Estimated Emotion", "Emotion"),
}
_CLIP = re.compile(r"s(\d{1,3})_\d+_\d+")  # of a normalized name


def read_corpus(manual_dir: Path, variant: str = next(iter(VARIANTS))) -> Corpus:
    """Finds MMEW below a folder and lists its clips; opens no frame.

    Args:
        manual_dir: the folder that holds Micro_Expression and the annotation.
        variant: a key of `VARIANTS`.

    Raises:
        CorpusError: no MMEW, no annotation, or one that cannot be read.
    """
    chosen = VARIANTS[variant]
    findings = Findings()
    release = find_release(
        "MMEW",
        "mmew",
        manual_dir,
        is_root=lambda folder: any(_holds_clips(inside) for inside in subfolders(folder)),
        layout_of=lambda root: "cropped",
        layouts=LAYOUTS,
        wanted=chosen.layout,
        expected="Micro_Expression/<emotion>/S<xx>-<yy>-<zzz>/",
    )
    path, rows, others = find_annotation(
        "MMEW", release.root, manual_dir, rank=_rank, opens=_open, expected="MMEW_Micro_Exp.xlsx"
    )
    findings.add("not_read", *(f"{other} is an annotation too" for other in others))
    folders: dict[Key, Path] = {}
    for folder in find_folders(release.root, lambda folder: _key(folder.name) is not None):
        folders.setdefault(_key(folder.name), folder)
    joiner = Joiner("mmew", chosen.scheme, findings, is_cut=True)
    annotations = []
    for row in rows:
        try:
            annotations.append(_make_sense(row))
        except CellError as error:
            joiner.leave_out(error)
    joiner.join(annotations, folders)
    return make_corpus("MMEW", release, path, annotations, joiner, PUBLISHED)


def _holds_clips(folder: Path) -> bool:
    """Says whether a folder is an emotion's, or that of a subject with emotions inside."""
    by_subject = re.fullmatch(r"s\d{1,3}", normalize_name(folder.name))
    emotions = subfolders(folder) if by_subject else [folder]
    return any(_key(clip.name) for emotion in emotions for clip in subfolders(emotion))


def _key(name: str) -> Key | None:
    match = _CLIP.fullmatch(normalize_name(name))
    return (int(match.group(1)), normalize_name(name)) if match else None


def _rank(stem: str) -> int | None:
    name = normalize_name(stem)
    return None if "macro" in name else 0 if "mmew" in name else 90


def _open(sheets: list[Sheet]) -> list[Row]:
    sheet, header, columns = find_header(sheets, COLUMNS)
    return table_rows(sheet, header, columns)


def _make_sense(row: Row) -> Annotation:
    key = _key(row.text("Filename"))
    if not key:
        raise CellError(
            f"{row.place('Filename')} holds {row.text('Filename')[:60]!r}; expected the name of a clip, S01-01-001."
        )
    number = subject_number(row, "Subject")
    if number != key[0]:
        raise CellError(f"{row.place('Filename')} holds a clip of another subject than the row's, {number}.")
    with row_of(key):
        onset, offset = row.frame("OnsetFrame"), row.frame("OffsetFrame")
        apex = row.frame("ApexFrame", missing=("", "/"))
    return Annotation(
        clip_id=row.text("Filename"),
        subject=f"S{number:02d}",
        key=key,
        onset=onset,
        apex=apex,
        offset=offset,
        labels={"emotion": row.text("Estimated Emotion").casefold()},
        place=row.place(),
    )
