"""Reads CASME II as its owners released it: from folder tree and annotation to clip records.

    CASME2-coding-20140508.xlsx     CASME2-ObjectiveClasses.xlsx
    CASME2_RAW_selected/sub<NN>/<clip>/img<N>.jpg        onset to offset, numbered as recorded
    CASME2_RAW/CASME2-RAW/sub<NN>/<clip>/img<N>.jpg      the whole recording, from 1
    Cropped/sub<NN>/<clip>/reg_img<N>.jpg                onset to offset, registered face

Names of clips are unique only together with the subject. Counts: the annotation of 2014-05-08.
"""

import re
from pathlib import Path

from datasets.annotated import Annotation, Joiner, Published, make_corpus, make_variants, row_of
from datasets.records import Corpus, enter_doubled, list_frames, normalize_name, subfolders
from datasets.release import Key, find_annotation, find_release, list_clip_folders
from datasets.report import Findings
from datasets.schemes import SCHEMES
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows
from mer_jax.errors import CorpusError

LAYOUTS = ("selected", "raw", "cropped")  # preferred first: whole pictures, and no more of them than needed
VARIANTS = make_variants(LAYOUTS, SCHEMES["casme2"])
PUBLISHED = Published(
    field="emotion",
    by_label={
        "others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2,
    },
    by_subject={
        f"sub{number:02d}": count
        for number, count in enumerate(
            [9, 13, 7, 5, 19, 5, 9, 3, 14, 14, 10, 12, 8, 4, 3, 4, 36, 3, 16, 11, 2, 2, 12, 10, 7, 17], start=1
        )
    },
)  # fmt: skip
COLUMNS = {
    "Subject": ("Subject", "Sub"),
    "Filename": ("Filename", "File name", "Clip"),
    "OnsetFrame": ("OnsetFrame", "Onset", "OnsetF"),
    "ApexFrame": ("ApexFrame", "Apex", "ApexF", "ApexFrame1"),
    "OffsetFrame": ("OffsetFrame", "Offset", "OffsetF"),
    "Estimated Emotion": ("Estimated Emotion", "Emotion"),
}
OBJECTIVE_COLUMNS = {
    "Subject": ("Subject",),
    "Filename": ("Filename", "File name"),
    "Objective Class": ("Objective Class", "Objective Classes"),
}
NO_APEX = ("", "/", "\\", "-", "?")

_SUBJECT = re.compile(r"sub_?0*(\d{1,3})")
_CLIP = re.compile(r"EP\d{2}(_\d{1,2}){0,2}f?", re.IGNORECASE)


def read_corpus(manual_dir: Path, variant: str = next(iter(VARIANTS))) -> Corpus:
    """Finds CASME II below a folder and lists its clips; opens no frame.

    Args:
        manual_dir: the folder that holds the release, or one of its trees.
        variant: a key of `VARIANTS`.

    Returns:
        clips, sorted by clip id, and the report on this copy. A copy that differs from what was published is reported,
        not refused.

    Raises:
        CorpusError: no CASME II, no annotation, or one that cannot be read.
    """
    chosen = VARIANTS[variant]
    findings = Findings()
    release = find_release(
        "CASME II",
        "casme2",
        manual_dir,
        is_root=_is_root,
        layout_of=_layout_of,
        layouts=LAYOUTS,
        wanted=chosen.layout,
        expected="CASME2_RAW_selected, CASME2-RAW or Cropped with sub<NN>/EP<NN>_<NN>/ inside",
    )
    path, rows, others = find_annotation(
        "CASME II", release.root, manual_dir, rank=_rank, opens=_open, expected="CASME2-coding-20140508.xlsx"
    )
    findings.add("not_read", *(f"{other} is an annotation too" for other in others))
    objective = _read_objective(release.root, manual_dir, needed=chosen.scheme.field == "objective", findings=findings)
    joiner = Joiner("casme2", chosen.scheme, findings, is_cut=release.layout != "raw")
    annotations = []
    for row in rows:
        try:
            annotations.append(_make_sense(row, objective))
        except CellError as error:
            joiner.leave_out(error)
    joiner.join(annotations, list_clip_folders(release.root, subject_of, findings))
    return make_corpus("CASME II", release, path, annotations, joiner, PUBLISHED)


