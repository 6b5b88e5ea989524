"""What a copy of a corpus holds beside what its owners published: the report that build and check share."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datasets.records import Corpus
from datasets.schemes import Composite, Scheme
from mer_jax.errors import CorpusError
from mer_jax.system.files import natural_key

# Kinds of findings in the order in which they are printed, and the word that a line begins with.
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
_LINES = 20  # of one kind that are printed; --json has all


class Findings:
    """Collects what a reader comes across, one sentence each, by kind."""

    def __init__(self) -> None:
        self._sentences: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, *sentences: str) -> None:
        """Adds sentences of one of the kinds in `FINDINGS`."""
        if kind not in FINDINGS:
            raise KeyError(kind)
        self._sentences[kind] += sentences

    def collected(self) -> dict[str, tuple[str, ...]]:
        """Returns the kinds that occurred, in the order of `FINDINGS`."""
        return {kind: tuple(self._sentences[kind]) for kind in FINDINGS if self._sentences[kind]}


@dataclasses.dataclass(frozen=True)
class CorpusReport:
    """A copy of a corpus in the classes of a scheme, beside what was published.

    Attributes:
        title: Corpus, part and scheme as people write them.
        root: Folder that was read.
        provenance: "licensed", "surrogate" or "unstated".
        by_class: Clips found per class.
        by_subject: Clips found per subject.
        expected_by_class: Clips per class as published; for a surrogate, as its own annotation says.
        expected_by_subject: Likewise per subject; empty where it is not known for this scheme.
        findings: Sentences by kind, the kinds of `FINDINGS`.
        annotation: File that labels were read from; None where folder names are the labels.
        num_subjects: People with clips as published; None where it is not known.
        left_aside: Annotated clips, by label, that the scheme does not take.
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
    num_subjects: int | None = None
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
        """Returns the report as lines to print."""
        expected = sum(self.expected_by_class.values())
        subjects = f"of {self.num_subjects} subjects" if self.num_subjects else "subjects"
        lines = [
            f"{self.title}, {self.provenance}: {self.num_clips} of {expected} clips, {len(self.by_subject)} {subjects},"
            f" in {self.root}",
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
        """Returns the same as plain values that `json.dumps` takes."""
        return dataclasses.asdict(self) | {
            "root": str(self.root),
            "annotation": str(self.annotation) if self.annotation else None,
            "findings": {kind: list(self.findings.get(kind, ())) for kind in FINDINGS},
            "differences": list(self.differences),
            "num_clips": self.num_clips,
        }


def make_report(corpus: Corpus, scheme: Scheme) -> CorpusReport:
    """Counts the clips of a corpus in the classes of a scheme and compares them with what was published.

    Raises:
        CorpusError: No clip has a class of the scheme.
    """
    class_of = {record.clip_id: scheme.classify(record) for record in corpus.records}
    taken = [record for record in corpus.records if class_of[record.clip_id]]
    listed = [record for record in corpus.listed() if scheme.classify(record)]
    if not taken:
        reasons = [each.detail for each in corpus.unusable.values() if scheme.classify(each.record)]
        told = f"no row has a class of the scheme {scheme.name} ({', '.join(scheme.class_names)})"
        hints = "; ".join([*reasons, *corpus.findings.get("other", ())][:3])
        raise CorpusError(f"{corpus.title} in {corpus.root}: {told}{f' ({hints})' if hints else ''}.")
    by_class = count_names(class_of[record.clip_id] for record in taken)
    by_subject = count_names(record.subject for record in taken)
    published, findings = corpus.published, Findings()
    if corpus.provenance == "surrogate":  # it may be smaller than its model; its own annotation says what is expected
        expected = dict.fromkeys(scheme.class_names, 0) | count_names(scheme.classify(record) for record in listed)
        expected_by_subject = count_names(record.subject for record in listed)
        num_subjects: int | None = len(expected_by_subject)
    else:
        expected = dict(published.by_class or scheme.by_class)
        is_whole = sum(expected.values()) == sum(published.by_subject.values())
        expected_by_subject = dict(published.by_subject) if is_whole else {}
        num_subjects = len(expected_by_subject) or scheme.num_subjects
        if corpus.annotation and not isinstance(scheme, Composite):
            labels = count_names(record.labels.get(published.field, "") for record in corpus.listed())
            kind = f"rows with {published.field}"
            findings.add("counts", *count_differences(kind, labels, published.by_label, "", "published"))
            if published.by_subject:
                subjects = count_names(record.subject for record in corpus.listed())
                kind = "rows of subject"
                findings.add("counts", *count_differences(kind, subjects, published.by_subject, "", "published"))
    findings.add("counts", *count_differences("class", by_class, expected))
    if isinstance(scheme, Composite) and corpus.provenance != "surrogate":
        by_corpus = count_names(record.corpus for record in taken)
        findings.add("counts", *count_differences("corpus", by_corpus, scheme.by_corpus))
    if expected_by_subject and not corpus.annotation:
        findings.add("counts", *count_differences("subject", by_subject, expected_by_subject))
    for kind, sentences in corpus.findings.items():
        findings.add(kind, *sentences)
    aside = [record for record in corpus.listed() if not scheme.classify(record)]
    return CorpusReport(
        title=f"{corpus.title} ({', '.join(filter(None, (corpus.part, corpus.form, scheme.name)))})",
        root=corpus.root,
        provenance=corpus.provenance,
        by_class=by_class,
        by_subject=by_subject,
        expected_by_class=expected,
        expected_by_subject=expected_by_subject,
        findings=findings.collected(),
        annotation=corpus.annotation,
        num_subjects=num_subjects,
        left_aside=count_names(scheme.label_of(record) for record in aside),
    )


def count_names(names: Iterable[str]) -> dict[str, int]:
    """Counts names, in natural order."""
    counts = Counter(names)
    return {name: counts[name] for name in sorted(counts, key=natural_key)}


def count_differences(
    kind: str, found: Mapping[str, int], expected: Mapping[str, int], unit: str = " clips", source: str = "expected"
) -> list[str]:
    """Says where counts differ.

    Example:
        >>> count_differences("class", {"negative": 69}, {"negative": 70})
        ['class negative: 69 clips, expected 70']
    """
    return [
        f"{kind} {name}: {found.get(name, 0)}{unit}, {source} {expected.get(name, 0)}"
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
