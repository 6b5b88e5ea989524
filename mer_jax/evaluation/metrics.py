"""Scores as functions of confusion matrices.

Rows are true classes, columns predicted ones. Predictions of all folds are pooled into one matrix before anything is
divided (MEGC 2019): a mean over folds gives a subject with two clips the weight of one with forty, and is undefined
where a fold lacks a class.

Absent classes, everywhere in this file:

*   A recall needs the class in the truth, a precision needs it in the predictions, an F1 needs it in one of the two.
    Otherwise the value is undefined: NaN here, null in JSON. It is not 0: 0 means that there were clips and all were
    missed.
*   UF1 and UAR average over the classes in the *truth*: a class without test clips cannot be recalled. A clip wrongly
    predicted as such a class still counts as a miss of its own class.
*   Macro F1 averages over the classes in the truth *or* the predictions, as scikit-learn does: a class that is
    predicted but never true has an F1 of 0. On a test set that holds every class, UF1 and macro F1 are equal.

Source: equations (2) to (6) of the paper; UF1 and UAR from See et al., "MEGC 2019".
Differs: equation (2) counts true negatives, and equation (6) false positives *and* false negatives, which is right for
    two classes. With k classes and one answer per clip, every error is one false positive and one false negative, so
    the equations, taken literally, count it twice. Here accuracy is the share of clips predicted correctly, and the
    error rate is 1 - accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import gammaln, xlogy

from mer_jax.errors import MerError

Counts = Real[np.ndarray, "*b k k"]  # rows are true classes, columns predicted ones
Scores = Float[np.ndarray, "*b"] | np.floating  # NumPy returns a scalar, not an array, where *b is empty
Statistics = Mapping[str, Callable[[np.ndarray], Any]]  # functions of Counts that return Scores, by name

DEFINITIONS = {
    "accuracy": "Share of test items predicted correctly.",
    "error_rate": "1 − accuracy.",
    "precision": "Share of the items predicted as a class that truly belong to it.",
    "recall": "Share of the items of a class that are predicted as it.",
    "f1": "2 × precision × recall / (precision + recall), which is 2 TP / (2 TP + FP + FN).",
    "precision_macro": "Mean precision over the classes in the truth or the predictions; 0 for a class never "
    "predicted. Some papers print it as UAR, which it is not.",
    "f1_macro": "Mean F1 over the classes in the truth or the predictions.",
    "f1_weighted": "Mean F1 over the classes, each weighted by its share of the truth.",
    "f1_micro": "F1 from true and false positives summed over classes; equals accuracy for one answer per item.",
    "uf1": "Mean F1 over the classes in the truth, from counts pooled over all folds (MEGC 2019).",
    "uar": "Mean recall over the classes in the truth, from counts pooled over all folds (MEGC 2019).",
}


class PredictionsError(MerError, ValueError):
    """Predictions that cannot be scored.

    Cause: no rows, an unknown class, invalid probabilities, or columns of different lengths. Cure: the message names
    the first offending row or value.
    """


def confusion_matrix(
    true: Int[np.ndarray, "n"], predicted: Int[np.ndarray, "n"], num_classes: int
) -> Int[np.ndarray, "k k"]:
    """Counts how often each true class was predicted as each class.

    Args:
        true: Class indices, 0-based.
        predicted: Class indices, 0-based.
        num_classes: Number of classes, present or not.

    Returns:
        Counts; rows are the true classes, columns the predicted ones.

    Raises:
        PredictionsError: An index outside 0 to num_classes - 1.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
        array([[1, 1, 0],
               [0, 1, 0],
               [0, 0, 0]])
    """
    return confusion_by_group(true, predicted, np.zeros(true.shape, int), num_classes, num_groups=1)[0]


def confusion_by_group(
    true: Int[np.ndarray, "n"],
    predicted: Int[np.ndarray, "n"],
    group: Int[np.ndarray, "n"],
    num_classes: int,
    *,
    num_groups: int,
) -> Int[np.ndarray, "g k k"]:
    """Computes one confusion matrix for each group, such as each subject.

    Args:
        true: Class indices, 0-based.
        predicted: Class indices, 0-based.
        group: Group index of each item, 0 to num_groups - 1.
        num_classes: Number of classes, present or not.
        num_groups: Number of groups; a group without items gets a matrix of zeros.

    Returns:
        Counts; their sum over the groups is `confusion_matrix`.

    Raises:
        PredictionsError: A class index outside 0 to num_classes - 1.
    """
    for name, values in (("true", true), ("predicted", predicted)):
        outside = np.flatnonzero((values < 0) | (values >= num_classes))
        if outside.size:
            raise PredictionsError(
                f"{name} class of row {outside[0]} is {values[outside[0]]}; expected 0 to {num_classes - 1} "
                f"({num_classes} classes). Name every class that the predictions use."
            )
    cells = (group.astype(np.int64) * num_classes + true) * num_classes + predicted
    counts = np.bincount(cells, minlength=num_groups * num_classes**2)
    return counts.reshape(num_groups, num_classes, num_classes)


def accuracy(confusion: Counts) -> Scores:
    """Share of items on the diagonal. Source: equation (2)."""
    return _divide(_hits(confusion).sum(-1), confusion.sum((-2, -1)))


def error_rate(confusion: Counts) -> Scores:
    """1 − accuracy. Source: equation (6), read for k classes (see the module's docstring)."""
    return 1.0 - accuracy(confusion)


def precision(confusion: Counts) -> Float[np.ndarray, "*b k"]:
    """Precision of each class; NaN for a class never predicted. Source: equation (5)."""
    return _divide(_hits(confusion), confusion.sum(-2))


def recall(confusion: Counts) -> Float[np.ndarray, "*b k"]:
    """Recall of each class; NaN for a class that is never true. Source: equation (4)."""
    return _divide(_hits(confusion), confusion.sum(-1))


def f1(confusion: Counts) -> Float[np.ndarray, "*b k"]:
    """F1 of each class; NaN for a class neither true nor predicted. Source: equation (3)."""
    return _divide(2 * _hits(confusion), confusion.sum(-1) + confusion.sum(-2))


def precision_macro(confusion: Counts) -> Scores:
    """Mean precision over the classes in the truth or the predictions; a class never predicted counts as 0.

    Not to be confused with UAR: the UAR published for STSTNet is the macro precision of its predictions.
    """
    seen = (confusion.sum(-1) > 0) | (confusion.sum(-2) > 0)
    return _mean(np.nan_to_num(precision(confusion)), seen)


def f1_macro(confusion: Counts) -> Scores:
    """Mean F1 over the classes in the truth or the predictions."""
    values = f1(confusion)
    return _mean(values, ~np.isnan(values))


def f1_weighted(confusion: Counts) -> Scores:
    """Mean F1 weighted by how often each class is true."""
    support = confusion.sum(-1)
    return _divide((np.nan_to_num(f1(confusion)) * support).sum(-1), support.sum(-1))


def f1_micro(confusion: Counts) -> Scores:
    """F1 of the counts summed over classes; with one answer per item this is accuracy."""
    hits = _hits(confusion).sum(-1)
    misses = confusion.sum((-2, -1)) - hits  # each is one false positive and one false negative
    return _divide(2 * hits, 2 * hits + 2 * misses)


def uf1(confusion: Counts) -> Scores:
    """Unweighted F1: mean F1 over the classes in the truth. Source: MEGC 2019."""
    return _mean(f1(confusion), confusion.sum(-1) > 0)


def uar(confusion: Counts) -> Scores:
    """Unweighted average recall over the classes in the truth. Source: MEGC 2019."""
    return _mean(recall(confusion), confusion.sum(-1) > 0)


def score_chance(confusion: Real[np.ndarray, "k k"]) -> dict[str, float]:
    """Expected accuracy, UF1 and UAR of uniform random guessing on the items of a confusion matrix.

    The UF1 is the mean over guesses, which is a little lower than the UF1 of the mean counts.

    Example:
        >>> chance = score_chance(np.diag([250, 109, 83]))  # the composite of MEGC 2019
        >>> round(chance["accuracy"], 4), round(chance["uf1"], 3), round(chance["uar"], 4)
        (0.3333, 0.314, 0.3333)
    """
    support, share = np.asarray(confusion.sum(1), float), 1 / len(confusion)
    f1s = [_expected_f1(own, support.sum() - own, share) for own in support if own]
    return {"accuracy": share, "uf1": float(np.mean(f1s)), "uar": share}


def guess_majority(confusion: Counts) -> Float[np.ndarray, "*b k k"]:
    """Counts of always predicting the most frequent true class: the best constant prediction."""
    support = confusion.sum(-1)
    answer = np.arange(confusion.shape[-1]) == support.argmax(-1)[..., None]
    return support[..., :, None] * answer[..., None, :].astype(float)


def score(confusion: Real[np.ndarray, "k k"], class_names: Sequence[str]) -> dict[str, Any]:
    """Computes all scores of one confusion matrix, ready for JSON (undefined values are None).

    Args:
        confusion: Counts; rows are the true classes, columns the predicted ones.
        class_names: One name per row.

    Returns:
        `accuracy`, `error_rate`, `f1_macro`, `f1_weighted`, `f1_micro`, `uf1`, `uar`, `precision_macro`, `confusion`,
        and `per_class` by name: `precision`, `recall`, `f1`, `support`, `predicted`.

    Raises:
        PredictionsError: No items, or a wrong number of class names.

    Example:
        >>> scores = score(np.array([[2, 0], [1, 1]]), ["negative", "positive"])
        >>> scores["accuracy"], scores["uar"], scores["per_class"]["positive"]["recall"]
        (0.75, 0.75, 0.5)
    """
    if len(class_names) != len(confusion):
        raise PredictionsError(f"{len(class_names)} class names for {len(confusion)} classes: give one name for each.")
    if not confusion.sum():
        raise PredictionsError("no predictions to score: expected at least one tested item.")
    columns = {"precision": precision(confusion), "recall": recall(confusion), "f1": f1(confusion)}
    totals = {"support": confusion.sum(1), "predicted": confusion.sum(0)}
    per_class = {
        name: {key: _plain(values[index]) for key, values in (columns | totals).items()}
        for index, name in enumerate(class_names)
    }
    functions = (accuracy, error_rate, f1_macro, f1_weighted, f1_micro, uf1, uar, precision_macro)
    scores: dict[str, Any] = {function.__name__: _plain(function(confusion)) for function in functions}
    return scores | {"confusion": confusion.tolist(), "per_class": per_class}


def _expected_f1(own: float, others: float, share: float) -> float:
    """Expected F1 of a class if each item, its own and others, is predicted as it with this probability."""
    hits, p_hits = _binomial(own, share)
    false, p_false = _binomial(others, share)
    values = 2 * hits[:, None] / (own + hits[:, None] + false)
    return float(p_hits @ values @ p_false)


def _binomial(number: float, share: float) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
    """Values of a binomial variable within 8 standard deviations of the mean, at most some 400, and their weights."""
    mean, reach = number * share, 8 * np.sqrt(number * share * (1 - share)) + 1
    low, high = np.ceil(max(0.0, mean - reach)), np.floor(min(number, mean + reach))
    values = np.arange(low, high + 1, max(1, round(reach / 200)))
    log_choose = gammaln(number + 1) - gammaln(values + 1) - gammaln(number - values + 1)
    log_weights = log_choose + xlogy(values, share) + xlogy(number - values, 1 - share)
    weights = np.exp(log_weights - log_weights.max())
    return values, weights / weights.sum()


def _hits(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _divide(numerator: Any, denominator: Any) -> Any:
    with np.errstate(invalid="ignore"):  # 0/0 is the NaN that stands for "undefined"
        return np.true_divide(numerator, denominator)


def _mean(values: np.ndarray, where: np.ndarray) -> Any:
    return _divide(np.where(where, values, 0.0).sum(-1), where.sum(-1))


def _plain(value: Any) -> float | int | None:
    number = value.item()
    return None if number != number else number  # NaN is the number that differs from itself
