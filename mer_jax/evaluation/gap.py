"""The gap: accuracy by the paper's protocol minus accuracy by a subject-disjoint one, of one network on one corpus.

Everything is computed from the entries of `metrics.json`, so the gap of an older run can be computed as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from mer_jax.data.provenance import surrogate_mark
from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import TOO_FEW_PEOPLE, Interval, difference_intervals
from mer_jax.evaluation.significance import flip_people
from mer_jax.protocols import SUBJECT_DISJOINT

PAPER = "paper"
SIGNIFICANT = 0.05  # p values below are called significant
Entries = Mapping[str, Mapping[str, Any]]  # metrics.json: scores by protocol


@dataclass(frozen=True)
class Gap:
    """Accuracy by the paper's protocol minus accuracy by a subject-disjoint one."""

    honest: str  # name of the subject-disjoint protocol
    paper_accuracy: float
    honest_accuracy: float
    difference: float
    interval: Interval | None  # over people; None for a single person
    p_value: float  # permutation over people, two-sided
    clip_in_train: float  # share of the paper's test items whose source clip is also in training
    subject_in_train: float

    @property
    def verdict(self) -> str:
        """The difference and whether it is significant, in one sentence."""
        points = f"{100 * abs(self.difference):.1f} points of accuracy"
        found = f"p = {self.p_value:.3f} by permutation over people"
        if self.interval is not None:
            found = f"95 % interval {100 * self.interval.low:+.1f} to {100 * self.interval.high:+.1f}, {found}"
        more = "more" if self.difference >= 0 else "less"
        claim = f"The paper's protocol reports {points} {more} than the subject-disjoint one ({found})"
        if self.p_value >= SIGNIFICANT:
            return f"{claim}, which is not significant."
        return f"{claim}." if self.difference > 0 else f"{claim}, which no leak explains."

    @property
    def reason(self) -> str:
        """The measured leak behind the difference, in one sentence."""
        return (
            f"For {100 * self.clip_in_train:.0f} % of its test items the network was trained on a copy of the same "
            f"clip, and for {100 * self.subject_in_train:.0f} % on the same person; under protocol {self.honest}, for "
            "none."
        )


def find_honest(entries: Entries) -> str | None:
    """Name of the best subject-disjoint protocol of a run, in the order of `protocols.SUBJECT_DISJOINT`, or None."""
    disjoint = [name for name, entry in entries.items() if entry["audit"].get("disjoint_by") == "subject"]
    return find_reference(disjoint) or next(iter(disjoint), None)


def find_reference(protocols: Sequence[str]) -> str | None:
    """The protocol to compare others with: the first of `protocols.SUBJECT_DISJOINT` that is among these, or None."""
    return next((name for name in SUBJECT_DISJOINT if name in protocols), None)


def measure_gap(entries: Entries) -> Gap | None:
    """Measures the gap; None if the run lacks the paper's protocol or a subject-disjoint one.

    The interval and the test are over people: each person's test items under both protocols are kept together.
    """
    honest = find_honest(entries)
    if honest is None or PAPER not in entries:
        return None
    first, second = entries[PAPER], entries[honest]
    people = sorted(first["per_subject"].keys() | second["per_subject"].keys())
    paper, other = (_right_and_wrong(entry["per_subject"], people) for entry in (first, second))
    interval = None
    if len(people) > 1:
        interval = difference_intervals(paper, other, {"accuracy": metrics.accuracy})["accuracy"]
    return Gap(
        honest=honest,
        paper_accuracy=first["accuracy"],
        honest_accuracy=second["accuracy"],
        difference=first["accuracy"] - second["accuracy"],
        interval=interval,
        p_value=flip_people(paper, other).p_value,
        clip_in_train=first["audit"]["test_clip_in_train"],
        subject_in_train=first["audit"]["test_subject_in_train"],
    )


def summarize(entries: Entries) -> str:
    """Summarises a run for a terminal: two lines for each protocol, and the gap.

    Args:
        entries: Scores by protocol, as in `metrics.json`.

    Returns:
        Text of several lines, without a final line break.
    """
    some = next(iter(entries.values()))
    lines = [f"{some['model']} on {some['corpus']}" + surrogate_mark(some["provenance"], before=" (", after=")")]
    width = max(map(len, entries))
    for name, entry in entries.items():
        indent = " " * (width + 4)
        lines.append(
            f"  {name:<{width}}  accuracy {entry['accuracy']:.3f}{_describe_interval(entry)}  "
            f"UF1 {entry['uf1']:.3f}  UAR {entry['uar']:.3f}  chance {entry['chance']['accuracy']:.3f}"
        )
        clips = entry["clip_interval"]
        lines.append(
            f"{indent}{entry['n_clips']} clips of {entry['n_subjects']} people; as if clips were independent (Wilson): "
            f"{clips['low']:.3f} to {clips['high']:.3f}"
        )
        for corpus, part in entry.get("per_corpus", {}).items():
            shown = f"accuracy {part['accuracy']:.3f}  UF1 {part['uf1']:.3f}  UAR {part['uar']:.3f}"
            lines.append(f"{indent}{corpus}: {shown}")
        if spread := entry.get("seed_spread"):
            shown = ", ".join(f"{score} {each['mean']:.3f} ± {each['sd']:.3f}" for score, each in spread.items())
            lines.append(f"{indent}over {len(entry['seeds'])} seeds: {shown}")
        if best := entry.get("test_best"):
            shown = f"accuracy {best['accuracy']:.3f} with epochs chosen on the TEST"
            lines.append(f"{indent}diagnostic, not a result: {shown}")
        if missing := entry.get("missing_folds"):
            lines.append(f"{indent}MISSING: {', '.join(fold['name'] for fold in missing)}")
    gap = measure_gap(entries)
    if gap is not None:
        lines += [gap.verdict, gap.reason]
    return "\n".join(lines)


def _right_and_wrong(per_subject: Mapping[str, Mapping[str, int]], people: Sequence[str]) -> Int[np.ndarray, "s 2 2"]:
    """Right and wrong items of each person as confusion matrices, whose accuracy is the share of right ones."""
    counts = np.zeros((len(people), 2, 2), int)
    for row, name in enumerate(people):
        own = per_subject.get(name, {"right": 0, "items": 0})
        counts[row, 0] = own["right"], own["items"] - own["right"]
    return counts


def _describe_interval(entry: Mapping[str, Any]) -> str:
    """` (95 % over people 0.7 to 0.9)`, with its reservation if it has one."""
    if not entry["intervals"]:
        return f" (no interval: {TOO_FEW_PEOPLE})" if entry["n_subjects"] else " (no interval)"
    interval = entry["intervals"]["accuracy"]
    over = "people" if entry["n_subjects"] else "clips, people unknown"
    note = f", {interval['note']}" if interval["note"] else ""
    return f" (95 % over {over} {interval['low']:.3f} to {interval['high']:.3f}{note})"
