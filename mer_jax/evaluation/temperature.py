"""Temperature scaling, and when a calibrated answer is better withheld.

A network trained to the end is too sure of itself. One number, the temperature, divides its logits so that its
confidence matches its accuracy; the predicted classes stay the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mer_jax.evaluation.calibration import brier

LEAST, MOST = 0.05, 20.0  # temperatures that are searched
TARGET_ACCURACY = 0.8  # of the answers that are given
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))  # 0.30 to 0.95
_FEWEST_ANSWERS = 10  # below, an accuracy says nothing
_GRID = 61  # a factor of 1.1 from one to the next
_FLOOR = 1e-12  # probabilities of 0 have no logarithm


@dataclass(frozen=True)
class Answered:
    """What is answered at one threshold of the confidence."""

    threshold: float
    answered: int  # items at or above the threshold
    share: float  # of all items
    accuracy: float | None  # of those; None without any


def apply_temperature(probabilities: Float[np.ndarray, "*b k"], temperature: float) -> Float[np.ndarray, "*b k"]:
    """Divides the logits by a temperature: above 1, answers become less sure.

    Args:
        probabilities: Class probabilities; rows sum to 1.
        temperature: Above 0.

    Example:
        >>> apply_temperature(np.array([0.8, 0.2]), 2.0).round(3).tolist()
        [0.667, 0.333]
    """
    logits = np.log(np.maximum(probabilities, _FLOOR)) / temperature
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def fit_temperature(
    probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"], *, loss: str = "brier"
) -> float:
    """Returns the temperature of the lowest loss, from 0.05 to 20.

    Args:
        probabilities: Class probabilities of items that were not trained on.
        true: True class indices, 0-based.
        loss: `brier`, or `likelihood` for its negative logarithm.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
    Differs: they maximise the likelihood. A label that contradicts the face, as happens where people were asked what
    they felt, can cost any amount of it, so that a few such clips make all answers unsure. The Brier score is a proper
    score too, and a clip costs at most 2. `benchmarks.unseen_people` compares the two.
    """
    from scipy.optimize import minimize_scalar  # takes a while to import, and most programs do not fit any

    rows = np.arange(len(true))

    def mean_loss(log_temperature: float) -> float:
        calibrated = apply_temperature(probabilities, float(np.exp(log_temperature)))
        if loss == "likelihood":
            return -float(np.log(np.maximum(calibrated[rows, true], _FLOOR)).mean())
        return brier(calibrated, true)

    low, high = np.log(LEAST), np.log(MOST)
    if loss == "brier":  # it may have several minima: the search is around the lowest point of a grid
        grid = np.linspace(low, high, _GRID)
        lowest = int(np.argmin([mean_loss(each) for each in grid]))
        low, high = grid[max(lowest - 1, 0)], grid[min(lowest + 1, _GRID - 1)]
    found = minimize_scalar(mean_loss, bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def calibrate_strangers(
    probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"], people: Sequence[str]
) -> Float[np.ndarray, "n k"]:
    """Calibrates each person's answers by the temperature of all other people: what to expect of a stranger.

    Args:
        probabilities: Class probabilities of items that were not trained on.
        true: True class indices, 0-based.
        people: Person of each item; at least two.
    """
    person = np.asarray(people)
    calibrated = np.empty_like(probabilities)
    for name in np.unique(person):
        own = person == name
        calibrated[own] = apply_temperature(probabilities[own], fit_temperature(probabilities[~own], true[~own]))
    return calibrated


def tabulate_answers(
    probabilities: Float[np.ndarray, "n k"], true: Int[np.ndarray, "n"], thresholds: Sequence[float] = THRESHOLDS
) -> list[Answered]:
    """Counts what is answered, and how much of it is right, at each threshold of the confidence.

    Args:
        probabilities: Calibrated class probabilities.
        true: True class indices, 0-based.
        thresholds: Confidences, 0 to 1.

    Example:
        >>> tabulate_answers(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), [0.7])[0].accuracy
        1.0
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    rows = []
    for threshold in thresholds:
        chosen = confidence >= threshold
        accuracy = float(right[chosen].mean()) if chosen.any() else None
        rows.append(Answered(threshold, int(chosen.sum()), float(chosen.mean()), accuracy))
    return rows


def choose_threshold(rows: Sequence[Answered], target: float = TARGET_ACCURACY) -> float:
    """Returns the lowest threshold from which on at least `target` of the answers are right; the highest if none does.

    Args:
        rows: From `tabulate_answers`, in increasing order. Those with fewer than 10 answers do not count.
        target: Accuracy of the answers that are given, 0 to 1.
    """
    for row in rows:
        if row.answered >= _FEWEST_ANSWERS and row.accuracy is not None and row.accuracy >= target:
            return row.threshold
    return rows[-1].threshold
