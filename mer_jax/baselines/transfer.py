"""Transfer learning for logistic regression: from pretrained weights or with added source clips.

How much the help counts is chosen inside the people that train: five groups of them, each answered by the other four.
Nobody else is looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mer_jax.baselines.logistic import TOLERANCE, Bias, Weights, balance, fit_logistic, predict_logistic

PENALTIES = (0.03, 0.1, 0.3, 1.0)  # of weights that are pulled towards given ones; 0, the given ones, is tried too
SHARES = (0.0, 0.3, 0.6, 0.9)  # of the added clips in the loss
GROUPS = 5
_COARSE = 1e-4  # tolerance of the fits among which is chosen

Features = Float[np.ndarray, "n d"]
Labels = Int[np.ndarray, " n"]
Linear = tuple[Weights, Bias]


def pull_weights(
    features: Features, labels: Labels, people: Sequence[Any], start: Linear, *, num_classes: int
) -> tuple[Linear, float]:
    """Fits weights regularised towards pretrained ones instead of 0.

    Args:
        features: One row a clip.
        labels: Class indices from 0.
        people: Person of each clip.
        start: Weights and bias towards which they are pulled.
        num_classes: Number of classes k.

    Returns:
        Weights and bias, and the penalty that was chosen of `PENALTIES`; 0 kept the given weights.
    """

    def fit(rows: np.ndarray, penalty: float, tolerance: float) -> Linear:
        if not penalty:
            return start
        return fit_logistic(
            features[rows], labels[rows], num_classes=num_classes, penalty=penalty, prior=start, tolerance=tolerance
        )

    return _choose(features, labels, people, (0.0, *PENALTIES), fit, alone=0.0)


def add_clips(
    features: Features,
    labels: Labels,
    people: Sequence[Any],
    added: tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"]],
    *,
    num_classes: int,
    penalty: float,
) -> tuple[Linear, float]:
    """Fits weights on target clips and weighted source clips.

    Args:
        features: One row for each of one's own clips.
        labels: Class indices from 0.
        people: Person of each of one's own clips.
        added: Features and labels of the added clips.
        num_classes: Number of classes k.
        penalty: See `fit_logistic`.

    Returns:
        Weights and bias, and the share of the added clips in the loss that was chosen of `SHARES`; 0 left them out.
    """
    others, other_labels = added

    def fit(rows: np.ndarray, share: float, tolerance: float) -> Linear:
        own, own_labels = features[rows], labels[rows]
        if not share:
            return fit_logistic(own, own_labels, num_classes=num_classes, penalty=penalty, tolerance=tolerance)
        return fit_logistic(
            np.concatenate([own, others]),
            np.concatenate([own_labels, other_labels]),
            num_classes=num_classes,
            penalty=penalty,
            importance=np.concatenate([(1 - share) * balance(own_labels), share * balance(other_labels)]),
            tolerance=tolerance,
        )

    return _choose(features, labels, people, SHARES, fit, alone=SHARES[-1])


def _choose(
    features: Features,
    labels: Labels,
    people: Sequence[Any],
    values: Sequence[float],
    fit: Callable[[np.ndarray, float, float], Linear],
    alone: float,
) -> tuple[Linear, float]:
    """Chooses a hyperparameter by cross-validation over people (the first of equals), then refits on all of them.

    Classes count alike in the loss, as they do in training. One person leaves nobody out: then it is `alone`.
    """
    everyone = np.arange(len(labels))
    groups = list(_groups(people))
    if len(groups) < 2:
        return fit(everyone, alone, TOLERANCE), alone
    weights, losses = balance(labels), []
    for value in values:
        loss = 0.0
        for group in groups:
            fitted = fit(np.setdiff1d(everyone, group), value, _COARSE)
            shares = predict_logistic(features[group], *fitted)[np.arange(len(group)), labels[group]]
            loss -= float(weights[group] @ np.log(np.maximum(shares, 1e-12)))
        losses.append(loss)
    chosen = values[int(np.argmin(losses))]
    return fit(everyone, chosen, TOLERANCE), chosen


def _groups(people: Sequence[Any]) -> Iterator[np.ndarray]:
    """Splits rows into groups of people, so that each corpus is in every group."""
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    group = np.array([numbers[person] for person in people]) % GROUPS
    for number in range(min(GROUPS, len(numbers))):
        yield np.flatnonzero(group == number)
