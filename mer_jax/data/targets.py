"""Training targets that a network may receive, and the auxiliary terms of its loss.

The engine minimises the loss of the logits. A network that needs more has four means:

    targets        a keyword of `__call__`, `targets: Targets | None = None`. In a training step it holds labels, action
                   units and progress; anywhere else it is None. The logits that are returned may depend on it.
    losses         a collection: `self.sow("losses", name, value)` adds a term. The value is a scalar, or one number a
                   clip [b], of which the mean over real clips is taken; its weight is the network's own field.
    example_loss   a method from logits [b, k] and labels [b] to a loss of each clip [b], in place of the
                   cross-entropy of the experiment, which may not ask for another loss then. It has no access to
                   parameters.
    class_stats    a collection of running statistics, such as class covariances. It is kept, selected and saved as
                   `batch_stats` is; a network changes it only when it is given targets.

A network with the class attribute `needs_action_units = True` is refused where no clip has any.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mer_jax.data.action_units import ACTION_UNITS, NOT_CODED

LOSSES = "losses"
KEPT_COLLECTIONS = ("params", "batch_stats", "class_stats")


@struct.dataclass
class Targets:
    """Labels and action units of a training batch."""

    # Not checked here: jax.tree puts placeholders of its own into the fields.
    label: Any  # Int[Array, " b"]: class indices
    weights: Any  # Float[Array, " b"]: class weights; 0 for padding
    action_units: Any  # Int[Array, "b u"]: 1, 0, or -1 where a clip was not coded; columns as in ACTION_UNITS
    progress: Any  # Float[Array, ""]: share of the epochs that are done, 0 to below 1

    @property
    def real(self) -> Bool[Array, " b"]:
        """Which clips are real; the others are padding and must not count."""
        return self.weights > 0


def make_targets(
    labels: Int[Array, " b"],
    weights: Float[Array, " b"],
    action_units: Int[Array, "b u"] | None = None,
    progress: Float[Array, ""] | float = 0.0,
) -> Targets:
    """Creates targets; without action units, no clip is coded."""
    if action_units is None:
        action_units = jnp.full((*labels.shape, len(ACTION_UNITS)), NOT_CODED, jnp.int8)
    return Targets(labels, weights, action_units, jnp.asarray(progress, jnp.float32))


def takes_targets(model: nn.Module) -> bool:
    """Whether a network's `__call__` has the keyword `targets`."""
    return "targets" in inspect.signature(type(model).__call__).parameters


def sum_terms(sown: Mapping[str, Any], real: Bool[Array, " b"]) -> Float[Array, ""]:
    """Adds up what a network has sown into `losses`.

    Args:
        sown: The collection; {} for none.
        real: Which clips count.
    """
    total = jnp.zeros((), jnp.float32)
    for value in jax.tree.leaves(sown):
        value = value.astype(jnp.float32)
        if value.ndim:
            value = jnp.where(real, value, 0.0).sum() / jnp.maximum(real.sum(), 1)
        total += value
    return total
