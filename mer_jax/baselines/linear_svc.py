"""The linear support vector classifier of all baselines."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mer_jax.errors import ConfigError


def fit_predict_svc(
    train: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    test: Float[np.ndarray, "m d"],
    *,
    num_classes: int,
    penalty: float,
    seed: int,
) -> Float[np.ndarray, "m k"]:
    """Trains on one side of a fold and predicts the other.

    Features are centred, and scaled by one number to a mean squared length of 1, so that a
    penalty means the same to all of them.

    Args:
        train: Features.
        labels: Class indices from 0.
        test: Features.
        num_classes: Number of classes k.
        penalty: C of the classifier: how much a training error costs. Classes count alike,
            however many clips they have.
        seed: Of the solver's order.

    Returns:
        Softmax of the decision values: they rank classes as the classifier does, and are
        no calibrated probabilities. 0 for a class that was not trained.

    Raises:
        ConfigError: The penalty is not above 0, or scikit-learn is not installed.
    """
    classifier, mean, length = _fit(train, labels, penalty=penalty, seed=seed)
    decision = classifier.decision_function((test - mean) / length)
    if decision.ndim == 1:  # two classes have one value
        decision = np.stack([-decision, decision], axis=1)
    scores = np.full((len(test), num_classes), -np.inf)
    scores[:, classifier.classes_] = decision
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def fit_svc(
    train: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    num_classes: int,
    penalty: float,
    seed: int,
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
    """Trains the classifier of `fit_predict_svc`, and returns it as one linear map of the features.

    Args:
        train: Features.
        labels: Class indices from 0; every class has a clip.
        num_classes: Number of classes k.
        penalty: See `fit_predict_svc`.
        seed: Of the solver's order.

    Returns:
        Weights and bias: the softmax of `features @ weights + bias` is what `fit_predict_svc` returns.

    Raises:
        ConfigError: The penalty is not above 0, scikit-learn is not installed, or a class has no clip.
    """
    if missing := sorted(set(range(num_classes)) - set(labels.tolist())):
        raise ConfigError(f"got no clip of class {missing[0]} to train on; expected clips of all {num_classes} classes")
    classifier, mean, length = _fit(train, labels, penalty=penalty, seed=seed)
    weights, bias = classifier.coef_.T, classifier.intercept_
    if num_classes == 2:
        weights, bias = np.concatenate([-weights, weights], axis=1), np.concatenate([-bias, bias])
    return weights / length, bias - mean @ weights / length


def _fit(
    train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], *, penalty: float, seed: int
) -> tuple[Any, Float[np.ndarray, " d"], float]:
    """The trained classifier, and the centre and scale of its features."""
    if not penalty > 0:
        raise ConfigError(f"got model.penalty={penalty}, expected a number above 0")
    try:
        from sklearn.svm import LinearSVC  # here and when needed: the library does without
    except ImportError as error:
        raise ConfigError(
            "baselines need scikit-learn, which is not installed; `make setup` installs it, and so does "
            "`pip install 'mer_jax[experiments]'`"
        ) from error

    mean = train.mean(axis=0)
    length = max(float(np.sqrt(((train - mean) ** 2).sum(axis=1).mean())), 1e-12)
    classifier = LinearSVC(C=penalty, class_weight="balanced", max_iter=100_000, random_state=seed)
    return classifier.fit((train - mean) / length, labels), mean, length
