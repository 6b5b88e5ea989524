"""What training changes: one value, saved whole and resumed bit for bit."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array

from mer_jax.typing import PRNGKey


@struct.dataclass
class TrainState:
    """Weights and everything that decides how training goes on.

    Attributes:
        params: weights after `epoch` epochs.
        opt_state: of the optimiser.
        epoch: epochs done.
        best_params: weights after the epoch with the lowest validation loss, of those
            that may be chosen.
        best_loss: that loss.
        best_epoch: that epoch, counted from 1; 0 before the first.
        stopped: no further epoch is needed: early stopping, or a loss that is not finite.
        failed_epoch: the epoch (from 1) whose loss was not finite; 0 if none was.
            `params` are then those before that epoch.
    """

    # Checked by nobody: orbax and jax.tree put placeholders of their own into the fields.
    params: Any
    opt_state: Any  # optax.OptState
    epoch: Any  # Int[Array, ""]
    best_params: Any
    best_loss: Any  # Float[Array, ""]
    best_epoch: Any  # Int[Array, ""]
    stopped: Any  # Bool[Array, ""]
    failed_epoch: Any  # Int[Array, ""]


def init_state(
    key: PRNGKey, model: nn.Module, inputs: tuple[Array, ...], optimizer: optax.GradientTransformation
) -> TrainState:
    """Draws the first weights.

    Args:
        key: of this seed and fold.
        model: linen module.
        inputs: one batch of the right shapes; values do not matter.
        optimizer: whose state is made.
    """
    params = model.init(key, *inputs, is_training=False)["params"]
    return TrainState(
        params=params,
        opt_state=optimizer.init(params),
        epoch=jnp.zeros((), jnp.int32),
        best_params=jax.tree.map(jnp.copy, params),  # not the same buffers: both are donated
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
        stopped=jnp.zeros((), bool),
        failed_epoch=jnp.zeros((), jnp.int32),
    )
