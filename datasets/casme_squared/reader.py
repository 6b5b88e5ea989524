"""Reads CAS(ME)^2 as its owners released it: from folder tree and annotation to clip records.

    CAS(ME)^2code_final.xlsx                                three sheets without a header
    selectedpic/s<NN>/<stimulus>_<k>/img<N>.jpg             onset to offset, numbered as in rawpic
    rawpic/s<NN>/<NN>_<code><name>/img<NNN>.jpg             whole videos, from 1
    cropped/<NN>/<stimulus>_<k>/img<N>.jpg                  faces; 16 clips fewer

The annotation numbers subjects from 1 to 22; its second sheet says which folder each is, its third which video each
stimulus is. Counts: the final release.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.annotated import Annotation, Joiner, Published, make_corpus, make_variants, row_of
from datasets.records import Corpus, enter_doubled, normalize_name, subfolders
from datasets.release import Key, find_annotation, find_release, list_clip_folders
from datasets.report import Findings
from datasets.schemes import SCHEMES
from datasets.spreadsheet import CellError, Row, Sheet, subject_number, table_rows
from mer_jax.errors import CorpusError

LAYOUTS = ("selected", "raw", "cropped")
VARIANTS = make_variants(LAYOUTS, SCHEMES["casme_squared"])

# Which folder each subject of the annotation is, and which video each stimulus, where the sheets that say so are lost.
FOLDER_NUMBERS = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40)
VIDEO_CODES = {
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
}  # fmt: skip
PUBLISHED = Published(
    field="self_report",
    by_label={
        "happiness": 146, "happyiness": 1, "disgust": 74, "anger": 55, "surprise": 36, "fear": 21, "sadness": 9,
        "helpless": 5, "pain": 5, "confused": 3, "sympathy": 2,
    },
    by_subject={
        f"s{number}": count
        for number, count in zip(
            FOLDER_NUMBERS,
            [17, 54, 5, 3, 2, 16, 11, 32, 9, 6, 43, 1, 19, 32, 54, 4, 3, 2, 4, 23, 12, 5],
            strict=True,
        )
    },
)  # fmt: skip
COLUMNS = {
    name: position
    for position, name in enumerate(
        ("subject", "clip", "onset", "apex", "offset", "action units", "coarse emotion", "type", "self-report")
    )
}
KINDS = {"macro-expression": "macro", "micro-expression": "micro", "macro": "macro", "micro": "micro"}

_SUBJECT = re.compile(r"s?_?0*(\d{1,2})")
_CLIP = re.compile(r"((anger|disgust|happy)\d)_\d+", re.IGNORECASE)
_VIDEO = re.compile(r"\d{1,2}_(\d{4})(?!\d).*")


def read_corpus(manual_dir: Path, variant: str = next(iter(VARIANTS))) -> Corpus:
    """Finds CAS(ME)^2 below a folder and lists its clips; opens no frame.

    Args:
        manual_dir: the folder that holds the release, or one of its trees with the annotation beside it.
        variant: a key of `VARIANTS`.

    Returns:
        clips, sorted by clip id, and the report on this copy. A copy that differs from what was published is reported,
        not refused.

    Raises:
        CorpusError: no CAS(ME)^2, no annotation, or one that cannot be read.
    """
    chosen = VARIANTS[variant]
    findings = Findings()
    release = find_release(
        "CAS(ME)^2",
        "casme_squared",
        manual_dir,
        is_root=_is_root,
        layout_of=_layout_of,
        layouts=LAYOUTS,
        wanted=chosen.layout,
        expected="selectedpic, rawpic or cropped with s<NN>/<anger1|...|happy5>_<k>/ or s<NN>/<NN>_<code>.../ inside",
    )
    path, (rows, folder_of, code_of), others = find_annotation(
        "CAS(ME)^2", release.root, manual_dir, rank=_rank, opens=_open, expected="CAS(ME)^2code_final.xlsx"
    )
    findings.add("not_read", *(f"{other} is an annotation too" for other in others))
    joiner = Joiner("casme_squared", chosen.scheme, findings, is_cut=release.layout != "raw", clamp_apex=True)
    annotations = []
    for row in rows:
        try:
            annotations.append(_make_sense(row, folder_of))
        except CellError as error:
            joiner.leave_out(error)
    folders = list_clip_folders(release.root, subject_of, findings)
    if release.layout == "raw":
        _join_videos(joiner, annotations, _by_code(folders, findings), code_of, findings)
    else:
        joiner.join(annotations, folders)
    return make_corpus("CAS(ME)^2", release, path, annotations, joiner, PUBLISHED)


def subject_of(folder_name: str) -> int | None:
    """Returns the number in the name of a subject's folder, s15 or 15; None if it is none."""
    match = _SUBJECT.fullmatch(normalize_name(folder_name))
    return int(match.group(1)) if match else None


def _is_root(folder: Path) -> bool:
    return any(
        subject_of(subject.name) is not None
        and any(
            _CLIP.fullmatch(clip.name.strip()) or _VIDEO.fullmatch(clip.name.strip())
            for clip in subfolders(enter_doubled(subject))
        )
        for subject in subfolders(folder)
    )


