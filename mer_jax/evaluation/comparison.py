"""Two systems on the same clips: how far apart, and whether chance could do that."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import (
    Interval,
    PairedTest,
    PermutationTest,
    bootstrap_difference,
    correct_holm,
    exact_mcnemar,
    permute_subjects,
)
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.results import BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, STATISTICS, ProtocolResult
from mer_jax.evaluation.score_text import lay_out

EXPLANATION = (
    "Difference: first minus second, on the items that both predict. Interval: 95 %, bootstrap over subjects, the same "
    "for both. Permutation: the two exchanged by subject, two-sided. McNemar: exact, two-sided, every item for itself; "
    "it takes items as independent, which clips of one person are not. Holm: corrected over all comparisons of this "
    "table, each kind of test for itself; below .05, the chance of one false alarm among them is below .05."
)


@dataclass(frozen=True)
class Comparison:
    """Two systems under one protocol."""

    protocol: str
    names: tuple[str, str]
    num_items: int  # predicted by both
    only_in: tuple[int, int]  # items that only the first, only the second predicts
    scores: dict[str, tuple[float, float]]  # by statistic
    intervals: dict[str, Interval]  # of the differences; empty where subjects are unknown, or one
    permutations: dict[str, PermutationTest]  # likewise
    mcnemar: PairedTest | None  # None where a clip is predicted under several seeds
    paired_by: str


def compare_results(
    protocol: str,
    names: tuple[str, str],
    first: ProtocolResult,
    second: ProtocolResult,
    *,
    draws: int = BOOTSTRAP_DRAWS,
) -> Comparison:
    """Compares two systems on the items that both predict.

    Items are paired by clip and copy, and by seed where a system has several; rows of files without clip ids are
    paired by their order.

    Args:
        protocol: Shown.
        names: Of the two, shown.
        first: Of one system.
        second: Of the other.
        draws: Of the bootstrap and of the permutations.

    Returns:
        The comparison.

    Raises:
        PredictionsError: No item in common, an item with two truths or subjects, or other classes.
    """
    if sorted(first.class_names) != sorted(second.class_names):
        raise PredictionsError(
            f"{names[0]} has the classes {', '.join(first.class_names)}, {names[1]} {', '.join(second.class_names)}; "
            "expected the same. Name all of them with --classes."
        )
    rows, paired_by = _pair(names, first, second)
    order = np.array([first.class_names.index(name) for name in second.class_names])  # of the second's classes
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
    intervals, permutations = {}, {}
    subject = np.asarray(first.subject)[rows[:, 0]] if first.subject else None
    if subject is not None and len(people := np.unique(subject, return_inverse=True)[0]) > 1:
        index = np.searchsorted(people, subject)
        counts = [
            metrics.confusion_by_group(true, each, index, num_classes, num_groups=len(people)) for each in predicted
        ]
        options = {"seed": BOOTSTRAP_SEED, "draws": draws}
        intervals = bootstrap_difference(*counts, STATISTICS, **options)
        permutations = permute_subjects(*counts, STATISTICS, **options)
    clips = [(first.clip_id[row] if first.clip_id else row, first.copy[row]) for row in rows[:, 0]]
    once = len(set(clips)) == len(clips)
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


def compare_all(
    systems: Mapping[str, Mapping[str, ProtocolResult]], *, draws: int = BOOTSTRAP_DRAWS
) -> list[Comparison]:
    """Compares each two systems under every protocol that both have.

    Args:
        systems: Results by protocol, by system.
        draws: Of the bootstrap and of the permutations.

    Returns:
        The comparisons.

    Raises:
        PredictionsError: Two systems have no protocol in common, or as `compare_results`.
    """
    comparisons = []
    for (one, results), (other, others) in itertools.combinations(systems.items(), 2):
        common = [name for name in results if name in others]
        pairs = [(name, results[name], others[name]) for name in common]
        if not pairs and len(results) == len(others) == 1:  # what they call it does not matter: the clips do
            (name, first), (also, second) = *results.items(), *others.items()
            pairs = [(f"{name} | {also}", first, second)]
        if not pairs:
            raise PredictionsError(
                f"{one} has the protocols {', '.join(results)}, {other} {', '.join(others)}; expected one in common."
            )
        comparisons += [compare_results(name, (one, other), *pair, draws=draws) for name, *pair in pairs]
    return comparisons


def correct_all(comparisons: Sequence[Comparison]) -> list[dict[str, float]]:
    """Holm's correction over all comparisons, each kind of test for itself.

    Returns:
        For every comparison, the corrected p values of its tests: by statistic, and `mcnemar`.
    """
    corrected: list[dict[str, float]] = [{} for _ in comparisons]
    for name in (*STATISTICS, "mcnemar"):
        tests = [each.mcnemar if name == "mcnemar" else each.permutations.get(name) for each in comparisons]
        made = [index for index, test in enumerate(tests) if test]
        for index, p_value in zip(made, correct_holm([tests[index].p_value for index in made]), strict=True):
            corrected[index][name] = p_value
    return corrected


def describe_comparisons(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as text: a table for each score, p values beside their corrected ones."""
    parts, corrected = [], correct_all(comparisons)
    for statistic in STATISTICS:
        rows = []
        for each, holm in zip(comparisons, corrected, strict=True):
            test = each.permutations.get(statistic)
            a, b = each.scores[statistic]
            interval = each.intervals.get(statistic)
            bounds = f"{interval.low:+.4f} to {interval.high:+.4f}" if interval else "subjects unknown"
            p = [f"{test.p_value:.4f}", f"{holm[statistic]:.4f}"] if test else ["–", "–"]
            rows.append([*each.names, each.protocol, f"{a:.4f}", f"{b:.4f}", f"{a - b:+.4f}", bounds, *p])
        header = [
            "first",
            "second",
            "protocol",
            f"{statistic} 1st",
            "2nd",
            "difference",
            "95 %",
            "permutation p",
            "Holm",
        ]
        parts.append(lay_out(header, rows))
    rows = []
    for each, holm in zip(comparisons, corrected, strict=True):
        p = ["several seeds: not independent", "", "–", "–"]
        if each.mcnemar:
            test = each.mcnemar
            p = [test.only_first, test.only_second, f"{test.p_value:.4f}", f"{holm['mcnemar']:.4f}"]
        rows.append([*each.names, each.protocol, *p, each.num_items, *each.only_in])
    header = ["first", "second", "protocol", "only 1st right", "only 2nd", "McNemar p", "Holm"]
    parts.append(lay_out([*header, "items in both", "only in 1st", "only in 2nd"], rows))
    paired = dict.fromkeys(f"{each.names[0]} and {each.names[1]}: paired by {each.paired_by}." for each in comparisons)
    return "\n\n".join([*parts, "\n".join(paired), EXPLANATION])


