"""True positives, false alarms and misses, and what is computed from them."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of one kind of expression, or their sums over kinds and videos.

    Attributes:
        true_positives: Labels that were found, each once.
        false_positives: Predictions that found no label: false alarms.
        false_negatives: Labels that were not found: misses.
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    @property
    def num_labels(self) -> int:
        """Labels, found or not."""
        return self.true_positives + self.false_negatives

    @property
    def num_predictions(self) -> int:
        """Predictions, right or not."""
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> float:
        """Share of the predictions that are right; NaN without predictions."""
        return _divide(self.true_positives, self.num_predictions)

    @property
    def recall(self) -> float:
        """Share of the labels that were found; NaN without labels."""
        return _divide(self.true_positives, self.num_labels)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN with neither labels nor predictions."""
        return _divide(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def sum_counts(counts: Iterable[Counts]) -> Counts:
    """Sums counts over kinds or videos.

    Example:
        >>> sum_counts([Counts(1, 1, 0), Counts(1, 0, 2)]).f1
        0.5714285714285714
    """
    return sum(counts, Counts())


def _divide(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