def _layout_of(root: Path) -> str:
    subjects = [subject for subject in subfolders(root) if subject_of(subject.name) is not None]
    clips = [clip.name.strip() for subject in subjects for clip in subfolders(enter_doubled(subject))]
    if not any(_CLIP.fullmatch(clip) for clip in clips):
        return "raw"
    for folder in (root, *root.absolute().parents[:2]):
        for layout, mark in (("cropped", "crop"), ("selected", "select")):
            if mark in normalize_name(folder.name):
                return layout
    return "selected" if any(subject.name.lower().startswith("s") for subject in subjects) else "cropped"


def _rank(stem: str) -> int | None:
    name = normalize_name(stem)
    if "blink" in name:
        return None
    if "code_final" in name or "codefinal" in name:
        return 10 if "updated" in name else 0
    return 20 if "cas(me)" in name else 90


def _open(sheets: Sequence[Sheet]) -> tuple[list[Row], dict[int, int], dict[str, str]]:
    """Returns the rows of expressions, the folder's number of each subject, and the video code of each stimulus."""
    first = next((sheet for sheet in sheets if _clip_rows(sheet)), None)
    if first is None:
        names = ", ".join(sheet.name for sheet in sheets if sheet.name)
        raise CorpusError(
            f"{sheets[0].path}: no sheet has rows of subject, clip (such as anger1_1), onset, apex, offset from column "
            f"A on{f'; its sheets are {names}' if names else ''}. This is another file, or its first sheet was removed."
        )
    folder_of, code_of = dict(enumerate(FOLDER_NUMBERS, start=1)), dict(VIDEO_CODES)
    for sheet in sheets:
        if sheet is first:
            continue
        for cells in sheet.rows:
            texts = [str(cell).strip() for cell in cells if cell is not None]
            if len(texts) >= 3 and re.fullmatch(r"s\d+", texts[1]) and texts[2].isdecimal():
                folder_of[int(texts[2])] = int(texts[1][1:])
            elif len(texts) >= 2 and texts[0].isdecimal() and texts[1].casefold() in VIDEO_CODES:
                code_of[texts[1].casefold()] = f"{int(texts[0]):04d}"
    return _clip_rows(first), folder_of, code_of


def _clip_rows(sheet: Sheet) -> list[Row]:
    rows = table_rows(sheet, -1, COLUMNS)
    is_annotation = any(_CLIP.fullmatch(row.text("clip")) for row in rows[:5])
    # Some copies have a header, which the release has not.
    if rows and not re.fullmatch(r"[a-z]?\d+", row_id := rows[0].text("subject").casefold()) and row_id:
        rows = rows[1:]
    return [row for row in rows if row.text("clip")] if is_annotation else []


def _make_sense(row: Row, folder_of: dict[int, int]) -> Annotation:
    number, clip = subject_number(row, "subject"), row.text("clip")
    match = _CLIP.fullmatch(clip)
    if not match:
        raise CellError(f"{row.place('clip')} holds {clip[:60]!r}; expected the name of a clip, such as anger1_1.")
    if number not in folder_of:
        raise CellError(f"{row.place('subject')} holds {number}; expected a subject from 1 to {max(folder_of)}.")
    key = (folder_of[number], clip.casefold())
    with row_of(key):
        onset, apex, offset = (row.frame(column) or None for column in ("onset", "apex", "offset"))  # 0 is missing
    kind = row.text("type").casefold().replace(" ", "-")
    return Annotation(
        clip_id=f"s{folder_of[number]}_{clip}",
        subject=f"s{folder_of[number]}",
        key=key,
        onset=onset,
        apex=apex,
        offset=offset,
        labels={
            "stimulus": match.group(2).casefold(),
            "video": match.group(1).casefold(),
            "coarse": row.text("coarse emotion").casefold(),
            "self_report": row.text("self-report").casefold(),
            "kind": KINDS.get(kind, kind),
        },
        place=row.place(),
    )


def _by_code(folders: dict[Key, Path], findings: Findings) -> dict[Key, Path]:
    """Keys videos by subject and four-digit code; s19 also holds one that is named after subject 23."""
    by_code: dict[Key, Path] = {}
    for (number, name), folder in folders.items():
        match = _VIDEO.fullmatch(name)
        if not match:
            findings.add("folders_without_row", f"{folder} is not named <NN>_<code><name> and is not read")
            continue
        if int(name.partition("_")[0]) != number:
            findings.add("other", f"{folder} is named after another subject; it counts as one of s{number}")
        by_code.setdefault((number, match.group(1)), folder)
    return by_code


def _join_videos(
    joiner: Joiner,
    annotations: Sequence[Annotation],
    videos: dict[Key, Path],
    code_of: dict[str, str],
    findings: Findings,
) -> None:
    """Joins many expressions to one video each."""
    used, joined = {(number, code_of[clip.rpartition("_")[0]]) for number, clip in joiner.left_out}, {}
    for row in annotations:
        if row.key in joined:
            findings.add(
                "unusable", f"{row.place}: clip {row.clip_id} is annotated twice; {joined[row.key].place} counts"
            )
            continue
        joined[row.key] = row
        video = (row.key[0], code_of[row.labels["video"]])
        used.add(video)
        joiner.add(row, videos.get(video))
    findings.add(
        "folders_without_row",
        *(f"{folder} is a video without an annotated expression" for key, folder in videos.items() if key not in used),
    )
