"""Optimisers and learning rate schedules."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from mer_jax.config import Optimization
from mer_jax.training.native_adam import NativeAdam, can_be_native


def make_optimizer(
    optimization: Optimization,
    *,
    learning_rate: float | Float[Array, ""],
    epochs: int | Int[Array, ""],
    steps_per_epoch: int,
) -> optax.GradientTransformation:
    """Adam with optax's defaults (b1 = 0.9, b2 = 0.999, eps = 1e-8), or what else was asked for.

    Adam and AdamW are `NativeAdam` where that can be used, unless gradients are clipped.

    Args:
        optimization: validated.
        learning_rate: step size, the highest of the schedule; the paper uses 0.001.
        epochs: at most; `cosine` ends there.
        steps_per_epoch: updates in an epoch.

    Source: section 4 of the paper for Adam. AdamW: Loshchilov & Hutter, ICLR 2019.
    """
    rate: Any = learning_rate
    if optimization.schedule != "constant" or optimization.warmup_epochs:

        def scheduled(step):
            return learning_rate * schedule_factor(optimization, (step + 0.5) / steps_per_epoch, epochs)

        rate = scheduled

    if optimization.optimizer == "adamw":
        optimizer = optax.adamw(rate, weight_decay=optimization.weight_decay)
    elif optimization.optimizer == "sgd":
        optimizer = optax.sgd(rate, momentum=0.9, nesterov=True)
    else:
        optimizer = optax.adam(rate)
    if optimization.clip_norm:
        return optax.chain(optax.clip_by_global_norm(optimization.clip_norm), optimizer)
    if optimization.optimizer != "sgd" and can_be_native():
        return NativeAdam.wrap(optimizer, rate, optimization.weight_decay)
    return optimizer


def apply_gradients(
    optimizer: optax.GradientTransformation, gradients: Any, opt_state: optax.OptState, params: Any
) -> tuple[Any, optax.OptState]:
    """Updates weights; returns them and the new state of the optimiser."""
    if isinstance(optimizer, NativeAdam) and all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params)):
        return optimizer.apply(gradients, opt_state, params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def schedule_factor(
    optimization: Optimization, epoch: float | Float[Array, ""], epochs: int | Int[Array, ""]
) -> Float[Array, ""]:
    """Share of the learning rate, 0 to 1, after `epoch` epochs (fractions count).

    Args:
        optimization: its `schedule` and `warmup_epochs`.
        epoch: epochs done.
        epochs: of the whole training.

    Example:
        >>> half_way = schedule_factor(Optimization(schedule="cosine"), 50.0, 100)
        >>> round(float(half_way), 6)
        0.5
    """
    warmup = optimization.warmup_epochs
    factor = jnp.minimum(1.0, epoch / warmup) if warmup else jnp.ones(())
    if optimization.schedule == "cosine":
        done = jnp.clip((epoch - warmup) / jnp.maximum(epochs - warmup, 1), 0.0, 1.0)
        factor = factor * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    return factor
