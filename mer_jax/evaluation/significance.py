"""Tests of the difference between two systems: permutation over people, McNemar, Holm's correction.

The clips of one person are not independent: a person whose face is hard to read is hard to read in every clip.
`permute_subjects` allows for that and is the test to report. `exact_mcnemar` treats every clip as independent and is
printed because papers print it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from mer_jax.evaluation.metrics import Statistics

# Up to this many exchanges, all are enumerated; beyond, some are drawn at random.
EXCHANGES_LISTED = 2**14
# Numbers held in memory at once while exchanges are drawn.
NUMBERS_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class PairedTest:
    """McNemar's test: two systems on the same clips."""

    only_first: int  # clips that only the first system got right
    only_second: int
    p_value: float  # two-sided
    method: str


@dataclass(frozen=True)
class PermutationTest:
    """The difference between two systems in one score, and its p value."""

    difference: float
    p_value: float  # two-sided
    method: str


def permute_subjects(
    first: Int[np.ndarray, "s k k"],
    second: Int[np.ndarray, "s k k"],
    statistics: Statistics,
    *,
    seed: int,
    draws: int = 10_000,
) -> dict[str, PermutationTest]:
    """Permutation test over people: how often does exchanging the two systems give a difference this large?

    Under the null hypothesis, which of the two systems gave a person's answers is a fair coin toss. All answers of a
    person are exchanged together, because they are not independent. With up to 14 people who differ, all exchanges are
    enumerated.

    Args:
        first: Confusion matrix of each person by one system.
        second: The same people, in the same order, by another system, on the same clips.
        statistics: Functions of counts `[*b k k]` by name.
        seed: Seed of the random exchanges.
        draws: Number of random exchanges where there are too many to enumerate.

    Returns:
        A test for each statistic, with two-sided p values; a random one is never below 1 / (draws + 1).

    Source: Good, Permutation Tests (2000); Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) for the + 1.

    Example:
        >>> counts = np.array([[[1, 0], [0, 0]]] * 5), np.array([[[0, 1], [0, 0]]] * 5)  # all right, all wrong
        >>> share_right = lambda c: np.trace(c, axis1=-2, axis2=-1) / c.sum((-2, -1))
        >>> permute_subjects(*counts, {"accuracy": share_right}, seed=0)["accuracy"].p_value  # 2 / 2**5
        0.0625
    """
    num_subjects, num_classes = first.shape[0], first.shape[1]
    differing = (first != second).any((1, 2))
    # Only people on whom the two differ matter; the others add the same counts to both.
    a, b = (counts[differing].reshape(-1, num_classes**2).astype(float) for counts in (first, second))
    listed = 2 ** len(a) <= EXCHANGES_LISTED
    exchanges: Iterable[np.ndarray]
    if listed:
        exchanges = [(np.arange(2 ** len(a))[:, None] >> np.arange(len(a))) & 1]
        number = 2 ** len(a)
        method = f"permutation over {num_subjects} people, all {number} exchanges of the {len(a)} who differ"
    else:
        rng, at_once = np.random.default_rng(seed), max(1, NUMBERS_AT_ONCE // len(a))
        sizes = [min(at_once, draws - start) for start in range(0, draws, at_once)]
        exchanges = (rng.integers(0, 2, (size, len(a)), dtype=np.int8) for size in sizes)
        number = draws
        method = f"permutation over {num_subjects} people, {draws} exchanges, seed {seed}"
    totals = first.sum(0), second.sum(0)
    observed = {name: float(function(totals[0]) - function(totals[1])) for name, function in statistics.items()}
    as_large = dict.fromkeys(statistics, 0)
    for exchanged in exchanges:
        moved = (exchanged @ (b - a)).reshape(-1, num_classes, num_classes)
        for name, function in statistics.items():
            difference = function(totals[0] + moved) - function(totals[1] - moved)
            # Exchanges that give the same difference by another sum differ in the last digits only.
            as_large[name] += int((abs(difference) >= abs(observed[name]) - 1e-12).sum())
    p_values = {name: n / number if listed else (n + 1) / (number + 1) for name, n in as_large.items()}
    return {name: PermutationTest(observed[name], p_values[name], method) for name in statistics}


def flip_people(
    first: Int[np.ndarray, "s k k"], second: Int[np.ndarray, "s k k"], *, seed: int = 0, draws: int = 10_000
) -> PermutationTest:
    """Permutation test over people for two accuracies on different items of the same people.

    For two protocols over one corpus, where a person may have other test items under each: exchanging them, as
    `permute_subjects` does, would change the numbers of items. Instead, each person's contribution to the difference,
    computed with the accuracy that both share under the null hypothesis, gets a random sign. With up to 14 people, all
    signs are enumerated.

    Args:
        first: Confusion matrix of each person in one setting; zeros for a person without items there.
        second: The same people, in the same order, in the other setting.
        seed: Seed of the random signs.
        draws: Number of random signs where there are too many to enumerate.

    Returns:
        The test of the difference of accuracies, `first - second`.

    Source: Canay, Romano and Shaikh, Econometrica 85 (2017); Cameron, Gelbach and Miller, Rev. Econ. Stat. 90 (2008),
        for the null hypothesis imposed.

    Example:
        >>> right, wrong = np.array([[[4, 0], [0, 0]]] * 6), np.array([[[0, 2], [0, 0]]] * 6)
        >>> flip_people(right, wrong).p_value  # 2 / 2**6
        0.03125
    """
    right, items = (np.array([function(each) for each in (first, second)], float) for function in (_right, _items))
    shared = right.sum() / items.sum()
    parts = ((right - shared * items) / items.sum(1, keepdims=True)).T @ [1.0, -1.0]
    parts = parts[parts != 0]
    listed = 2 ** len(parts) <= EXCHANGES_LISTED
    if listed:
        signs = 1 - 2 * ((np.arange(2 ** len(parts))[:, None] >> np.arange(len(parts))) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], (draws, len(parts)))
    as_large = int((abs(signs @ parts) >= abs(parts.sum()) - 1e-12).sum())
    p_value = as_large / len(signs) if listed else (as_large + 1) / (draws + 1)
    method = f"permutation over {len(first)} people, {'all' if listed else draws} signs of their contributions"
    return PermutationTest(float(parts.sum()), p_value, method if listed else f"{method}, seed {seed}")


