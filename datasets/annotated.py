"""What the readers of corpora with an annotation file share: join rows and folders, take the frames, report.

Rows and folders match one to one in no release; nor does every row make sense. All of that is told in the report, and
what can be used is used. No path is ever made of what a row says: a row is looked up among the folders that are there.
"""

import bisect
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from datasets.records import (
    ClipRecord,
    Corpus,
    enter_doubled,
    list_frames,
    natural_key,
)
from datasets.release import Key, Release
from datasets.report import CorpusReport, Findings, count_clips, count_differences, count_names
from datasets.schemes import Scheme
from datasets.spreadsheet import CellError
from mer_jax.errors import CorpusError

MAX_CLIP_FRAMES = 20_000  # a minute and a half at 200 frames per second; whoever says more is mistaken
_MIN_COVERAGE = 0.5  # of onset to offset that must be there


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a builder config chooses: a part of the release, and a class scheme.

    Attributes:
        layout: which tree of the release; None takes the first of them that is there.
        scheme: which classes.
    """

    layout: str | None
    scheme: Scheme

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return self.scheme.class_names


def make_variants(layouts: Sequence[str], schemes: Mapping[str, Scheme]) -> dict[str, Variant]:
    """Names the configs of a corpus: every scheme, `<layout>` and `<layout>_<scheme>`; the first scheme is the default.

    Args:
        layouts: trees that the release comes as.
        schemes: of the corpus.
    """
    variants = {name: Variant(None, scheme) for name, scheme in schemes.items()}
    for layout in layouts:
        variants[layout] = Variant(layout, next(iter(schemes.values())))
        variants |= {f"{layout}_{name}": Variant(layout, scheme) for name, scheme in schemes.items()}
    return variants


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One row of an annotation, made sense of.

    Attributes:
        clip_id: unique within the corpus.
        subject: spelled as the corpus spells it.
        key: under which its folder is looked up.
        onset: number of the first frame, as in the names of files; None if the row lacks it.
        apex: likewise.
        offset: number of the last frame.
        labels: by field, such as "emotion"; text as annotated.
        place: file, sheet and row, for messages.
    """

    clip_id: str
    subject: str
    key: Key
    onset: int | None
    apex: int | None
    offset: int | None
    labels: Mapping[str, str]
    place: str


@dataclasses.dataclass(frozen=True)
class Published:
    """What the owners published about the whole annotation.

    Attributes:
        field: the labels' field that is counted.
        by_label: rows per label.
        by_subject: rows per subject.
    """

    field: str
    by_label: Mapping[str, int]
    by_subject: Mapping[str, int]


@contextlib.contextmanager
def row_of(key: Key) -> Iterator[None]:
    """Lets a `CellError` raised inside say which clip its row is of."""
    try:
        yield
    except CellError as error:
        error.key = key
        raise


