"""Optimisers."""

import optax
from jaxtyping import Array, Float


def make_optimizer(learning_rate: float | Float[Array, ""]) -> optax.GradientTransformation:
    """Adam with optax's defaults (b1 = 0.9, b2 = 0.999, eps = 1e-8).

    Args:
        learning_rate: step size; the paper uses 0.001.

    Source: section 4 of the paper.
    """
    return optax.adam(learning_rate)
