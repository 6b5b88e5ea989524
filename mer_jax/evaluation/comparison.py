"""Comparison of two systems on the same clips: differences, intervals and significance tests."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import Interval, difference_intervals
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import STATISTICS, ProtocolResult
from mer_jax.evaluation.score_text import lay_out
from mer_jax.evaluation.significance import PairedTest, PermutationTest, correct_holm, exact_mcnemar, permute_subjects

DRAWS = 10_000
SEED = 0  # of the permutations alone: the same predictions always get the same p values
SIGNIFICANT = 0.05

EXPLANATION = (
    "Difference: first minus second, on the items that both predict. Interval: 95 %, over people, the same for both. "
    "Permutation: the two systems exchanged by person, two-sided. Holm: corrected over all comparisons of this table, "
    "each kind of test separately. Significant: the corrected p value of the permutation test is below .05; nothing "
    "else is called so. McNemar, exact and two-sided, takes items as independent, which clips of one person are not: "
    "its p value is too small."
)


@dataclass(frozen=True)
class Comparison:
    """Two systems under one protocol."""

    protocol: str
    names: tuple[str, str]
    num_items: int  # predicted by both
    only_in: tuple[int, int]  # items predicted by only the first, by only the second
    scores: dict[str, tuple[float, float]]  # by statistic
    intervals: dict[str, Interval]  # of the differences; empty if people are unknown or there is only one
    permutations: dict[str, PermutationTest]  # likewise
    mcnemar: PairedTest | None  # None if a clip is predicted under several seeds
    paired_by: str


def compare_results(
    protocol: str,
    names: tuple[str, str],
    first: ProtocolResult,
    second: ProtocolResult,
    *,
    draws: int = DRAWS,
) -> Comparison:
    """Compares two systems on the items that both predict.

    Items are paired by clip and copy, and by seed if a system has several. Where clip names repeat, they are paired by
    person and corpus too. Rows of files without clip ids are paired by their order.

    Args:
        protocol: Name of the protocol, to print.
        names: Names of the two systems, to print.
        first: Predictions of one system.
        second: Predictions of the other.
        draws: Number of random permutations where there are too many to enumerate.

    Returns:
        The comparison.

    Raises:
        PredictionsError: No item in common, different true classes of an item, or different classes.
    """
    if sorted(first.class_names) != sorted(second.class_names):
        raise PredictionsError(
            f"{names[0]} has the classes {', '.join(first.class_names)}, {names[1]} {', '.join(second.class_names)}; "
            "expected the same. Name all of them with --classes."
        )
    rows, paired_by = _pair(names, first, second)
    order = np.array([first.class_names.index(name) for name in second.class_names])  # index by the first's names
    true, predicted = first.true[rows[:, 0]], (first.predicted[rows[:, 0]], order[second.predicted[rows[:, 1]]])
    differing = np.flatnonzero(true != order[second.true[rows[:, 1]]])
    if differing.size:
        row = int(differing[0])
        raise PredictionsError(
            f"{first.describe_row(int(rows[row, 0]))} is truly {first.class_names[true[row]]!r} in {names[0]} and "
            f"{second.class_names[second.true[rows[row, 1]]]!r} in {names[1]}; expected the same truth in both."
        )
    num_classes = len(first.class_names)
    totals = [metrics.confusion_matrix(true, each, num_classes) for each in predicted]
    scores = {name: (float(function(totals[0])), float(function(totals[1]))) for name, function in STATISTICS.items()}
    intervals: dict[str, Interval] = {}
    permutations: dict[str, PermutationTest] = {}
    known = first.people or second.people
    column = 0 if first.people else 1
    people, index = np.unique([known[row] for row in rows[:, column]] if known else [], return_inverse=True)
    if len(people) > 1:
        one, other = (
            metrics.confusion_by_group(true, each, index, num_classes, num_groups=len(people)) for each in predicted
        )
        intervals = difference_intervals(one, other, STATISTICS)
        permutations = permute_subjects(one, other, STATISTICS, seed=SEED, draws=draws)
    clips = first.clip_index
    once = clips is not None and len(set(zip(clips[rows[:, 0]], first.copy[rows[:, 0]], strict=True))) == len(rows)
    return Comparison(
        protocol=protocol,
        names=names,
        num_items=len(rows),
        only_in=(len(first.true) - len(rows), len(second.true) - len(rows)),
        scores=scores,
        intervals=intervals,
        permutations=permutations,
        mcnemar=exact_mcnemar(predicted[0] == true, predicted[1] == true) if once else None,
        paired_by=paired_by,
    )


def compare_all(systems: Mapping[str, Mapping[str, ProtocolResult]], *, draws: int = DRAWS) -> list[Comparison]:
    """Compares each pair of systems under every protocol that both have.

    Args:
        systems: Results by system and protocol.
        draws: Number of random permutations.

    Returns:
        The comparisons.

    Raises:
        PredictionsError: Two systems have no protocol in common; or as `compare_results`.
    """
    comparisons = []
    for (one, results), (other, others) in itertools.combinations(systems.items(), 2):
        common = [name for name in results if name in others]
        pairs = [(name, results[name], others[name]) for name in common]
        if not pairs and len(results) == len(others) == 1:  # one protocol each, whatever its name
            (name, first), (also, second) = *results.items(), *others.items()
            pairs = [(f"{name} | {also}", first, second)]
        if not pairs:
            raise PredictionsError(
                f"{one} has the protocols {', '.join(results)}, {other} {', '.join(others)}; expected one in common."
            )
        comparisons += [compare_results(name, (one, other), *pair, draws=draws) for name, *pair in pairs]
    return comparisons


def correct_all(comparisons: Sequence[Comparison]) -> list[dict[str, float]]:
    """Applies Holm's correction over all comparisons, to each kind of test separately.

    Returns:
        The corrected p values of each comparison, by statistic and `mcnemar`.
    """
    corrected: list[dict[str, float]] = [{} for _ in comparisons]
    for name in (*STATISTICS, "mcnemar"):
        tests = [each.mcnemar if name == "mcnemar" else each.permutations.get(name) for each in comparisons]
        made = {index: test.p_value for index, test in enumerate(tests) if test}
        for index, p_value in zip(made, correct_holm(list(made.values())), strict=True):
            corrected[index][name] = p_value
    return corrected


def describe_comparisons(comparisons: Sequence[Comparison]) -> str:
    """Formats comparisons as text: a table for each score, with p values and corrected p values."""
    parts, corrected = [], correct_all(comparisons)
    for statistic in STATISTICS:
        rows = []
        for each, holm in zip(comparisons, corrected, strict=True):
            test = each.permutations.get(statistic)
            a, b = each.scores[statistic]
            interval = each.intervals.get(statistic)
            bounds = f"{interval.low:+.4f} to {interval.high:+.4f}" if interval else "people unknown, or one"
            if interval and interval.note:
                bounds += f" ({interval.note})"
            p = ["–", "–", "–"]
            if test:
                significant = "yes" if holm[statistic] < SIGNIFICANT else "no"
                p = [f"{test.p_value:.4f}", f"{holm[statistic]:.4f}", significant]
            rows.append([*each.names, each.protocol, f"{a:.4f}", f"{b:.4f}", f"{a - b:+.4f}", bounds, *p])
        header = [
            "first",
            "second",
            "protocol",
            f"{statistic} 1st",
            "2nd",
            "difference",
            "95 % over people",
            "permutation p",
            "Holm",
            "significant",
        ]
        parts.append(lay_out(header, rows))
    rows = []
    for each, holm in zip(comparisons, corrected, strict=True):
        cells: list[object] = ["several seeds: not independent", "", "–", "–"]
        if mcnemar := each.mcnemar:
            cells = [mcnemar.only_first, mcnemar.only_second, f"{mcnemar.p_value:.4f}", f"{holm['mcnemar']:.4f}"]
        rows.append([*each.names, each.protocol, *cells, each.num_items, *each.only_in])
    header = ["first", "second", "protocol", "only 1st right", "only 2nd", "McNemar p", "Holm"]
    parts.append(lay_out([*header, "items in both", "only in 1st", "only in 2nd"], rows))
    paired = dict.fromkeys(f"{each.names[0]} and {each.names[1]}: paired by {each.paired_by}." for each in comparisons)
    return "\n\n".join([*parts, "\n".join(paired), EXPLANATION])


def _pair(names: tuple[str, str], first: ProtocolResult, second: ProtocolResult) -> tuple[Int[np.ndarray, "n 2"], str]:
    """Finds the rows of both that are of the same item, and says by what."""
    if bool(first.clip_id) != bool(second.clip_id):
        which = names[1 if first.clip_id else 0]
        raise PredictionsError(f"{which} has no column clip_id but the other has; expected it in both, to pair items.")
    if not first.clip_id:
        if len(first.true) != len(second.true):
            raise PredictionsError(
                f"{names[0]} has {len(first.true)} rows and {names[1]} {len(second.true)}, without clip ids to pair "
                "them; expected the same clips in the same order. Add a column clip_id."
            )
        return np.stack([np.arange(len(first.true))] * 2, axis=1), "row, because there are no clip ids"
    by_seed = any(len(set(result.seed.tolist())) > 1 for result in (first, second))
    seed = ("seed",) if by_seed else ()
    for columns in (("clip_id",), ("subject", "clip_id"), ("corpora", "subject", "clip_id")):
        keys = [result.item_keys((*columns, "copy", *seed)) for result in (first, second)]
        if all(len(set(each)) == len(each) for each in keys):
            break  # the fewest columns that tell clips apart: systems may write people's names in different ways
    row_of = {key: row for row, key in enumerate(keys[1])}
    rows = [(row, row_of[key]) for row, key in enumerate(keys[0]) if key in row_of]
    if not rows:
        raise PredictionsError(
            f"{names[0]} and {names[1]} have no item in common: clip {first.describe_row(0)} is in the first, "
            f"clip {second.describe_row(0)} in the second. Expected predictions for the same clips"
            + (" under the same seeds." if by_seed else ".")
        )
    named = {"clip_id": "clip", "subject": "person", "corpora": "corpus"}
    units = [*(named[name] for name in columns), "copy", *seed]
    return np.array(rows), f"{', '.join(units[:-1])} and {units[-1]}"