class Joiner:
    """Makes clip records of annotations and folders, and says what does not fit.

    Args:
        corpus: name.
        scheme: class scheme.
        findings: takes what does not fit.
        is_cut: whether a folder holds onset to offset only, and not a whole recording.
        clamp_apex: whether an apex out of range goes to the nearer end, instead of the middle.
        has_apex: whether the corpus annotates an apex at all.
    """

    def __init__(
        self,
        corpus: str,
        scheme: Scheme,
        findings: Findings,
        *,
        is_cut: bool,
        clamp_apex: bool = False,
        has_apex: bool = True,
    ):
        self.corpus, self.scheme, self.findings = corpus, scheme, findings
        self.is_cut, self.clamp_apex, self.has_apex = is_cut, clamp_apex, has_apex
        self.records: list[ClipRecord] = []
        self.unusable: dict[str, str] = {}
        self.left_aside: list[str] = []
        self.left_out: set[Key] = set()
        self._listed: dict[Path, tuple[list[Path], list[int]]] = {}

    def leave_out(self, error: CellError) -> None:
        """Reports a row that makes no sense. The folder of its clip, if it names one, still has a row."""
        self.findings.add("unusable", str(error).rstrip("."))
        if error.key is not None:
            self.left_out.add(error.key)

    def join(self, annotations: Iterable[Annotation], folders: Mapping[Key, Path]) -> None:
        """Joins rows and folders one to one."""
        joined: dict[Key, Annotation] = {}
        for row in annotations:
            if row.key in joined:
                self.findings.add(
                    "unusable",
                    f"{row.place}: clip {row.clip_id} is annotated twice; {joined[row.key].place} counts",
                )
                continue
            joined[row.key] = row
            self.add(row, folders.get(row.key))
        for key, folder in folders.items():
            if key not in joined and key not in self.left_out:
                self.findings.add("folders_without_row", f"{folder} is in no row of the annotation")

    def add(self, row: Annotation, folder: Path | None) -> None:
        """Makes a record of one row, or says why not."""
        class_name = self.scheme.classify(row.labels)
        if class_name is None or self.excludes(row):
            self.left_aside.append(row.labels.get(self.scheme.field, ""))
            class_name = None
        if folder is None:
            self.findings.add("rows_without_folder", f"{row.clip_id} ({row.place}) has no folder")
            reason = f"no folder for {row.place}"
        else:
            record, reason = self._cut(row, folder, class_name or "")
            if reason:
                self.findings.add("unusable", f"{row.clip_id}: {reason}")
            elif class_name is not None:
                self.records.append(record)
        if reason and class_name is not None:
            self.unusable[row.clip_id] = reason

    def excludes(self, row: Annotation) -> bool:
        """Says whether the class scheme leaves a clip out, whatever its label."""
        if row.clip_id in self.scheme.excluded:
            return True
        return self.scheme.needs_apex and row.labels.get("apex") in ("missing", "onset")

    def _cut(self, row: Annotation, folder: Path, class_name: str) -> tuple[ClipRecord | None, str]:
        if folder not in self._listed:
            frames, numbers, oddities = list_frames(enter_doubled(folder))
            self.findings.add("other", *oddities)
            self._listed[folder] = (frames, numbers)
        frames, numbers = self._listed[folder]
        if not frames:
            return None, f"no frames in {folder}"
        onset, apex, offset, reason = self._range(row, numbers)
        if reason:
            return None, reason
        if offset - onset + 1 > MAX_CLIP_FRAMES:
            return None, f"{row.place} says frames {onset} to {offset}; no expression is that long"
        first, last = bisect.bisect_left(numbers, onset), bisect.bisect_right(numbers, offset)
        length, there = offset - onset + 1, last - first
        if not there and self.is_cut and len(frames) == length:
            self.findings.add(
                "repairs",
                f"{row.clip_id} ({row.place}): files are numbered {numbers[0]} to {numbers[-1]} instead of {onset} to "
                f"{offset}; they are taken in their order",
            )
            numbers = range(onset, offset + 1)
            first, last, there = 0, length, length
        if there < max(1, _MIN_COVERAGE * length):
            return None, (
                f"{row.place} says frames {onset} to {offset}; {folder} has {there} of these {length}"
                f" (it holds {numbers[0]} to {numbers[-1]})"
            )
        if there < length:
            self.findings.add(
                "frames_missing",
                f"{row.clip_id} lacks {length - there} of its frames {onset} to {offset} ({row.place}) in {folder}; "
                "the frame before stands in, and at the ends nothing",
            )
        onset, offset = numbers[first], numbers[last - 1]
        by_number = dict(zip(numbers[first:last], frames[first:last], strict=True))
        taken: list[int] = []
        for number in range(onset, offset + 1):
            taken.append(number if number in by_number else taken[-1])
        return ClipRecord(
            clip_id=row.clip_id,
            subject=row.subject,
            class_name=class_name,
            corpus=self.corpus,
            frames=tuple(by_number[number] for number in taken),
            frame_numbers=tuple(taken),
            onset=0,
            apex=None if apex is None else min(max(apex, onset), offset) - onset,
            offset=offset - onset,
        ), ""

    def _range(self, row: Annotation, numbers: Sequence[int]) -> tuple[int, int | None, int, str]:
        """Returns onset, apex and offset as frame numbers, repaired where that is safe, or a reason why it is not."""
        onset, apex, offset = row.onset, row.apex, row.offset
        if onset is None and self.is_cut:
            onset = numbers[0]
            self.findings.add("repairs", f"{row.clip_id} ({row.place}): no onset; the first file, frame {onset}, is it")
        if onset is None:
            return 0, 0, 0, f"{row.place} has no onset"
        if offset is None:
            offset, instead = (numbers[-1], "the last file") if self.is_cut else (apex, "the apex")
            if offset is None:
                return 0, 0, 0, f"{row.place} has no offset and no apex"
            self.findings.add("repairs", f"{row.clip_id} ({row.place}): no offset; {instead}, frame {offset}, is it")
        if onset > offset:
            return 0, 0, 0, f"{row.place} says onset {onset} and offset {offset}, the wrong way round"
        if not self.has_apex:
            return onset, None, offset, ""
        if apex is None:
            apex = (onset + offset) // 2
            self.findings.add(
                "repairs", f"{row.clip_id} ({row.place}): no apex; the frame in the middle, {apex}, stands in"
            )
        elif not onset <= apex <= offset:
            told = f"{row.clip_id} ({row.place}): apex {apex} is not within onset {onset} to offset {offset}; "
            if self.is_cut and apex > offset and numbers[-1] == apex:
                apex, offset = offset, apex
                told += "the folder ends with it, so the two were swapped"
            elif self.clamp_apex:
                apex = min(max(apex, onset), offset)
                told += f"{apex} stands in"
            else:
                apex = (onset + offset) // 2
                told += f"the frame in the middle, {apex}, stands in"
            self.findings.add("apex_out_of_range", told)
        return onset, apex, offset, ""


