"""The price of the paper's protocol: the same net on the same clips, scored twice.

Everything is computed from the entries of `metrics.json`, so that it can be said of
an older run as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mer_jax.evaluation.intervals import Interval, newcombe_interval

PAPER = "paper"
Entries = Mapping[str, Mapping[str, Any]]  # metrics.json: scores by protocol


@dataclass(frozen=True)
class Gap:
    """Accuracy by the paper's protocol minus accuracy by a subject-disjoint one."""

    honest: str  # name of the subject-disjoint protocol
    paper_accuracy: float
    honest_accuracy: float
    difference: float
    interval: Interval
    clip_in_train: float  # share of the paper's test items whose source clip is in training
    subject_in_train: float

    @property
    def verdict(self) -> str:
        """What the difference amounts to, in one sentence."""
        points = f"{100 * abs(self.difference):.1f} points of accuracy"
        bounds = f"95 % interval {100 * self.interval.low:+.1f} to {100 * self.interval.high:+.1f}"
        more = "more" if self.difference >= 0 else "less"
        claim = f"The paper's protocol reports {points} {more} than the subject-disjoint one ({bounds})"
        if self.interval.low > 0:
            return f"{claim}."
        if self.interval.high < 0:
            return f"{claim}, which no leak explains."
        return f"{claim}; this run cannot tell that from none."

    @property
    def reason(self) -> str:
        """What is behind it, in one sentence, from the measured shares."""
        return (
            f"For {100 * self.clip_in_train:.0f} % of its test items the net was trained on a copy of the same clip, "
            f"and for {100 * self.subject_in_train:.0f} % on the same person; under protocol {self.honest} for none."
        )


def find_honest(entries: Entries) -> str | None:
    """Name of the first protocol that promises, and keeps, that no subject is on two sides."""
    return next((name for name, entry in entries.items() if entry["audit"].get("disjoint_by") == "subject"), None)


def measure_gap(entries: Entries) -> Gap | None:
    """The gap, or None where the run lacks the paper's protocol or a subject-disjoint one."""
    honest = find_honest(entries)
    if honest is None or PAPER not in entries:
        return None
    first, second = entries[PAPER], entries[honest]
    intervals = [Interval(**entry["accuracy_interval"]) for entry in (first, second)]
    return Gap(
        honest=honest,
        paper_accuracy=first["accuracy"],
        honest_accuracy=second["accuracy"],
        difference=first["accuracy"] - second["accuracy"],
        interval=newcombe_interval(first["accuracy"], intervals[0], second["accuracy"], intervals[1]),
        clip_in_train=first["audit"]["test_clip_in_train"],
        subject_in_train=first["audit"]["test_subject_in_train"],
    )


def summarize(entries: Entries) -> str:
    """The run in a few lines, for a terminal: a line for every protocol, and the gap.

    Args:
        entries: Scores by protocol, as in `metrics.json`.

    Returns:
        Text of several lines, without a line end at its close.
    """
    some = next(iter(entries.values()))
    lines = [f"{some['model']} on {some['corpus']}" + (" (SURROGATE)" if some["provenance"] == "surrogate" else "")]
    width = max(map(len, entries))
    for name, entry in entries.items():
        interval = entry["accuracy_interval"]
        lines.append(
            f"  {name:<{width}}  accuracy {entry['accuracy']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})  "
            f"UF1 {entry['uf1']:.3f}  UAR {entry['uar']:.3f}  chance {entry['chance']['accuracy']:.3f}  "
            f"{entry['n_clips']} clips, {entry['n_subjects']} subjects"
        )
        indent = " " * (width + 4)
        for corpus, part in entry.get("per_corpus", {}).items():
            shown = f"accuracy {part['accuracy']:.3f}  UF1 {part['uf1']:.3f}  UAR {part['uar']:.3f}"
            lines.append(f"{indent}{corpus}: {shown}")
        if spread := entry.get("seed_spread"):
            shown = ", ".join(f"{score} {each['mean']:.3f} ± {each['sd']:.3f}" for score, each in spread.items())
            lines.append(f"{indent}over {len(entry['seeds'])} seeds: {shown}")
        if best := entry.get("test_best"):
            shown = f"accuracy {best['accuracy']:.3f} with epochs chosen on the TEST"
            lines.append(f"{indent}diagnostic, no result: {shown}")
        if missing := entry.get("missing_folds"):
            lines.append(f"{indent}MISSING: {', '.join(fold['name'] for fold in missing)}")
    gap = measure_gap(entries)
    if gap is not None:
        lines += [gap.verdict, gap.reason]
    return "\n".join(lines)
