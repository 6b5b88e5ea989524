"""How far a score may be from what it estimates: intervals and paired tests.

Clips of one subject are not independent draws: a subject who is hard is hard in all
of them. The interval over clips (Wilson) ignores this and is the usual, too narrow one;
the bootstrap over subjects does not. Both are reported, each with its method's name.

Everything is deterministic by seed.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float, Int

# Held in memory at once: 1,000 draws over 10,000 different subjects, of 8 bytes each.
NUMBERS_AT_ONCE = 10_000_000
# From so many different subjects on, drawing them one by one is faster than a multinomial, and the law is the same.
MANY_SUBJECTS = 10_000
# All exchanges of two systems are looked at up to so many; beyond, some are drawn.
EXCHANGES_LISTED = 2**14


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    level: float  # 0.95 for 95 %
    method: str


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same clips: who was right where the other was wrong."""

    only_first: int  # clips that only the first system got right
    only_second: int
    p_value: float  # two-sided
    method: str


@dataclass(frozen=True)
class PermutationTest:
    """The difference of two systems in one score, and how often chance makes one as large."""

    difference: float
    p_value: float  # two-sided
    method: str


def wilson_interval(proportion: float, num_clips: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of clips.

    It stays within 0 and 1 and keeps its width where all or none are right, as
    the textbook interval (p ± 1.96 s.e.) does not.

    Args:
        proportion: The share, 0 to 1. It need not be a multiple of 1/num_clips: with several
            copies or seeds of a clip it is the mean over them.
        num_clips: Different clips behind the share. Copies and repetitions of a
            clip bring no new clip, so they do not count.
        level: Coverage, between 0 and 1.

    Returns:
        The interval.

    Raises:
        ValueError: A share outside 0..1, or no clips.

    Source: Wilson, JASA 22 (1927); Brown, Cai, DasGupta, Statist. Sci. 16 (2001).

    Example:
        >>> interval = wilson_interval(0.5, 10)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.2366, 0.7634)
    """
    if not 0.0 <= proportion <= 1.0 or num_clips < 1:
        raise ValueError(f"a share of {proportion} of {num_clips} clips: expected 0 to 1 of at least one clip.")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    shrink = 1 + z * z / num_clips
    centre = (proportion + z * z / (2 * num_clips)) / shrink
    half = z / shrink * math.sqrt(proportion * (1 - proportion) / num_clips + (z / (2 * num_clips)) ** 2)
    # At the ends the limit is 0 or 1 exactly; rounding may leave 1e-17.
    low = 0.0 if proportion == 0.0 else max(0.0, centre - half)
    high = 1.0 if proportion == 1.0 else min(1.0, centre + half)
    return Interval(low, high, level, f"Wilson score, {num_clips} clips")


def newcombe_interval(first: float, first_interval: Interval, second: float, second_interval: Interval) -> Interval:
    """Interval for the difference `first - second` of two shares from their Wilson intervals.

    The two are taken as independent. Two protocols over one corpus share clips, which as a
    rule makes the true interval narrower: this one errs on the side of caution.

    Args:
        first: A share, 0 to 1.
        first_interval: Its Wilson interval.
        second: The share that is subtracted.
        second_interval: Its Wilson interval, at the same level.

    Returns:
        The interval, within -1 and 1.

    Source: Newcombe, Statist. Med. 17 (1998) 873-890, method 10.
    """
    difference = first - second
    below = math.hypot(first - first_interval.low, second_interval.high - second)
    above = math.hypot(first_interval.high - first, second - second_interval.low)
    method = "Newcombe hybrid score, the two taken as independent"
    return Interval(difference - below, difference + above, first_interval.level, method)


def bootstrap_over_subjects(
    counts: Int[np.ndarray, "s k k"],
    statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    *,
    seed: int,
    draws: int = 10_000,
    level: float = 0.95,
    unit: str = "subjects",
) -> dict[str, Interval]:
    """Percentile intervals from drawing whole subjects with replacement.

    A draw is a sum of the subjects' confusion matrices, so its cost does not depend on
    the number of predictions. Subjects with equal matrices are drawn together, as one cell
    of a multinomial: exact, and it keeps a million one-clip subjects as cheap as nine.

    Args:
        counts: Confusion matrix of every subject; rows are true classes.
        statistics: Functions of counts `[*b k k]`, such as `metrics.uf1`, by name. A draw may lack a class
            that only few subjects have; each function treats it as documented there.
        seed: Same seed, same intervals.
        draws: Bootstrap samples.
        level: Coverage, between 0 and 1.
        unit: What is drawn, for the method's name; clips where subjects are unknown.

    Returns:
        An interval for each statistic.

    Raises:
        ValueError: Fewer than two subjects have predictions: nothing can be said about subjects from one.
    """
    num_subjects, num_classes = counts.shape[:2]
    flat = counts.reshape(num_subjects, -1)
    flat = flat[flat.any(axis=1)]
    if len(flat) < 2:
        raise ValueError(f"{len(flat)} subjects with predictions: a bootstrap over subjects needs at least 2.")
    values: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for sums in _draw_sums(flat, np.random.default_rng(seed), draws):
        for name, function in statistics.items():
            values[name].append(function(sums.reshape(-1, num_classes, num_classes)))
    method = f"percentile bootstrap over {len(flat)} {unit}, {draws} draws, seed {seed}"
    return {name: _percentiles(parts, level, method) for name, parts in values.items()}


def bootstrap_difference(
    first: Int[np.ndarray, "s k k"],
    second: Int[np.ndarray, "s k k"],
    statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    *,
    seed: int,
    draws: int = 10_000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals for the difference `first - second`, drawing subjects with all that both say of them.

    Args:
        first: Confusion matrix of every subject by one system.
        second: The same subjects, in the same order, by another, on the same clips.
        statistics: Functions of counts `[*b k k]` by name.
        seed: Same seed, same intervals.
        draws: Bootstrap samples.
        level: Coverage, between 0 and 1.

    Returns:
        An interval for each statistic.

    Raises:
        ValueError: Fewer than two subjects.
    """
    num_subjects, num_classes = first.shape[:2]
    if num_subjects < 2:
        raise ValueError(f"{num_subjects} subjects: a bootstrap over subjects needs at least 2.")
    flat = np.concatenate([first.reshape(num_subjects, -1), second.reshape(num_subjects, -1)], axis=1)
    values: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for sums in _draw_sums(flat, np.random.default_rng(seed), draws):
        both = sums.reshape(-1, 2, num_classes, num_classes)
        for name, function in statistics.items():
            values[name].append(function(both[:, 0]) - function(both[:, 1]))
    method = f"percentile bootstrap over {num_subjects} subjects, the same for both, {draws} draws, seed {seed}"
    return {name: _percentiles(parts, level, method) for name, parts in values.items()}


