"""Losses: one value an example, to be averaged by the caller."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mer_jax.config import Optimization
from mer_jax.errors import ConfigError, near_names
from mer_jax.typing import Labels, Logits, PerClip

EFFECTIVE_BETA = 0.99  # Cui et al. try 0.9 to 0.9999, for thousands of items; corpora here have a few hundred


def cross_entropy(logits: Logits, labels: Labels, *, label_smoothing: float = 0.0) -> PerClip:
    """Categorical cross-entropy of each example, in nats.

    Args:
        logits: unnormalised log probabilities.
        labels: class indices from 0.
        label_smoothing: share of the target that goes to all classes alike, 0 to below 1.

    Source: section 4 of the paper; smoothing: Szegedy et al., CVPR 2016.
    """
    log_p = jax.nn.log_softmax(logits)
    loss = -jnp.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing * log_p.mean(-1)
    return loss


def focal_loss(logits: Logits, labels: Labels, *, gamma: float, label_smoothing: float = 0.0) -> PerClip:
    """Cross-entropy of each example times `(1 - p)^gamma`, p the probability of its class: easy ones count less.

    Args:
        logits: unnormalised log probabilities.
        labels: class indices from 0.
        gamma: 0 gives the cross-entropy.
        label_smoothing: see `cross_entropy`.

    Source: Lin et al., ICCV 2017, equation 4.
    """
    p = jnp.take_along_axis(jax.nn.softmax(logits), labels[..., None], axis=-1)[..., 0]
    # The gradient of 0^gamma is infinite or undefined for gamma below 1.
    return jnp.maximum(1.0 - p, 1e-6) ** gamma * cross_entropy(logits, labels, label_smoothing=label_smoothing)


def example_loss(logits: Logits, labels: Labels, *, optimization: Optimization) -> PerClip:
    """Loss of each example, as the options say.

    Args:
        logits: unnormalised log probabilities.
        labels: class indices from 0.
        optimization: its `loss`, `focal_gamma` and `label_smoothing`.
    """
    smoothing = optimization.label_smoothing
    if optimization.loss == "focal":
        return focal_loss(logits, labels, gamma=optimization.focal_gamma, label_smoothing=smoothing)
    return cross_entropy(logits, labels, label_smoothing=smoothing)


def class_weights(labels: Int[np.ndarray, " n"], num_classes: int, kind: str) -> Float[np.ndarray, " k"]:
    """Weight of each class in the loss, from the training labels alone.

    Args:
        labels: of the training items.
        num_classes: k.
        kind: `raw` is W_k = N / n_k as printed: weights of about k on average, which
            under plain SGD would multiply the learning rate by k (Adam divides it out
            again, up to its eps; clipping and weight decay do not). `normalized` is
            N / (k n_k), of mean 1 over the items. `effective` is proportional to
            (1 - b) / (1 - b^n_k) with b = 0.99, likewise of mean 1 over the items: Cui et
            al., CVPR 2019. `none` is 1.

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
    effective = np.where(counts > 0, (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA ** np.maximum(counts, 1)), 0.0)
    kinds = {
        "raw": raw,
        "normalized": raw / np.float32(num_classes),
        "effective": (effective * len(labels) / (effective @ counts)).astype(np.float32),
        "none": (counts > 0).astype(np.float32),
    }
    if kind not in kinds:
        raise ConfigError(f"got class_weights={kind!r}; {near_names(kind, kinds)}")
    return kinds[kind]


def weighted_mean(values: Float[Array, " b"], weights: Float[Array, " b"]) -> Float[Array, ""]:
    """Sum of weighted values over the sum of weights; 0 where all weights are 0."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1e-12)
