"""Reads SAMM as its owners released it: from folder tree and annotation to clip records.

    SAMM_Micro_FACS_Codes_v2.xlsx, sheet MICRO_ONLY, header in row 14
    SAMM/<sss>/<sss>_<v>_<m>/<sss>_<frame>.jpg       onset to offset, numbered as recorded; padded to 5 digits or to 4
    SAMM_CROP/...                                     the same names, cropped

Counts: version 2 of the annotation, January 2019.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from datasets.annotated import Annotation, Joiner, Published, make_corpus, make_variants, row_of
from datasets.records import Corpus, enter_doubled, list_frames, normalize_name, subfolders
from datasets.release import Key, find_annotation, find_release, list_clip_folders
from datasets.report import Findings
from datasets.schemes import SCHEMES
from datasets.spreadsheet import CellError, Row, Sheet, find_header, subject_number, table_rows

LAYOUTS = ("raw", "cropped")
VARIANTS = make_variants(LAYOUTS, SCHEMES["samm"])
PUBLISHED = Published(
    field="emotion",
    by_label={
        "anger": 57, "other": 26, "happiness": 26, "surprise": 15,
        "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6,
    },
    by_subject={
        "006": 11, "007": 10, "009": 4, "010": 4, "011": 20, "012": 3, "013": 6, "014": 11, "015": 3, "016": 5,
        "017": 6, "018": 4, "019": 3, "020": 9, "021": 2, "022": 5, "023": 1, "024": 1, "025": 4, "026": 13,
        "028": 3, "030": 3, "031": 1, "032": 6, "033": 5, "034": 3, "035": 9, "036": 1, "037": 3,
    },
)  # fmt: skip
COLUMNS = {
    "Subject": ("Subject",),
    "Filename": ("Filename", "File name"),
    "Onset Frame": ("Onset Frame", "Onset"),
    "Apex Frame": ("Apex Frame", "Apex"),
    "Offset Frame": ("Offset Frame", "Offset"),
    "Estimated Emotion": ("Estimated Emotion", "Emotion"),
    "Objective Classes": ("Objective Classes", "Objective Class"),
}
# Wrong in earlier copies of version 2, right in that of January 2019.
KNOWN_OFFSETS = {"013_1_9": (5793, 5739)}

_SUBJECT = re.compile(r"\d{3}")
_CLIP = re.compile(r"(\d{3})_\d{1,2}_\d{1,2}")


def read_corpus(manual_dir: Path, variant: str = next(iter(VARIANTS))) -> Corpus:
    """Finds SAMM below a folder and lists its clips; opens no frame.

    Args:
        manual_dir: the folder that holds the release, or its tree with the annotation beside it.
        variant: a key of `VARIANTS`.

    Returns:
        clips, sorted by clip id, and the report on this copy. A copy that differs from what was published is reported,
        not refused.

    Raises:
        CorpusError: no SAMM, no annotation, or one that cannot be read.
    """
    chosen = VARIANTS[variant]
    findings = Findings()
    release = find_release(
        "SAMM",
        "samm",
        manual_dir,
        is_root=_is_root,
        layout_of=_layout_of,
        layouts=LAYOUTS,
        wanted=chosen.layout,
        expected="a folder with <sss>/<sss>_<v>_<m>/ inside, such as SAMM/006/006_1_2",
    )
    path, rows, others = find_annotation(
        "SAMM", release.root, manual_dir, rank=_rank, opens=_open, expected="SAMM_Micro_FACS_Codes_v2.xlsx"
    )
    findings.add("not_read", *(f"{other} is an annotation too" for other in others))
    folders = list_clip_folders(release.root, subject_of, findings)
    joiner = Joiner("samm", chosen.scheme, findings, is_cut=True)
    annotations = []
    for row in rows:
        try:
            annotations.append(_repair(_make_sense(row), folders, findings))
        except CellError as error:
            joiner.leave_out(error)
    joiner.join(annotations, folders)
    return make_corpus("SAMM", release, path, annotations, joiner, PUBLISHED)


def subject_of(folder_name: str) -> int | None:
    """Returns the number in the name of a subject's folder, such as 006; None if it is none."""
    return int(folder_name) if _SUBJECT.fullmatch(folder_name.strip()) else None


def _is_root(folder: Path) -> bool:
    return any(
        subject_of(subject.name) is not None
        and any(_CLIP.fullmatch(clip.name.strip()) for clip in subfolders(enter_doubled(subject)))
        for subject in subfolders(folder)
    )


def _layout_of(root: Path) -> str:
    names = (normalize_name(folder.name) for folder in (root, *root.absolute().parents[:2]))
    return "cropped" if any("crop" in name for name in names) else "raw"


def _rank(stem: str) -> int | None:
    name = normalize_name(stem)
    if any(other in name for other in ("casme", "smic", "mmew", "cas(me)")):
        return None
    if "facs" in name and ("samm" in name or "micro" in name):
        if "long" in name:
            return None
        return 0 if "v2" in name else 10
    return 20 if name.startswith("samm") and "long" not in name else 90


def _open(sheets: list[Sheet]) -> list[Row]:
    sheet, header, columns = find_header(sheets, COLUMNS, optional=("Objective Classes",), prefer="MICRO_ONLY")
    return table_rows(sheet, header, columns)


def _make_sense(row: Row) -> Annotation:
    number, clip = subject_number(row, "Subject"), row.text("Filename")
    match = _CLIP.fullmatch(clip)
    if not match:
        raise CellError(f"{row.place('Filename')} holds {clip[:60]!r}; expected the name of a clip, such as 006_1_2.")
    if int(match.group(1)) != number:
        raise CellError(f"{row.place('Filename')} holds {clip!r}, a clip of another subject than the row's, {number}.")
    key = (number, clip.casefold())
    with row_of(key):
        onset, apex, offset = (row.frame(column) for column in ("Onset Frame", "Apex Frame", "Offset Frame"))
    return Annotation(
        clip_id=clip,
        subject=f"{number:03d}",
        key=key,
        onset=onset,
        apex=apex,
        offset=offset,
        labels={
            "emotion": row.text("Estimated Emotion").casefold(),
            "objective": row.text("Objective Classes"),
        },
        place=row.place(),
    )


def _repair(row: Annotation, folders: Mapping[Key, Path], findings: Findings) -> Annotation:
    """Corrects what is known to be wrong in earlier copies of the annotation, if this is such a copy."""
    wrong, right = KNOWN_OFFSETS.get(row.clip_id, (None, None))
    if row.offset is None or row.offset != wrong or row.key not in folders:
        return row
    _, numbers, _ = list_frames(enter_doubled(folders[row.key]))
    if not numbers or numbers[-1] >= wrong:
        return row
    findings.add("repairs", f"{row.clip_id} ({row.place}): offset {wrong} is known to be wrong; it is {right}")
    return dataclasses.replace(row, offset=right)
