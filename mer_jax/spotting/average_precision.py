"""Average precision of scored predictions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from mer_jax.spotting.interval import Interval
from mer_jax.spotting.matching import compute_ious, find_same_kind


def compute_average_precision(
    predicted: Mapping[str, Sequence[Interval]], truth: Mapping[str, Sequence[Interval]], *, iou: float = 0.5
) -> float:
    """Computes the average precision over all thresholds of the predictions' scores.

    Predictions of all videos are taken in the order of their scores, equal scores together. After each of them the
    number of labels that are found is that of `match_intervals` on the predictions so far, so that one prediction
    never counts for two labels and the highest threshold does not decide which label a prediction keeps.

    Args:
        predicted: By video.
        truth: By video.
        iou: The least overlap, above 0 to 1.

    Returns:
        The sum of precision times gain in recall, 0 to 1; NaN without labels, or if a prediction has no score.

    Source: the step-wise area under the precision-recall curve; Zhu, "Recall, precision and average precision" (2004).
    Differs: codes of the field match predictions in the order of time and ignore their score.
    """
    num_labels = sum(map(len, truth.values()))
    entries = [(each.score, name, index) for name, own in predicted.items() for index, each in enumerate(own)]
    if not num_labels or any(score is None for score, *_ in entries):
        return float("nan")
    matchings = {name: _GrowingMatching(own, truth.get(name, ()), iou) for name, own in predicted.items()}
    entries.sort(key=lambda entry: -(entry[0] or 0.0))
    area, taken, found = 0.0, 0, 0
    for _, group in groupby(entries, key=lambda entry: entry[0]):
        before = found
        for _, name, index in group:
            taken += 1
            found += matchings[name].add(index)
        area += (found - before) * found / taken
    return area / num_labels


class _GrowingMatching:
    """Maximum matching of the predictions added so far; augmenting paths keep it at the maximum."""

    def __init__(self, predicted: Sequence[Interval], truth: Sequence[Interval], iou: float):
        possible = (compute_ious(predicted, truth) >= iou) & find_same_kind(predicted, truth)
        self.labels = [np.flatnonzero(row).tolist() for row in possible]
        self.owner: dict[int, int] = {}

    def add(self, index: int) -> bool:
        """Adds a prediction; returns whether one more label is found."""
        return self._find_label(index, set())

    def _find_label(self, index: int, visited: set[int]) -> bool:
        for label in self._unvisited(index, visited):
            if label not in self.owner or self._find_label(self.owner[label], visited):
                self.owner[label] = index
                return True
        return False

    def _unvisited(self, index: int, visited: set[int]) -> Iterator[int]:
        for label in self.labels[index]:
            if label not in visited:
                visited.add(label)
                yield label
