"""Capsules: vectors whose length says whether something is there, and routing between them."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float

from mer_jax.typing import Labels, Logits, PerClip

_TINY = 1e-9


class RoutedCapsules(nn.Module):
    """A layer of capsules, each of which gathers the votes of those below that agree with it.

    Every capsule below votes for every capsule here, by a matrix for each pair. A vote counts by a softmax over the
    capsules here, of the agreement so far between the vote and the result.

    Parameters: `kernel` [m, n, e, d].
    Collections: `params`. Rngs: none beyond `params` at initialisation.

    Attributes:
        capsules: Number m of capsules.
        features: Width e of each.
        routings: Rounds of routing, 1 or more. Gradients flow through the last one only.
        dtype: Of the arithmetic; None takes that of the input. Parameters are float32.

    Source: Sabour, Frosst and Hinton, "Dynamic routing between capsules", NeurIPS 2017, procedure 1; first weights of
    standard deviation .01 and gradients through the last round alone as in the code of CapsuleNet for
    micro-expressions.
    """

    capsules: int
    features: int = 16
    routings: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b n d"]) -> Float[Array, "*b m e"]:
        """Returns capsules of a length below 1, from those below."""
        kernel = self.param(
            "kernel", nn.initializers.normal(0.01), (self.capsules, x.shape[-2], self.features, x.shape[-1])
        )
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        votes = jnp.einsum("...nd,mned->...mne", x, kernel)
        constant = lax.stop_gradient(votes)
        agreement = jnp.zeros(votes.shape[:-1], votes.dtype)
        for _ in range(self.routings - 1):
            gathered = squash(_gather(agreement, constant))
            agreement += jnp.einsum("...mne,...me->...mn", constant, gathered)
        return squash(_gather(agreement, votes))


def _gather(agreement: Float[Array, "*b m n"], votes: Float[Array, "*b m n e"]) -> Float[Array, "*b m e"]:
    return jnp.einsum("...mn,...mne->...me", nn.softmax(agreement, axis=-2), votes)


def squash(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Shrinks a vector of length s to the length s^2 / (1 + s^2).

    Source: Sabour et al., NeurIPS 2017, equation 1.

    Example:
        >>> [round(x, 3) for x in squash(jnp.array([3.0, 4.0])).tolist()]
        [0.577, 0.769]
    """
    square = (x * x).sum(-1, keepdims=True)
    return x * jnp.sqrt(square + _TINY) / (1 + square)


def capsule_logits(x: Float[Array, "*b k d"]) -> Logits:
    """Logarithm of the length of each class capsule, in float32.

    As logits they make the probability of a class its length over the sum of all lengths.
    """
    x = x.astype(jnp.float32)
    return 0.5 * jnp.log((x * x).sum(-1) + _TINY)


def margin_loss(
    logits: Logits, labels: Labels, *, present: float = 0.99, absent: float = 0.01, share: float = 0.5
) -> PerClip:
    """Margin loss of each clip: the right capsule should be long, the others short.

    Args:
        logits: From `capsule_logits`.
        labels: Class indices from 0.
        present: Length above which the capsule of the right class costs nothing.
        absent: Length below which another capsule costs nothing.
        share: Weight of the other classes.

    Source: Sabour et al., NeurIPS 2017, equation 4, with margins .9 and .1; these are of the code of CapsuleNet for
    micro-expressions.

    Example:
        >>> lengths = jnp.array([[0.99, 0.01, 0.11]])
        >>> margin_loss(jnp.log(lengths), jnp.array([0])).round(4).tolist()
        [0.004999999888241291]
    """
    lengths = jnp.exp(logits)
    right = nn.one_hot(labels, logits.shape[-1])
    terms = right * nn.relu(present - lengths) ** 2 + share * (1 - right) * nn.relu(lengths - absent) ** 2
    return terms.sum(-1)
