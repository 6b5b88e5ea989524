"""Reads annotated releases: matches annotation rows with clip folders, cuts clips, and reports mismatches.

Rows and folders match one to one in no release, and some rows make no sense. All of that is reported, and what can be
used is used. No path is ever made of the content of a row: a row is looked up among the folders that are there.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from datasets.cutting import Annotation, Cutter, Key
from datasets.discovery import check_manual_dir, find_annotation
from datasets.folders import (
    describe_folder,
    enter_doubled,
    find_folders,
    find_marker,
    list_frames,
    normalize_name,
    subfolders,
)
from datasets.records import ClipRecord, Corpus, Published, Reason, Unusable
from datasets.release import Release
from datasets.report import Findings
from datasets.spreadsheet import CellError, Row, Sheet, find_header, table_rows
from mer_jax.errors import CorpusError, near_names
from mer_jax.system.files import natural_key

_RELEASE_DEPTH = 5  # levels below the given folder; archives unpacked into folders of their own name add some

_NO_APEX = ("", "/", "\\", "-", "?")
# Columns that several releases share; case, blanks, `_` and `.` do not count.
COLUMNS = {
    "Subject": ("Subject", "Sub"),
    "Filename": ("Filename", "Clip"),
    "Onset": ("OnsetFrame", "Onset", "OnsetF"),
    "Apex": ("ApexFrame", "Apex", "ApexF", "ApexFrame1"),
    "Offset": ("OffsetFrame", "Offset", "OffsetF"),
    "Emotion": ("Estimated Emotion", "Emotion"),
    "Objective Class": ("Objective Classes", "Objective Class"),
    "Action Units": ("Action Units", "AU", "AUs"),
}


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree of clips: its folder of subjects, which part of the release it is, raw or cropped, and its marker."""

    root: Path
    part: str
    form: str
    marker: Mapping[str, Any] | None
    num_clips: int


@contextlib.contextmanager
def row_of(key: Key) -> Iterator[None]:
    """Attaches the key of the row to a `CellError` that is raised inside."""
    try:
        yield
    except CellError as error:
        error.key = key
        raise