def make_corpus(
    title: str,
    release: Release,
    annotation: Path,
    rows: Sequence[Annotation],
    joiner: Joiner,
    published: Published,
) -> Corpus:
    """Puts a corpus and its report together.

    Args:
        title: corpus and variant as a person writes it.
        release: the tree that was read.
        annotation: the file that was read.
        rows: what it says.
        joiner: after `join`.
        published: what it should say.

    Raises:
        CorpusError: there is no clip that could be used.
    """
    findings, scheme = joiner.findings, joiner.scheme
    records = sorted(joiner.records, key=lambda record: natural_key(record.clip_id))
    by_class, by_subject = (count_clips(records, field) for field in ("class_name", "subject"))
    expected_by_class, num_subjects = scheme.by_class, scheme.num_subjects
    if release.marker is None:
        labels = count_names(row.labels.get(published.field, "").casefold() for row in rows)
        findings.add("counts", *_label_differences(f"rows with {published.field}", labels, published.by_label))
        subjects = count_names(row.subject for row in rows)
        if published.by_subject:
            findings.add("counts", *_label_differences("rows of subject", subjects, published.by_subject))
    else:  # a surrogate may be smaller than what it stands for; its own annotation says what should be there
        taken = [row for row in rows if scheme.classify(row.labels) and not joiner.excludes(row)]
        expected_by_class = dict.fromkeys(scheme.class_names, 0) | count_names(
            scheme.classify(row.labels) for row in taken
        )
        num_subjects = len({row.subject for row in taken})
    findings.add("counts", *count_differences("class", by_class, expected_by_class))
    findings.add("not_read", *(f"{other} holds clips too" for other in release.others))
    if not records:
        reasons = [*joiner.unusable.values()][:3]
        raise CorpusError(
            f"{release.root} looks like {title} and {annotation} has {len(rows)} rows, but no clip can be used"
            + (
                ": " + "; ".join(reasons)
                if reasons
                else f": no row has a class of the scheme {scheme.name} ({', '.join(scheme.class_names)})"
            )
            + "."
        )
    return Corpus(
        name=joiner.corpus,
        class_names=scheme.class_names,
        records=tuple(records),
        unusable=joiner.unusable,
        report=CorpusReport(
            title=f"{title} ({release.layout}, {scheme.name})",
            root=release.root,
            provenance="licensed" if release.marker is None else "surrogate",
            by_class=by_class,
            by_subject=by_subject,
            expected_by_class=expected_by_class,
            expected_by_subject=published.by_subject
            if release.marker is None and sum(scheme.by_class.values()) == sum(published.by_subject.values())
            else {},
            findings=findings.collected(),
            annotation=annotation,
            expected_num_subjects=num_subjects,
            left_aside=count_names(joiner.left_aside),
        ),
        marker=release.marker,
    )


def _label_differences(kind: str, found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    return [
        difference.replace(" clips, expected", ", published") for difference in count_differences(kind, found, expected)
    ]