def permute_subjects(
    first: Int[np.ndarray, "s k k"],
    second: Int[np.ndarray, "s k k"],
    statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    *,
    seed: int,
    draws: int = 10_000,
) -> dict[str, PermutationTest]:
    """Permutation test over subjects: would so large a difference come of exchanging the two systems?

    If neither is better, which of the two gave a subject's answers is a fair coin. All answers of a subject are
    exchanged together, because they are not independent. Up to 14 subjects, all exchanges are looked at.

    Args:
        first: Confusion matrix of every subject by one system.
        second: The same subjects, in the same order, by another, on the same clips.
        statistics: Functions of counts `[*b k k]` by name.
        seed: Same seed, same result.
        draws: Exchanges that are drawn where there are too many to list.

    Returns:
        A test for each statistic, with two-sided p values. A drawn one is never below 1 / (draws + 1).

    Source: Good, Permutation Tests (2000); Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) for the + 1.

    Example:
        >>> counts = np.array([[[1, 0], [0, 0]]] * 5), np.array([[[0, 1], [0, 0]]] * 5)  # all right, all wrong
        >>> share_right = lambda c: np.trace(c, axis1=-2, axis2=-1) / c.sum((-2, -1))
        >>> permute_subjects(*counts, {"accuracy": share_right}, seed=0)["accuracy"].p_value  # 2 / 2**5
        0.0625
    """
    num_subjects, num_classes = first.shape[:2]
    differing = (first != second).any((1, 2))
    listed = 2 ** int(differing.sum()) <= EXCHANGES_LISTED
    # Only subjects on whom the two differ matter; the others add the same to both.
    a, b = (counts[differing].reshape(-1, num_classes**2).astype(float) for counts in (first, second))
    if listed:
        exchanges = [(np.arange(2 ** len(a))[:, None] >> np.arange(len(a))) & 1]
        number = 2 ** len(a)
        method = f"permutation over {num_subjects} subjects, all {number} exchanges of the {len(a)} that differ"
    else:
        rng, at_once = np.random.default_rng(seed), max(1, NUMBERS_AT_ONCE // len(a))
        sizes = [min(at_once, draws - start) for start in range(0, draws, at_once)]
        exchanges = (rng.integers(0, 2, (size, len(a)), dtype=np.int8) for size in sizes)
        number = draws
        method = f"permutation over {num_subjects} subjects, {draws} exchanges, seed {seed}"
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


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p values that may be read one by one although several tests were made.

    Args:
        p_values: Of all tests that were made, in any order.

    Returns:
        The corrected values, in the same order, at most 1. Below 0.05, for instance, the chance of a single false
        alarm among all tests is below 0.05.

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


def _draw_sums(
    flat: Int[np.ndarray, "s n"], rng: np.random.Generator, draws: int
) -> Iterator[Float[np.ndarray, "b n"]]:
    """Draws rows with replacement, as many as there are, and sums them; some draws at a time."""
    distinct, frequency = np.unique(flat, axis=0, return_counts=True)
    one_by_one = len(distinct) >= MANY_SUBJECTS
    rows = (flat if one_by_one else distinct).astype(float)
    at_once = max(1, min(1_000, NUMBERS_AT_ONCE // len(rows)))
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        if one_by_one:
            picked = rng.integers(0, len(flat), (size, len(flat)), dtype=np.int32)
            drawn = np.stack([np.bincount(each, minlength=len(flat)) for each in picked])
        else:
            drawn = rng.multinomial(len(flat), frequency / len(flat), size=size)
        # In float64: NumPy multiplies integer matrices without BLAS. Exact up to 2**53 counts.
        yield drawn.astype(float) @ rows


def _percentiles(parts: list[np.ndarray], level: float, method: str) -> Interval:
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(parts), [tail, 100 - tail])
    return Interval(float(low), float(high), level, method)


def exact_mcnemar(first_correct: Bool[np.ndarray, "n"], second_correct: Bool[np.ndarray, "n"]) -> PairedTest:
    """McNemar's exact test: is one of two systems right more often on the same clips?

    Only clips on which the two differ count; if neither is better, each such clip is a fair coin.

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
    log_tail = np.logaddexp.reduce(log_choose) - differing * math.log(2)
    p_value = min(1.0, 2 * math.exp(log_tail))
    return PairedTest(only_first, only_second, p_value, "exact McNemar, two-sided")
