"""Losses: one value an example, to be averaged by the caller."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mer_jax.errors import ConfigError, near_names
from mer_jax.typing import Labels, Logits, Weights


def cross_entropy(logits: Logits, labels: Labels) -> Weights:
    """Categorical cross-entropy of each example, in nats.

    Args:
        logits: unnormalised log probabilities.
        labels: class indices from 0.

    Source: section 4 of the paper.
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]


def class_weights(labels: Int[np.ndarray, " n"], num_classes: int, kind: str) -> Float[np.ndarray, " k"]:
    """Weight of each class in the loss, from the training labels alone.

    Args:
        labels: of the training items.
        num_classes: k.
        kind: `raw` is W_k = N / n_k as printed: weights of about k on average, which
            under plain SGD would multiply the learning rate by k (Adam divides it out
            again). `normalized` is N / (k n_k), of mean 1 over the items. `none` is 1.

    Returns:
        Weights; 0 for a class without items.

    Raises:
        ConfigError: unknown kind.

    Example:
        >>> class_weights(np.array([0, 0, 0, 1]), 2, "raw").tolist()
        [1.3333333730697632, 4.0]

    Source: equation 1 of the paper.
    """
    counts = np.bincount(labels, minlength=num_classes)
    raw = np.where(counts > 0, len(labels) / np.maximum(counts, 1), 0.0).astype(np.float32)
    kinds = {"raw": raw, "normalized": raw / np.float32(num_classes), "none": (counts > 0).astype(np.float32)}
    if kind not in kinds:
        raise ConfigError(f"got class_weights={kind!r}; {near_names(kind, kinds)}")
    return kinds[kind]


def weighted_mean(values: Float[Array, " b"], weights: Float[Array, " b"]) -> Float[Array, ""]:
    """Sum of weighted values over the sum of weights; 0 where all weights are 0."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1e-12)
