"""What training changes: one value, saved whole and resumed bit for bit."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array

from mer_jax.data.targets import LOSSES
from mer_jax.typing import PRNGKey


@struct.dataclass
class TrainState:
    """Weights and everything that decides how training goes on.

    Several lanes (folds under seeds) are one such value whose arrays have a leading axis.

    Attributes:
        params: weights after `epoch` epochs.
        model_state: the model's other collections, such as `batch_stats` and `class_stats`; often empty.
        opt_state: of the optimiser.
        epoch: epochs done.
        best_params: weights after the epoch that is to be tested: the one with the lowest
            validation loss of those that may be chosen, or the last one.
        best_model_state: the other collections after that epoch.
        best_loss: its validation loss.
        best_epoch: that epoch, counted from 1; 0 before the first.
        stopped: no further epoch is needed: early stopping, or a loss that is not finite.
        failed_epoch: the epoch (from 1) whose loss was not finite; 0 if none was.
            `params` are then those before that epoch.
        test_best: with the diagnostic `test_best`, the highest test accuracy of any epoch
            so far, that `epoch`, and the test items' `probabilities` then; else None.
    """

    # Checked by nobody: orbax and jax.tree put placeholders of their own into the fields.
    params: Any
    model_state: Any
    opt_state: Any  # optax.OptState
    epoch: Any  # Int[Array, ""]
    best_params: Any
    best_model_state: Any
    best_loss: Any  # Float[Array, ""]
    best_epoch: Any  # Int[Array, ""]
    stopped: Any  # Bool[Array, ""]
    failed_epoch: Any  # Int[Array, ""]
    test_best: Any  # {"accuracy": Float[Array, ""], "epoch": Int[Array, ""], "probabilities": Float[Array, "m k"]}


def init_state(
    key: PRNGKey,
    model: nn.Module,
    inputs: tuple[Array, ...],
    optimizer: optax.GradientTransformation,
    *,
    num_watched: int = 0,
    initial: Mapping[str, Any] | None = None,
) -> TrainState:
    """Draws the first weights, or takes those that are given.

    Args:
        key: of this seed and fold.
        model: linen module.
        inputs: one batch of the right shapes; values do not matter.
        optimizer: whose state is made.
        num_watched: test items that the diagnostic `test_best` watches; 0 switches it off.
        initial: the model's variables to start from, `params` and the other collections; None draws them.
    """
    drawn = model.init(key, *inputs, is_training=False) if initial is None else initial
    variables = {name: value for name, value in drawn.items() if name != LOSSES}
    params = variables.pop("params")
    watched = None
    if num_watched:
        probabilities = jnp.zeros((num_watched, model.num_classes))
        watched = {"accuracy": -jnp.ones(()), "epoch": jnp.zeros((), jnp.int32), "probabilities": probabilities}
    return TrainState(
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        epoch=jnp.zeros((), jnp.int32),
        # Not the same buffers: both are donated.
        best_params=jax.tree.map(jnp.copy, params),
        best_model_state=jax.tree.map(jnp.copy, variables),
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
        stopped=jnp.zeros((), bool),
        failed_epoch=jnp.zeros((), jnp.int32),
        test_best=watched,
    )
