"""Balanced logistic regression, the same to the last stored bit wherever it is fitted."""

import numpy as np
from jaxtyping import Float, Float32, Int

from mer_jax.errors import ConfigError

_STEPS = 2**12  # of the largest weight: far finer than what changes an answer, far coarser than rounding errors
TOLERANCE = 1e-10  # of the gradient: rounded weights are the same whatever the order of additions

Weights = Float32[np.ndarray, "d k"]
Bias = Float32[np.ndarray, " k"]


def fit_logistic(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    num_classes: int,
    penalty: float,
    prior: tuple[Weights, Bias] | None = None,
    importance: Float[np.ndarray, " n"] | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[Weights, Bias]:
    """Fits weights and bias of a multinomial logistic regression in which classes count alike.

    Minimises `|weights|^2 / 2 + penalty * sum(w_i * loss_i)`, where `w_i` is `balance(labels)` and adds up to 1.
    The mean makes a penalty mean the same for any number of clips; scikit-learn's C is `penalty / n`.
    Weights are rounded to a 4096th of the largest, so that another order of additions does not change them.

    Args:
        features: One row a clip.
        labels: Class indices from 0.
        num_classes: Number of classes k; one without clips gets the bias -30, a probability of 0.
        penalty: How much an error costs, above 0. A small one gives smooth weights.
        prior: Weights and bias that those of other clips are pulled towards, instead of towards 0; with it every class
            is answered, whether or not it has clips.
        importance: `w_i` of each clip instead, adding up to 1.
        tolerance: Of the gradient, where the loss of a clip is about 1.

    Raises:
        ConfigError: The penalty is not above 0.
    """
    if not penalty > 0:
        raise ConfigError(f"got model.penalty={penalty}, expected a number above 0")
    from scipy.optimize import minimize  # takes a while to import

    known = np.unique(labels) if prior is None else np.arange(num_classes)
    target = np.searchsorted(known, labels)
    share = balance(target, penalty) if importance is None else penalty * importance
    mean = features.mean(axis=0)
    centred = (features - mean).astype(np.float64)
    size = centred.shape[1] * len(known)
    start = np.zeros((centred.shape[1], len(known))) if prior is None else prior[0].astype(np.float64)
    shift = np.zeros(len(known)) if prior is None else mean @ start + prior[1]

    pull = 0.0 if prior is None else 1.0  # on the bias, which is free without a prior

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:size].reshape(-1, len(known)), flat[size:]
        logits = centred @ (start + weights) + shift + bias
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        total = shares.sum(axis=1)
        rows = np.arange(len(target))
        value = (
            0.5 * (weights**2).sum()
            + 0.5 * pull * (bias**2).sum()
            + (share * (np.log(total) - logits[rows, target])).sum()
        )
        error = shares / total[:, None]
        error[rows, target] -= 1
        error *= share[:, None]
        gradient = np.concatenate([(weights + centred.T @ error).reshape(-1), error.sum(axis=0) + pull * bias])
        return value / penalty, gradient / penalty

    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 0.0, "gtol": tolerance, "maxcor": 30}
    found = minimize(loss, np.zeros(size + len(known)), jac=True, method="L-BFGS-B", options=options).x
    weights = np.zeros((centred.shape[1], num_classes))
    bias = np.full(num_classes, -30.0)
    weights[:, known] = start + found[:size].reshape(-1, len(known))
    bias[known] = shift + found[size:] - (shift + found[size:]).mean()
    weights = _round(weights)
    bias[known] -= mean @ weights[:, known].astype(np.float64)
    return weights, _round(bias)


def balance(labels: Int[np.ndarray, " n"], total: float = 1.0) -> Float[np.ndarray, " n"]:
    """Weights of clips that add up to a total, and to the same for each class that has clips.

    Example:
        >>> balance(np.array([0, 2, 2])).tolist()
        [0.5, 0.25, 0.25]
    """
    counts = np.bincount(labels)
    return (total / np.count_nonzero(counts) / np.maximum(counts, 1))[labels]


def predict_logistic(features: Float[np.ndarray, "n d"], weights: Weights, bias: Bias) -> Float[np.ndarray, "n k"]:
    """Class probabilities."""
    logits = features @ weights.astype(np.float64) + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _round(values: np.ndarray) -> np.ndarray:
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return values.astype(np.float32)
    step = 2.0 ** np.ceil(np.log2(largest)) / _STEPS
    return (np.round(values / step) * step).astype(np.float32)