def _pair(names: tuple[str, str], first: ProtocolResult, second: ProtocolResult) -> tuple[Int[np.ndarray, "n 2"], str]:
    """Rows of both that are of the same item."""
    if bool(first.clip_id) != bool(second.clip_id):
        which = names[bool(first.clip_id)]
        raise PredictionsError(f"{which} has no column clip_id and the other has; expected it in both, to pair items.")
    if not first.clip_id:
        if len(first.true) != len(second.true):
            raise PredictionsError(
                f"{names[0]} has {len(first.true)} rows and {names[1]} {len(second.true)}, without clip ids to pair "
                "them; expected the same clips in the same order. Add a column clip_id."
            )
        return np.stack([np.arange(len(first.true))] * 2, axis=1), "row, for want of clip ids"
    by_seed = any(len(set(result.seed.tolist())) > 1 for result in (first, second))
    keys = [[key if by_seed else key[:2] for key in result.item_keys()] for result in (first, second)]
    row_of = {key: row for row, key in enumerate(keys[1])}
    rows = [(row, row_of[key]) for row, key in enumerate(keys[0]) if key in row_of]
    if not rows:
        raise PredictionsError(
            f"{names[0]} and {names[1]} have no item in common: {_show(keys[0][0])} is in the first, "
            f"{_show(keys[1][0])} in the second. Expected predictions of the same clips"
            + (" under the same seeds." if by_seed else ".")
        )
    return np.array(rows), "clip, copy and seed" if by_seed else "clip and copy"


def _show(key: tuple) -> str:
    return f"clip {key[0]}" + (f", seed {key[2]}" if len(key) > 2 else "")