def exact_mcnemar(first_correct: Bool[np.ndarray, "n"], second_correct: Bool[np.ndarray, "n"]) -> PairedTest:
    """McNemar's exact test: is one of two systems right more often on the same clips?

    Only clips on which the two differ count; under the null hypothesis each of them is a fair coin toss.

    Args:
        first_correct: Whether the first system got each clip right.
        second_correct: The same clips, in the same order, for the second.

    Returns:
        The counts and the two-sided p value; 1 where the two never differ.

    Source: McNemar, Psychometrika 12 (1947); binomial form in Fagerland et al., BMC Med. Res. Methodol. 13 (2013).

    Example:
        >>> first = np.array([True] * 6 + [False])
        >>> round(exact_mcnemar(first, ~first).p_value, 6)  # 2 * (1 + 7) / 2**7
        0.125
    """
    only_first = int(np.sum(first_correct & ~second_correct))
    only_second = int(np.sum(second_correct & ~first_correct))
    differing, fewer = only_first + only_second, min(only_first, only_second)
    # log C(n, i) for i = 0..fewer, summed in logs: 2**n overflows a float from n = 1024 on.
    i = np.arange(1, fewer + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((differing - i + 1) / i))])
    log_tail = float(np.logaddexp.reduce(log_choose)) - differing * math.log(2)
    return PairedTest(only_first, only_second, min(1.0, 2 * math.exp(log_tail)), "exact McNemar, two-sided")


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests.

    Args:
        p_values: Uncorrected p values of all tests made, in any order.

    Returns:
        The corrected values, in the same order, at most 1. If those below 0.05, say, are called significant, the
        chance of any false alarm among all tests is below 0.05.

    Source: Holm, Scand. J. Statist. 6 (1979) 65-70.

    Example:
        >>> [round(p, 3) for p in correct_holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected.tolist()


def _right(counts: Int[np.ndarray, "s k k"]) -> Int[np.ndarray, "s"]:
    return np.trace(counts, axis1=1, axis2=2)


def _items(counts: Int[np.ndarray, "s k k"]) -> Int[np.ndarray, "s"]:
    return counts.sum((1, 2))