def subject_of(folder_name: str) -> int | None:
    """Returns the number in the name of a subject's folder, such as sub01; None if it is none."""
    match = _SUBJECT.fullmatch(normalize_name(folder_name))
    return int(match.group(1)) if match else None


def _is_root(folder: Path) -> bool:
    return any(
        subject_of(subject.name) is not None
        and any(_CLIP.fullmatch(clip.name.strip()) for clip in subfolders(enter_doubled(subject)))
        for subject in subfolders(folder)
    )


def _layout_of(root: Path) -> str:
    for folder in (root, *root.absolute().parents[:3]):
        name = normalize_name(folder.name)
        for layout, mark in (("cropped", "crop"), ("cropped", "preprocessed"), ("selected", "select"), ("raw", "raw")):
            if mark in name:
                return layout
    for subject in subfolders(root):
        for clip in subfolders(enter_doubled(subject)):
            frames, numbers, _ = list_frames(enter_doubled(clip))
            if frames:
                if normalize_name(frames[0].name).startswith("reg_"):
                    return "cropped"
                return "raw" if numbers[0] == 1 else "selected"
    return "selected"


def _rank(stem: str) -> int | None:
    name = normalize_name(stem).replace("_", "")
    if "objective" in name or any(other in name for other in ("samm", "smic", "mmew", "cas(me)")):
        return None
    if "casme2coding" in name:
        return 0 if "20140508" in name else 10
    return 20 if "casme2" in name else 90


def _open(sheets: list[Sheet]) -> list[Row]:
    sheet, header, columns = find_header(sheets, COLUMNS, prefer="Sheet1")
    return table_rows(sheet, header, columns)


def _read_objective(root: Path, manual_dir: Path, *, needed: bool, findings: Findings) -> dict[Key, str]:
    def open_table(sheets: list[Sheet]) -> list[Row]:
        # Its second sheet holds left-over rows without a header.
        sheet, header, columns = find_header(sheets, OBJECTIVE_COLUMNS, prefer="Sheet1")
        return table_rows(sheet, header, columns)

    try:
        _, rows, _ = find_annotation(
            "CASME II",
            root,
            manual_dir,
            rank=lambda stem: 0 if "objective" in stem else None,
            opens=open_table,
            expected="CASME2-ObjectiveClasses.xlsx",
        )
    except CorpusError as error:
        if needed:
            raise
        if "is not there" not in str(error):
            findings.add("other", f"objective classes are not read: {error}".rstrip("."))
        return {}
    classes = {}
    for row in rows:
        try:
            classes[subject_number(row, "Subject"), row.text("Filename").casefold()] = row.text("Objective Class")
        except CellError as error:
            findings.add("other", str(error).rstrip("."))
    return classes


def _make_sense(row: Row, objective: dict[Key, str]) -> Annotation:
    number, clip = subject_number(row, "Subject"), row.text("Filename")
    if not _CLIP.fullmatch(clip):
        raise CellError(f"{row.place('Filename')} holds {clip[:60]!r}; expected the name of a clip, such as EP02_01f.")
    key = (number, clip.casefold())
    with row_of(key):
        onset, offset = row.frame("OnsetFrame", missing=("",)), row.frame("OffsetFrame", missing=("",))
        apex = row.frame("ApexFrame", missing=NO_APEX)
    return Annotation(
        clip_id=f"sub{number:02d}_{clip}",
        subject=f"sub{number:02d}",
        key=key,
        onset=onset,
        apex=apex,
        offset=offset,
        labels={
            "emotion": row.text("Estimated Emotion").casefold(),
            "objective": objective.get(key, ""),
            # MEGC 2019 left out the clip whose apex is a slash, and the one whose apex is its onset.
            "apex": "missing" if row.text("ApexFrame") == "/" else "onset" if apex == onset else "",
        },
        place=row.place(),
    )
