"""Reads prepared motion features: one small picture a clip, as authors of composite results publish them.

    <corpus>/<subject>/<clip>.png     28x28: horizontal flow, vertical flow, strain
    labels.csv                        corpus,subject,clip,label   with 0 negative, 1 positive, 2 surprise

Each becomes a record of one frame. The three channels are in the order of the file's red, green and blue.
"""

import dataclasses
import re
from pathlib import Path

from datasets.discovery import check_manual_dir
from datasets.folders import find_folders, find_marker, list_files, subfolders
from datasets.records import ClipRecord, Corpus, Published, Reason, Unusable
from datasets.report import Findings
from datasets.schemes import THREE
from datasets.spreadsheet import CellError, Row, find_header, open_sheets, table_rows
from mer_jax.errors import CorpusError
from mer_jax.system.files import natural_key

FLOW_PART = "flow_features"
COLUMNS = {
    "corpus": ("corpus", "dataset", "db"),
    "subject": ("subject", "sub"),
    "clip": ("clip", "filename", "name"),
    "label": ("label", "class", "emotion"),
}
_NAMES = {"casme2": "casme2", "casmeii": "casme2", "samm": "samm", "smic": "smic", "smichs": "smic"}


def read_flow_features(manual_dir: Path, title: str) -> Corpus:
    """Finds the label file below a folder, and the pictures beside it; opens no picture.

    Args:
        manual_dir: Folder of the features.
        title: Of the corpus.

    Raises:
        CorpusError: No label file, or no picture for any of its rows.
    """
    check_manual_dir(manual_dir, "the motion features")
    path, rows = _find_labels(manual_dir)
    findings, pictures = Findings(), _list_pictures(path.parent)
    records: dict[str, ClipRecord] = {}
    unusable: dict[str, Unusable] = {}
    for row in rows:
        try:
            corpus, subject, clip, class_name = _interpret(row)
        except CellError as error:
            findings.add("unusable", str(error).rstrip("."))
            continue
        person = _canonical(corpus, subject)
        clip_id = f"{corpus}_{person}_{clip}" if corpus == "casme2" else f"{corpus}_{_canonical(corpus, clip)}"
        picture = pictures.get((corpus, _plain(subject), clip.casefold()))
        labels = {"coarse_emotion": class_name, "kind": "micro"}
        record = ClipRecord(clip_id, f"{corpus}_{person}", corpus, labels, (), (0,), 0, None, 0)
        if clip_id in records:
            findings.add("unusable", f"{row.place()}: clip {clip_id} is listed twice; the first is used")
        elif picture is None:
            unusable[clip_id] = Unusable(Reason.NO_FOLDER, f"no picture for {row.place()}", record)
            findings.add("rows_without_folder", f"{clip_id}: no picture for {row.place()}")
        else:
            records[clip_id] = dataclasses.replace(record, frames=(picture,))
    used = {record.frames[0] for record in records.values()}
    findings.add(
        "folders_without_row",
        *(f"{picture} is in no row of {path.name}" for picture in pictures.values() if picture not in used),
    )
    if not records:
        raise CorpusError(
            f"{path} has {len(rows)} rows, and no picture fits one; expected <corpus>/<subject>/<clip>.png in "
            f"{path.parent}.{_describe_floats(path.parent)}"
        )
    marker = find_marker(path.parent)
    return Corpus(
        name="megc2019",
        title=title,
        part=FLOW_PART,
        root=path.parent,
        provenance="unstated" if marker is None else "surrogate",  # who prepared them, and from what, is not known
        records=tuple(sorted(records.values(), key=lambda record: natural_key(record.clip_id))),
        unusable=unusable,
        published=Published({}, {}),
        findings=findings.collected(),
        annotation=path,
        marker=marker,
    )


def _find_labels(manual_dir: Path) -> tuple[Path, list[Row]]:
    def has_pictures(folder: Path) -> bool:
        return any(_corpus_of(each.name) for each in subfolders(folder))

    tried = []
    for folder in find_folders(manual_dir, has_pictures):
        for path in list_files(folder):
            if path.suffix.lower() != ".csv":
                continue
            sheets = open_sheets(path)
            try:
                return path, table_rows(*find_header(sheets, COLUMNS))
            except CorpusError as error:
                # The list of MEGC 2019 itself has no header.
                cells = sheets[0].rows[0] if sheets[0].rows else ()
                if len(cells) >= 4 and _corpus_of(str(cells[0])) and str(cells[3]).strip() in ("0", "1", "2"):
                    return path, table_rows(sheets[0], -1, {name: index for index, name in enumerate(COLUMNS)})
                tried.append(str(error))
    raise CorpusError(
        f"no motion features in {manual_dir}: looked for a folder with casme2/, samm/ or smic/ and a .csv with the "
        f"columns {', '.join(COLUMNS)}." + (f" {tried[0]}" if tried else "")
    )


def _interpret(row: Row) -> tuple[str, str, str, str]:
    corpus = _corpus_of(row.text("corpus"))
    if corpus is None:
        raise CellError(f"{row.place('corpus')} holds {row.text('corpus')[:60]!r}; expected casme2, samm or smic.")
    label = row.text("label").casefold()
    if label not in ("0", "1", "2", *THREE):
        raise CellError(
            f"{row.place('label')} holds {label[:60]!r}; expected 0 (negative), 1 (positive) or 2 (surprise)."
        )
    for column in ("subject", "clip"):
        if not re.fullmatch(r"[\w .()-]+", row.text(column)) or row.text(column).strip(". ") == "":
            raise CellError(f"{row.place(column)} holds {row.text(column)[:60]!r}; expected a name.")
    clip = re.sub(r"(?i)\.png$", "", row.text("clip"))
    return corpus, row.text("subject"), clip, THREE[int(label)] if label.isdecimal() else label


def _list_pictures(root: Path) -> dict[tuple[str, str, str], Path]:
    return {
        (corpus, _plain(subject.name), picture.stem.casefold()): picture
        for folder in subfolders(root)
        if (corpus := _corpus_of(folder.name))
        for subject in subfolders(folder)
        for picture in list_files(subject)
        if picture.suffix.lower() == ".png"
    }


def _corpus_of(name: str) -> str | None:
    return _NAMES.get(re.sub(r"[\W_]+", "", name).casefold())


def _canonical(corpus: str, name: str) -> str:
    """Spells a subject, or a clip that begins with one, as the corpus does: lists write 6 for 006, and s01 for s1."""
    match = re.match(r"(?i)(sub|s)?0*(\d+)(?=_|$)", name)
    if not match:
        return name
    number = int(match.group(2))
    spelled = {"casme2": f"sub{number:02d}", "samm": f"{number:03d}", "smic": f"s{number}"}[corpus]
    return spelled + name[match.end() :]


def _plain(subject: str) -> str:
    """Makes ids of subjects comparable: 006 is 6 in some lists, and s01 is s1."""
    return re.sub(r"^([a-z]*)0+(?=\d)", r"\1", subject.strip().casefold())


def _describe_floats(folder: Path) -> str:
    """Says that features are there as floats; empty if none are."""
    for suffix in (".npy", ".npz", ".mat", ".tif", ".tiff"):
        if any(folder.rglob(f"*{suffix}")):
            return (
                f" There are {suffix} files: store features as pictures of 8 bits, each channel stretched to 0 .. 255 "
                "for each clip."
            )
    return ""
