"""Confidence intervals for scores and for differences of scores.

The clips of one person are not independent: a person whose face is hard to read is hard to read in every clip.
`people_intervals` and `difference_intervals` allow for that; they are the ones to report. Wilson's interval takes clips
as independent and is too narrow; it is printed as a second line because papers print it.

`benchmarks/coverage.py` simulates how often each kind of interval holds the true value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from mer_jax.evaluation.metrics import Statistics

# With fewer people an interval is marked: that of two people covers (benchmarks/coverage.py), but it spans nearly
# everything, and one person does not tell how people differ.
MIN_PEOPLE = 3
TOO_FEW_PEOPLE = "too few people"


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was computed."""

    low: float
    high: float
    level: float  # 0.95 for 95 %
    method: str
    note: str = ""  # a reservation to print beside it, such as TOO_FEW_PEOPLE


def wilson_interval(proportion: float, num_clips: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of clips, as if clips were independent.

    Args:
        proportion: The share, 0 to 1. With several copies or seeds of a clip it is the mean over them, so it need not
            be a multiple of 1/num_clips.
        num_clips: Number of different clips. Copies and repetitions of a clip do not count.
        level: Confidence level, between 0 and 1.

    Returns:
        The interval, within 0 and 1.

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
    low, high = _wilson(proportion, num_clips, NormalDist().inv_cdf(0.5 + level / 2))
    return Interval(low, high, level, f"Wilson score, {num_clips} clips")


def people_intervals(
    counts: Int[np.ndarray, "s k k"],
    statistics: Statistics,
    *,
    num_clips: int | None = None,
    level: float = 0.95,
    unit: str = "people",
) -> dict[str, Interval]:
    """Confidence intervals over people for scores between 0 and 1.

    Wilson's interval with an effective number of clips n = p(1 - p) / V, and Student's t in place of the normal
    quantile. The variance V is that of the delete-one-person jackknife, but at least that of independent clips: with
    few people the jackknife may by chance see no variation. The degrees of freedom allow for people with unequal
    numbers of clips: the smaller of (sum n)^2 / sum n^2, where n is a person's number of items, and Satterthwaite's
    2 (sum d^2)^2 / sum d^4, where d is the change of the score without that person.

    Args:
        counts: Confusion matrix of each person; rows are true classes. People without items are ignored.
        statistics: Functions of counts `[*b k k]`, such as `metrics.uf1`, by name.
        num_clips: Number of different clips, if items are copies or repetitions of clips; by default that of items.
        level: Confidence level, between 0 and 1.
        unit: What a row of `counts` is, for the method's name: "clips" where people are unknown.

    Returns:
        An interval for each statistic, within 0 and 1.

    Raises:
        ValueError: Fewer than two people have items: one person does not tell how people differ.

    Source: Korn and Graubard, Survey Methodology 24 (1998) 193-201, and Satterthwaite, Biometrics 2 (1946), for the
        effective number and the degrees of freedom; Efron and Stein, Ann. Statist. 9 (1981), for the jackknife.

    Example:
        >>> counts = np.array([[[5, 1], [1, 3]], [[4, 0], [2, 4]], [[2, 3], [0, 5]], [[6, 1], [2, 1]]])
        >>> share_right = lambda c: np.trace(c, axis1=-2, axis2=-1) / c.sum((-2, -1))
        >>> interval = people_intervals(counts, {"accuracy": share_right})["accuracy"]
        >>> round(interval.low, 2), round(interval.high, 2), interval.method
        (0.53, 0.89, 'effective-sample Wilson over 4 people')
    """
    counts = counts[counts.any((1, 2))]
    if len(counts) < 2:
        raise ValueError(f"{len(counts)} {unit} with items: an interval over {unit} needs at least 2.")
    total, items = counts.sum(0), counts.sum((1, 2))
    number = num_clips or int(items.sum())
    smoothed = _smooth(total * number / items.sum())
    note = TOO_FEW_PEOPLE if unit == "people" and len(counts) < MIN_PEOPLE else ""
    intervals = {}
    for name, function in statistics.items():
        score, smooth_score = float(function(total)), float(function(smoothed))
        changes = _leave_one_out(function(total - counts), score)
        variance = max(float((changes**2).sum()), _clip_variance(function, smoothed))
        # One class alone is always right: no variance, and nothing to be effective about.
        effective = float(smooth_score * (1 - smooth_score) / variance if variance else number)
        low, high = _wilson(score, effective, _quantile(level, items, changes))
        intervals[name] = Interval(low, high, level, f"effective-sample Wilson over {len(counts)} {unit}", note)
    return intervals


def difference_intervals(
    first: Int[np.ndarray, "s k k"],
    second: Int[np.ndarray, "s k k"],
    statistics: Statistics,
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Confidence intervals over people for differences of scores, `first - second`.

    Student's t interval with the variance of the delete-one-person jackknife, in which a person leaves both systems,
    and the degrees of freedom of `people_intervals`. To decide whether two systems differ, use
    `significance.permute_subjects`.

    Args:
        first: Confusion matrix of each person by one system.
        second: The same people, in the same order, by another system. The two may be of different items.
        statistics: Functions of counts `[*b k k]` by name.
        level: Confidence level, between 0 and 1.

    Returns:
        An interval for each statistic, within -1 and 1.

    Raises:
        ValueError: Fewer than two people have items.
    """
    known = (first + second).any((1, 2))
    first, second = first[known], second[known]
    if len(first) < 2:
        raise ValueError(f"{len(first)} people with items: an interval over people needs at least 2.")
    totals, items = (first.sum(0), second.sum(0)), (first + second).sum((1, 2))
    note = TOO_FEW_PEOPLE if len(first) < MIN_PEOPLE else ""
    intervals = {}
    for name, function in statistics.items():
        difference = float(function(totals[0]) - function(totals[1]))
        changes = _leave_one_out(function(totals[0] - first) - function(totals[1] - second), difference)
        half = _quantile(level, items, changes) * math.sqrt((changes**2).sum())
        low, high = max(-1.0, difference - half), min(1.0, difference + half)
        intervals[name] = Interval(low, high, level, f"jackknife t over {len(first)} people, the same for both", note)
    return intervals


def _wilson(share: float, number: float, quantile: float) -> tuple[float, float]:
    """Wilson's limits for a share of a number, which need not be whole."""
    square = quantile * quantile
    shrink = 1 + square / number
    centre = (share + square / (2 * number)) / shrink
    half = quantile / shrink * math.sqrt(share * (1 - share) / number + square / (4 * number * number))
    # At the ends the limit is 0 or 1 exactly; rounding may leave 1e-17.
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return low, high


def _leave_one_out(scores: np.ndarray, score: float) -> Float[np.ndarray, "s"]:
    """Changes of a score without each person; none where nothing is left to score."""
    return np.nan_to_num(np.asarray(scores, float) - score)


def _quantile(level: float, items: Int[np.ndarray, "s"], changes: Float[np.ndarray, "s"]) -> float:
    """Student's t quantile with the degrees of freedom that unequal people leave; see `people_intervals`."""
    weight = items.astype(float)
    freedom = weight.sum() ** 2 / (weight**2).sum()
    if changes.any():
        square = (changes / np.abs(changes).max()) ** 2
        freedom = min(freedom, 2 * square.sum() ** 2 / (square**2).sum())
    return float(stdtrit(freedom, 0.5 + level / 2))


def _smooth(total: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Adds one right and one wrong item to each true class, then scales it back to its size.

    A class without errors would otherwise have no variance.
    """
    num_classes, size = len(total), total.sum(1, keepdims=True)
    wrong = (1 - np.eye(num_classes)) / max(1, num_classes - 1)
    return np.where(size > 0, (total + np.eye(num_classes) + wrong) * size / (size + 2), 0.0)


def _clip_variance(function: Callable[[np.ndarray], Any], total: Float[np.ndarray, "k k"]) -> float:
    """Variance of a score if items were independent: the delta method, with derivatives by central differences."""
    num_classes, step = len(total), 0.01  # items; no smoothed cell is below 1/6 of one
    moves = step * np.eye(num_classes**2).reshape(-1, num_classes, num_classes)
    slopes = (function(total + moves) - function(total - moves)).reshape(total.shape) / (2 * step)
    slopes = np.where(total > 0, slopes, 0.0)
    mean = (total * slopes).sum() / total.sum()
    return float((total * (slopes - mean) ** 2).sum())