class AnnotatedRelease(Release):
    """A release of the layout `<subject>/<clip>/<frames>` with an annotation file.

    An instance is one copy on disk. Subclasses set the attributes, implement `annotate`, and override what differs.

    Attributes:
        published: Counts of each part, or of all parts.
        expected_tree: What is looked for, for errors.
        annotation_name: Name of the annotation file, for errors.
        subject_pattern: Of normalised names of subjects' folders; group 1 is the number.
        clip_pattern: Of the names of clips' folders.
        columns: Columns of the annotation and how they may be spelled.
        optional_columns: Those that may be absent.
        sheet: Preferred sheet.
        marks: Part and what the folder's name, or one of those above, contains if it is that part.
        whole_recordings: Parts whose folders hold more than onset to offset.
        has_ranges: Whether onset and offset are annotated; otherwise a folder is a clip.
        has_apex: Whether the apex is annotated.
        clamp_apex: Whether an apex out of range goes to the nearer end instead of the middle.
    """

    published: ClassVar[Published | Mapping[str, Published]]
    expected_tree: ClassVar[str]
    annotation_name: ClassVar[str] = ""
    subject_pattern: ClassVar[re.Pattern]
    clip_pattern: ClassVar[re.Pattern]
    columns: ClassVar[Mapping[str, Sequence[str]]] = COLUMNS
    optional_columns: ClassVar[tuple[str, ...]] = ("Objective Class", "Action Units")
    sheet: ClassVar[str] = ""
    forms: ClassVar[tuple[str, ...]] = ("",)
    marks: ClassVar[tuple[tuple[str, str], ...]] = ()
    whole_recordings: ClassVar[tuple[str, ...]] = ()
    has_ranges: ClassVar[bool] = True
    has_apex: ClassVar[bool] = True
    clamp_apex: ClassVar[bool] = False

    def __init__(self, manual_dir: Path):
        self.manual_dir = manual_dir
        self.findings = Findings()
        self.part = ""
        self.folders: dict[Key, Path] = {}
        self._listed: dict[Path, tuple[list[Path], list[int]]] = {}

    @classmethod
    def read(cls, manual_dir: Path, part: str | None = None) -> Corpus:
        """Finds the release below a folder and lists its clips; see `Release.read`."""
        return cls(manual_dir)._read(part)

    # ---- what differs between corpora

    def annotate(self, row: Any) -> Annotation:
        """Interprets one row.

        Raises:
            CellError: A cell that does not hold what its column promises.
        """
        raise NotImplementedError

    def interpret(self, row: Row, clip_id: str, subject: str, key: Key, **labels: str) -> Annotation:
        """Makes an annotation of a row with the columns of `COLUMNS`.

        Args:
            row: Of the annotation.
            clip_id: Unique within the corpus.
            subject: Spelled as in the corpus.
            key: Under which the folder is looked up.
            **labels: That are known from elsewhere.
        """
        with row_of(key):
            onset, offset = row.frame("Onset"), row.frame("Offset")
            apex = row.frame("Apex", missing=_NO_APEX)
        own = {
            "emotion": row.text("Emotion").casefold(),
            "objective_class": row.text("Objective Class"),
            "action_units": row.text("Action Units"),
            "kind": "micro",
        }
        return Annotation(clip_id, subject, key, own | labels, row.place(), onset, apex, offset)

    def subject_number(self, name: str) -> int | None:
        """Returns the subject number in a folder name; None if the name is not a subject's."""
        match = self.subject_pattern.fullmatch(normalize_name(name))
        return int(match.group(1)) if match else None

    def is_root(self, folder: Path) -> bool:
        """Returns whether a folder is the folder of subjects."""
        return any(
            self.subject_number(subject.name) is not None
            and any(self.is_clip(clip.name.strip()) for clip in subfolders(enter_doubled(subject)))
            for subject in subfolders(folder)
        )

    def is_clip(self, name: str) -> bool:
        """Returns whether a folder's name is that of a clip."""
        return bool(self.clip_pattern.fullmatch(name))

    def identify(self, root: Path) -> tuple[str | None, str]:
        """Returns part and form of a folder of subjects."""
        return self.marked_part(root) or self.parts[0], ""

    def marked_part(self, root: Path) -> str | None:
        """Returns the part whose mark is in the name of a folder or of one of the three above it."""
        for folder in (root, *root.absolute().parents[:3]):
            for part, mark in self.marks:
                if mark in normalize_name(folder.name):
                    return part
        return None

    def rank(self, stem: str) -> int | None:
        """Returns how well the name of a file fits that of the annotation; see `find_annotation`."""
        raise NotImplementedError

    def open_table(self, sheets: list[Sheet]) -> list[Row]:
        """Returns the rows of the annotation."""
        sheet, header, columns = find_header(sheets, self.columns, optional=self.optional_columns, prefer=self.sheet)
        return table_rows(sheet, header, columns)

    def list_folders(self, root: Path, findings: Findings) -> dict[Key, Path]:
        """Lists the clip folders of a tree; reports folders without a subject and duplicates."""
        folders: dict[Key, Path] = {}
        for subject_folder in subfolders(root):
            number = self.subject_number(subject_folder.name)
            if number is None:
                findings.add("other", f"{subject_folder} is no subject's folder and is not read")
                continue
            for clip_folder in subfolders(enter_doubled(subject_folder)):
                key = (number, clip_folder.name.strip().casefold())
                if key in folders:
                    findings.add("other", f"{clip_folder} is there twice; {folders[key]} is read")
                folders.setdefault(key, clip_folder)
        return folders

    def read_rows(self, root: Path) -> tuple[Path | None, Iterable[Any]]:
        """Finds and opens the annotation; returns the file and its rows."""
        path, rows, others = find_annotation(
            self.title, root, self.manual_dir, rank=self.rank, opens=self.open_table, expected=self.annotation_name
        )
        self.findings.add("not_read", *(f"{other} is an annotation too" for other in others))
        return path, rows

    def folder_key(self, annotation: Annotation) -> Key:
        """Returns the key of the folder that a row's clip is in."""
        return annotation.key

    def hint(self) -> str:
        """Returns what to try where the release was not found; "" if nothing is known."""
        return ""

    def published_counts(self) -> Published:
        """Returns the counts that were published for the part that is read."""
        return self.published if isinstance(self.published, Published) else self.published[self.part]

    def frames_of(self, folder: Path) -> tuple[list[Path], list[int]]:
        """Lists frames and their numbers; reports oddities the first time."""
        if folder not in self._listed:
            frames, numbers, oddities = list_frames(folder)
            self.findings.add("other", *oddities)
            self._listed[folder] = (frames, numbers)
        return self._listed[folder]

    def finish(self, records: Sequence[ClipRecord], unusable: dict[str, Unusable], tree: Tree) -> None:
        """Reports what can be said only when all clips are known."""

    # ---- the same for all

    def _read(self, part: str | None) -> Corpus:
        tree = self._find_tree(part)
        self.part, self.folders = tree.part, self.list_folders(tree.root, self.findings)
        self._report_links(tree.root)
        path, rows = self.read_rows(tree.root)
        annotations, bad = self.interpret_rows(rows)
        records, unusable, used = [], {}, {self.folder_key(each) for each in annotations.values()} | bad
        is_cut = tree.part not in self.whole_recordings
        cutter = Cutter(self.findings, is_cut, self.has_ranges, self.has_apex, self.clamp_apex)
        for row in annotations.values():
            cut = self._cut(row, cutter)
            if isinstance(cut, Unusable):
                unusable[row.clip_id] = cut
                self._report_unusable(row.clip_id, cut)
            else:
                records.append(cut)
        self.findings.add(
            "folders_without_row",
            *(f"{folder} is in no row of the annotation" for key, folder in self.folders.items() if key not in used),
        )
        records.sort(key=lambda record: natural_key(record.clip_id))
        self.finish(records, unusable, tree)
        if not records:
            told = [each.detail for each in unusable.values()]
            told += [sentence for each in self.findings.collected().values() for sentence in each]
            raise CorpusError(
                f"{tree.root} looks like {self.title}, but no clip can be used"
                + (f" of those in {path}" if path else f"; expected {self.expected_tree} with frames")
                + f": {'; '.join(told[:3])}."
            )
        return Corpus(
            name=self.name,
            title=self.title,
            part=tree.part,
            form=tree.form,
            root=tree.root,
            provenance="licensed" if tree.marker is None else "surrogate",
            records=tuple(records),
            unusable=unusable,
            published=self.published_counts(),
            findings=self.findings.collected(),
            annotation=path,
            marker=tree.marker,
        )

    def _find_tree(self, wanted: str | None) -> Tree:
        """Prefers recordings to surrogates, then the first parts and forms, then the larger tree."""
        check_manual_dir(self.manual_dir, self.title)
        trees = []
        for root in find_folders(self.manual_dir, self.is_root, max_depth=_RELEASE_DEPTH):
            part, form = self.identify(root)
            num_clips = len(self.list_folders(root, Findings()))
            trees.append(Tree(root, part or wanted or self.parts[0], form, find_marker(root), num_clips))
        usable = [tree for tree in trees if wanted in (None, tree.part)]
        if not usable:
            title = f"{self.title} ({wanted})" if wanted else self.title
            found = ", ".join(f"{tree.part} in {tree.root}" for tree in trees) or describe_folder(self.manual_dir)
            raise CorpusError(
                f"no {title} in {self.manual_dir}. Looked up to {_RELEASE_DEPTH} levels down for {self.expected_tree}; "
                f"found: {found}. Point manual_dir at the folder that you unpacked {self.title} into; "
                f"datasets/{self.name}/README.md says where to ask for a copy." + self.hint()
            )
        usable.sort(
            key=lambda tree: (
                tree.marker is not None,
                self.parts.index(tree.part),
                self.forms.index(tree.form),
                -tree.num_clips,
            )
        )
        for tree in usable[1:]:
            choose = f"; --variant {tree.part} reads it" if tree.part != usable[0].part else ""
            self.findings.add("not_read", f"{tree.root} holds clips too{choose}")
        return usable[0]

    def _report_links(self, root: Path) -> None:
        """Names links that lead out of the folder that the user gave; they are followed."""
        top = os.path.realpath(self.manual_dir)
        outside = [
            (folder, real)
            for folder in [root, *self.folders.values()]
            if os.path.commonpath([top, real := os.path.realpath(folder)]) != top
        ]
        for folder, real in outside[:1] if outside and outside[0][0] == root else outside:
            self.findings.add("other", f"{folder} is a link to {real}, outside of {self.manual_dir}; it is read")

    def interpret_rows(self, rows: Iterable[Any]) -> tuple[dict[Key, Annotation], set[Key]]:
        """Interprets all rows; returns them by key, and the folders of rows that make no sense."""
        annotations: dict[Key, Annotation] = {}
        bad, published = set(), self.published_counts()
        for row in rows:
            try:
                annotation = self.annotate(row)
            except CellError as error:
                self.findings.add("unusable", str(error).rstrip("."))
                if error.key is not None:
                    bad.add(error.key)
                continue
            first = annotations.setdefault(annotation.key, annotation)
            if first is not annotation:
                differing = [
                    f"{field} {first.labels.get(field, '')!r} and {label!r}"
                    for field, label in annotation.labels.items()
                    if label != first.labels.get(field, "")
                ]
                conflict = f" with conflicting labels ({', '.join(differing)})" if differing else ""
                self.findings.add(
                    "unusable",
                    f"{annotation.place}: clip {annotation.clip_id} is listed twice{conflict}; {first.place} is used",
                )
                continue
            label = annotation.labels.get(published.field, "")
            if label not in published.by_label:
                told = f"{annotation.place}: {published.field} {label[:60]!r} of {annotation.clip_id} is unknown"
                self.findings.add("other", f"{told}; {near_names(label, published.by_label)}")
        return annotations, bad

    def _cut(self, row: Annotation, cutter: Cutter) -> ClipRecord | Unusable:
        """Makes a record of one row and its folder, or returns the reason why not."""
        record = ClipRecord(row.clip_id, row.subject, self.name, row.labels, (), (), 0, None, 0)
        folder = self.folders.get(self.folder_key(row))
        if folder is None:
            return Unusable(Reason.NO_FOLDER, f"no folder for {row.place}", record)
        return cutter.cut(row, record, folder, *self.frames_of(folder))

    def _report_unusable(self, clip_id: str, cut: Unusable) -> None:
        if cut.reason is Reason.NO_FOLDER:
            self.findings.add("rows_without_folder", f"{clip_id}: {cut.detail}")
        else:
            self.findings.add("unusable", f"{clip_id}: {cut.detail}")
