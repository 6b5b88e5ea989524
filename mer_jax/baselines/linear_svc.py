"""The linear support vector classifier of all baselines."""

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
    train, test = (train - mean) / length, (test - mean) / length
    classifier = LinearSVC(C=penalty, class_weight="balanced", max_iter=100_000, random_state=seed)
    decision = classifier.fit(train, labels).decision_function(test)
    if decision.ndim == 1:  # two classes have one value
        decision = np.stack([-decision, decision], axis=1)
    scores = np.full((len(test), num_classes), -np.inf)
    scores[:, classifier.classes_] = decision
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
