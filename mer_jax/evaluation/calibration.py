"""Calibration: whether a network that is 80 % sure is right in 80 % of the cases.

Both scores need probabilities and look at the most probable class. Neither measures accuracy: a network that always
answers with the class frequencies is calibrated.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BINS = 10

DEFINITIONS = {
    "ece": f"Expected calibration error: over {BINS} bins of equal width of the highest probability, the distance "
    "between its mean and the accuracy, each bin weighted by its items. 0 is best.",
    "brier": "Brier score: mean over items of the squared distance between the probabilities and the truth (1 for the "
    "true class, 0 for the others), summed over classes. 0 is best, 2 worst.",
}


@dataclass(frozen=True)
class Bin:
    """The items whose highest probability lies above `low` and not above `high`."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean of the highest probability; None without items
    accuracy: float | None


def bin_confidences(
    probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"], *, bins: int = BINS
) -> list[Bin]:
    """Divides items by their highest probability into bins of equal width from 0 to 1.

    Args:
        probabilities: Class probabilities of each item; rows sum to 1.
        true: True class indices, 0-based.
        bins: Number of bins.

    Returns:
        All bins, including empty ones.

    Example:
        >>> last = bin_confidences(np.array([[0.95, 0.05], [0.97, 0.03]]), np.array([0, 1]))[-1]
        >>> last.count, round(last.confidence, 2), last.accuracy
        (2, 0.96, 0.5)
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)
    sums = [np.bincount(number, weights=values, minlength=bins) for values in (confidence, right)]
    return [
        Bin(i / bins, (i + 1) / bins, int(n), *((float(each[i] / n) for each in sums) if n else (None, None)))
        for i, n in enumerate(counts)
    ]


def ece(probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"], *, bins: int = BINS) -> float:
    """Expected calibration error. Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017.

    It depends on the bins, and with few clips it is far from 0 even for a calibrated network.
    """
    total = 0.0
    for each in bin_confidences(probabilities, true, bins=bins):
        if each.confidence is not None and each.accuracy is not None:
            total += each.count * abs(each.accuracy - each.confidence)
    return total / len(true)


def brier(probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"]) -> float:
    """Brier score, summed over classes. Source: Brier, Monthly Weather Review 78 (1950)."""
    return float(((probabilities - np.eye(probabilities.shape[1])[true]) ** 2).sum(1).mean())
