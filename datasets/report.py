"""What a copy of a corpus holds beside what its owners published: the report that build and check share."""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.records import ClipRecord

# What can be found in a copy, in the order in which it is told, and the word that a line begins with.
FINDINGS = {
    "counts": "differs",
    "missing": "differs",
    "rows_without_folder": "row without folder",
    "folders_without_row": "folder without row",
    "unusable": "left out",
    "frames_missing": "frames missing",
    "apex_out_of_range": "apex out of range",
    "repairs": "repaired",
    "other": "differs",
    "not_read": "not read",
}
_LINES = 20  # of one kind that a person is shown; --json has all


class Findings:
    """Collects what a reader comes across, a sentence each, by kind."""

    def __init__(self) -> None:
        self._sentences: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, *sentences: str) -> None:
        """Adds sentences of one of the kinds in `FINDINGS`."""
        if kind not in FINDINGS:
            raise KeyError(kind)
        self._sentences[kind] += sentences

    def collected(self) -> dict[str, tuple[str, ...]]:
        """Returns the kinds that were met, in the order of `FINDINGS`."""
        return {kind: tuple(self._sentences[kind]) for kind in FINDINGS if self._sentences[kind]}


@dataclasses.dataclass(frozen=True)
class CorpusReport:
    """What was found in a copy, beside what its owners published.

    Attributes:
        title: corpus and variant as a person would write it.
        root: the folder that was read.
        provenance: "licensed" or "surrogate".
        by_class: clips found per class.
        by_subject: clips found per subject.
        expected_by_class: clips per class as published (for a surrogate: as its marker or its annotation says).
        expected_by_subject: clips per subject, likewise; empty where nobody published them for this class scheme.
        findings: sentences by kind, the kinds of `FINDINGS`.
        annotation: the file that labels were read from; None where folders say the label.
        expected_num_subjects: people with clips; None takes the number of `expected_by_subject`.
        left_aside: annotated clips, by label, that the class scheme does not take.
    """

    title: str
    root: Path
    provenance: str
    by_class: Mapping[str, int]
    by_subject: Mapping[str, int]
    expected_by_class: Mapping[str, int]
    expected_by_subject: Mapping[str, int]
    findings: Mapping[str, tuple[str, ...]]
    annotation: Path | None = None
    expected_num_subjects: int | None = None
    left_aside: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def num_clips(self) -> int:
        """Clips found."""
        return sum(self.by_class.values())

    @property
    def differences(self) -> tuple[str, ...]:
        """One sentence for each thing that is not as expected, repairs included."""
        return tuple(sentence for kind in FINDINGS for sentence in self.findings.get(kind, ()))

    def lines(self) -> list[str]:
        """Says it in lines to print."""
        expected = sum(self.expected_by_class.values())
        num_subjects = self.expected_num_subjects or len(self.expected_by_subject)
        lines = [
            f"{self.title}, {self.provenance}: {self.num_clips} of {expected} clips, "
            f"{len(self.by_subject)} {f'of {num_subjects} ' if num_subjects else ''}subjects, in {self.root}",
            *([f"  labels:     {self.annotation}"] if self.annotation else []),
            "  by class:   " + _counts_beside(self.by_class, self.expected_by_class),
            "  by subject: " + _counts_beside(self.by_subject, self.expected_by_subject or self.by_subject),
        ]
        if self.left_aside:
            shown = ", ".join(f"{label or 'no label'} {count}" for label, count in self.left_aside.items())
            lines.append(f"  left aside by the class scheme: {shown}")
        if self.provenance == "surrogate":
            lines.append("  These are rendered faces, not recordings: no result on them says anything about people.")
        for kind, word in FINDINGS.items():
            sentences = self.findings.get(kind, ())
            lines += [f"  {word}: {sentence}" for sentence in sentences[:_LINES]]
            if len(sentences) > _LINES:
                lines.append(f"  {word}: and {len(sentences) - _LINES} more; `python -m datasets.check --json` has all")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Gives the same as plain values that `json.dumps` takes."""
        fields = dataclasses.asdict(self)
        return fields | {
            "root": str(self.root),
            "annotation": str(self.annotation) if self.annotation else None,
            "findings": {kind: list(self.findings.get(kind, ())) for kind in FINDINGS},
            "differences": list(self.differences),
            "num_clips": self.num_clips,
        }


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts `s2` before `s10`.

    Example:
        >>> sorted(["s10", "s2"], key=natural_key)
        ['s2', 's10']
    """
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.casefold()))


def count_names(names: Iterable[str]) -> dict[str, int]:
    """Counts names, in natural order."""
    counts = Counter(names)
    return {name: counts[name] for name in sorted(counts, key=natural_key)}


def count_clips(records: Iterable["ClipRecord"], field: str) -> dict[str, int]:
    """Counts records by one of their fields, such as "subject", in natural order."""
    return count_names(getattr(record, field) for record in records)


def count_differences(kind: str, found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Says where counts differ from those expected.

    Example:
        >>> count_differences("class", {"negative": 69}, {"negative": 70})
        ['class negative: 69 clips, expected 70']
    """
    return [
        f"{kind} {name}: {found.get(name, 0)} clips, expected {expected.get(name, 0)}"
        for name in sorted({*found, *expected}, key=natural_key)
        if found.get(name, 0) != expected.get(name, 0)
    ]


def _counts_beside(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    names = sorted({*found, *expected}, key=natural_key)
    return ", ".join(
        f"{name} {found.get(name, 0)}"
        + ("" if found.get(name, 0) == expected.get(name, 0) else f" (expected {expected.get(name, 0)})")
        for name in names
    )
