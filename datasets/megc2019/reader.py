"""Reads the composite of MEGC 2019: CASME II, SAMM and SMIC HS from below one folder, or prepared motion features.

Every corpus is read by its own reader with the class scheme `megc2019`. Subjects and clips get the corpus's name in
front (`casme2_sub01`), since names repeat between corpora. Counts: J. See et al., "MEGC 2019", FG 2019.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from datasets.casme2 import reader as casme2
from datasets.megc2019.flow_features import FLOW_CONFIG, read_flow_features
from datasets.records import Corpus
from datasets.report import FINDINGS, CorpusReport, Findings, count_clips, count_differences, natural_key
from datasets.samm import reader as samm
from datasets.schemes import THREE
from datasets.smic import reader as smic
from mer_jax.errors import CorpusError

PARTS = {"casme2": (casme2, "megc2019"), "samm": (samm, "megc2019"), "smic": (smic, "hs")}
BY_CLASS = {"negative": 250, "positive": 109, "surprise": 83}
BY_CORPUS = {"casme2": 145, "samm": 133, "smic": 164}
NUM_SUBJECTS = 68


@dataclasses.dataclass(frozen=True)
class Variant:
    """A form of the composite.

    Attributes:
        is_features: whether it is read from prepared motion features, instead of from the three releases.
    """

    is_features: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return THREE


VARIANTS = {"3class": Variant(), FLOW_CONFIG: Variant(is_features=True)}


def read_corpus(manual_dir: Path, variant: str = next(iter(VARIANTS))) -> Corpus:
    """Finds the three corpora below a folder and lists their clips; opens no frame.

    Args:
        manual_dir: the folder that holds CASME II, SAMM and SMIC; for motion features, the one with the label file.
        variant: a key of `VARIANTS`.

    Returns:
        all clips, sorted by clip id. The report tells the differences of each part with its name in front. It is a
        surrogate if any part of it is.

    Raises:
        CorpusError: one of the three is not there, or cannot be read.
    """
    if VARIANTS[variant].is_features:
        return read_flow_features(manual_dir)
    parts: dict[str, Corpus] = {}
    for name, (reader, config) in PARTS.items():
        try:
            parts[name] = reader.read_corpus(manual_dir, config)
        except CorpusError as error:
            raise CorpusError(f"the composite needs CASME II, SAMM and SMIC HS below one folder: {error}") from error
    records = [
        dataclasses.replace(
            record, clip_id=f"{record.corpus}_{record.clip_id}", subject=f"{record.corpus}_{record.subject}"
        )
        for part in parts.values()
        for record in part.records
    ]
    records.sort(key=lambda record: natural_key(record.clip_id))
    markers = {name: part.marker for name, part in parts.items() if part.marker is not None}
    return Corpus(
        name="megc2019",
        class_names=THREE,
        records=tuple(records),
        unusable={f"{name}_{key}": reason for name, part in parts.items() for key, reason in part.unusable.items()},
        report=_report(manual_dir, parts, records, is_surrogate=bool(markers)),
        marker={"surrogate": True, "corpus": "megc2019", "parts": _without_clips(markers)} if markers else None,
    )


def _report(manual_dir: Path, parts: Mapping[str, Corpus], records: list, *, is_surrogate: bool) -> CorpusReport:
    by_class, by_corpus = count_clips(records, "class_name"), count_clips(records, "corpus")
    expected_by_class, expected_by_corpus, num_subjects = BY_CLASS, BY_CORPUS, NUM_SUBJECTS
    if is_surrogate:  # what its parts expect of themselves
        reports = [part.report for part in parts.values()]
        expected_by_class = {name: sum(report.expected_by_class[name] for report in reports) for name in THREE}
        expected_by_corpus = {name: sum(part.report.expected_by_class.values()) for name, part in parts.items()}
        num_subjects = sum(report.expected_num_subjects or len(report.expected_by_subject) for report in reports)
    findings = Findings()
    findings.add("counts", *count_differences("class", by_class, expected_by_class))
    findings.add("counts", *count_differences("corpus", by_corpus, expected_by_corpus))
    for name, part in parts.items():
        for kind in FINDINGS:
            # The trees of the other corpora are below the same folder; each reader passes them by.
            findings.add(kind, *(f"{name}: {sentence}" for sentence in part.report.findings.get(kind, ())))
    return CorpusReport(
        title="MEGC 2019 composite (" + ", ".join(part.report.title for part in parts.values()) + ")",
        root=manual_dir,
        provenance="surrogate" if is_surrogate else "licensed",
        by_class=by_class,
        by_subject=count_clips(records, "subject"),
        expected_by_class=expected_by_class,
        expected_by_subject={},
        findings=findings.collected(),
        expected_num_subjects=num_subjects,
        left_aside={
            f"{name} {label}": count for name, part in parts.items() for label, count in part.report.left_aside.items()
        },
    )


def _without_clips(markers: Mapping[str, Mapping]) -> dict[str, dict]:
    return {name: {key: value for key, value in marker.items() if key != "clips"} for name, marker in markers.items()}
