"""How far a score may be from what it estimates: intervals and paired tests.

Clips of one subject are not independent draws: a subject who is hard is hard in all
of them. The interval over clips (Wilson) ignores this and is the usual, too narrow one;
the bootstrap over subjects does not. Both are reported, each with its method's name.

Everything is deterministic by seed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Int

# Draws held in memory at once: 1,000 draws over 10,000 different subjects are 80 MB.
DRAWS_AT_ONCE = 1_000


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
    distinct, frequency = np.unique(flat, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    values: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for start in range(0, draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, draws - start)
        drawn = rng.multinomial(len(flat), frequency / len(flat), size=size)
        # In float64: NumPy multiplies integer matrices without BLAS. Exact up to 2**53 counts.
        sums = (drawn.astype(float) @ distinct.astype(float)).reshape(size, num_classes, num_classes)
        for name, function in statistics.items():
            values[name].append(function(sums))
    tail = 100 * (1 - level) / 2
    method = f"percentile bootstrap over {len(flat)} subjects, {draws} draws, seed {seed}"
    intervals = {}
    for name, parts in values.items():
        low, high = np.percentile(np.concatenate(parts), [tail, 100 - tail])
        intervals[name] = Interval(float(low), float(high), level, method)
    return intervals


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
