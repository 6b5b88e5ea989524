"""Overlap of intervals, and which prediction finds which label. Frames are inclusive."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int
from scipy.optimize import linear_sum_assignment

from mer_jax.spotting.interval import Interval


@dataclasses.dataclass(frozen=True)
class Match:
    """A label that was found, and the prediction that found it.

    Attributes:
        predicted: Position of the prediction among those of its video, 0-based.
        truth: Position of the label among those of its video, 0-based.
        iou: Intersection over union of the two.
    """

    predicted: int
    truth: int
    iou: float


def compute_ious(predicted: Sequence[Interval], truth: Sequence[Interval]) -> Float64[np.ndarray, "p l"]:
    """Computes the intersection over union of every prediction with every label, in frames.

    An interval from frame a to frame b has b - a + 1 frames. The quotient is of whole numbers, so a pair that overlaps
    by exactly .3, .5 or .7 compares equal to that number.

    Args:
        predicted: Intervals of one video.
        truth: Labels of the same video.

    Returns:
        A row for each prediction and a column for each label, 0 to 1.

    Example:
        >>> compute_ious([Interval(onset_frame=0, offset_frame=9)], [Interval(onset_frame=0, offset_frame=4)])
        array([[0.5]])
    """
    first, second = _ends(predicted), _ends(truth)
    start = np.maximum(first[:, None, 0], second[None, :, 0])
    end = np.minimum(first[:, None, 1], second[None, :, 1])
    both = np.maximum(0, end - start + 1)
    lengths = [each[:, 1] - each[:, 0] + 1 for each in (first, second)]
    return both / (lengths[0][:, None] + lengths[1][None, :] - both)


def match_intervals(
    predicted: Sequence[Interval],
    truth: Sequence[Interval],
    *,
    iou: float = 0.5,
    ious: Float64[np.ndarray, "p l"] | None = None,
) -> tuple[Match, ...]:
    """Finds as many pairs of a prediction and a label as there can be, each of them in one pair at most.

    A pair is possible within one kind and from an overlap of `iou` on. Among the largest sets of pairs, the one with
    the largest sum of overlaps is taken. The number of pairs does not depend on the order of the intervals.

    Args:
        predicted: Intervals of one video.
        truth: Labels of the same video.
        iou: The least overlap, above 0 to 1.
        ious: Overlaps by another formula; None takes `compute_ious`.

    Returns:
        The pairs, in the order of the predictions.
    """
    if ious is None:
        ious = compute_ious(predicted, truth)
    possible = (ious >= iou) & find_same_kind(predicted, truth)
    # One more pair outweighs any sum of overlaps: they are at most 1 each.
    values = np.where(possible, 1.0 + ious / (1 + min(ious.shape)), 0.0)
    rows, columns = linear_sum_assignment(values, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return tuple(Match(row, column, float(ious[row, column])) for row, column in pairs if possible[row, column])


def find_same_kind(predicted: Sequence[Interval], truth: Sequence[Interval]) -> np.ndarray:
    """Returns whether each prediction is of the kind of each label, `[p, l]`."""
    kinds = [np.array([each.kind for each in intervals], dtype=object) for intervals in (predicted, truth)]
    return (kinds[0][:, None] == kinds[1][None, :]).astype(bool).reshape(len(predicted), len(truth))


def _ends(intervals: Sequence[Interval]) -> Int[np.ndarray, "n 2"]:
    return np.array([(each.onset_frame, each.offset_frame) for each in intervals], np.int64).reshape(-1, 2)
