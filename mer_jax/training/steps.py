"""One batch: the pure functions that everything else repeats."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from mer_jax.data.targets import LOSSES, make_targets, sum_terms, takes_targets
from mer_jax.training.losses import cross_entropy
from mer_jax.training.optim import apply_gradients
from mer_jax.typing import Labels, Logits, PerClip, PRNGKey


def train_step(
    params: Any,
    model_state: Any,
    opt_state: optax.OptState,
    inputs: tuple[Array, ...],
    labels: Int[Array, " b"],
    weights: Float[Array, " b"],
    key: PRNGKey,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Logits, Labels], PerClip] = cross_entropy,
    action_units: Int[Array, "b u"] | None = None,
    progress: Float[Array, ""] | float = 0.0,
) -> tuple[Any, Any, optax.OptState, Float[Array, "b k"]]:
    """Updates the weights on one batch.

    The loss is that of the logits and the terms that the model sows, see `mer_jax.data.targets`.

    Args:
        params: Weights.
        model_state: The model's other collections, such as `batch_stats`; {} for none.
        opt_state: State of the optimiser.
        inputs: Inputs of the model.
        labels: Class indices.
        weights: Class weight of each item, 0 for padding. The loss is the weighted sum over the number of real items,
            as Keras computes it with class weights.
        key: Key of dropout.
        model: Linen module.
        optimizer: Optax transformation.
        loss: Loss of each example; a model's own method `example_loss` takes its place.
        action_units: Of each item, see `mer_jax.data.action_units`; None if no clip has any.
        progress: Share of the epochs that are done, 0 to below 1.

    Returns:
        The new weights, collections and optimiser state, and the logits before the update.
    """
    targets = make_targets(labels, weights, action_units, progress)
    known: dict[str, Any] = {"targets": targets} if takes_targets(model) else {}
    example_loss = getattr(model, "example_loss", loss)

    def mean_loss(params):
        output: Any = model.apply(
            {"params": params, **model_state},
            *inputs,
            is_training=True,
            rngs={"dropout": key},
            mutable=[*model_state, LOSSES],
            **known,
        )
        logits, new_state = output
        new_state = dict(new_state)
        terms = sum_terms(new_state.pop(LOSSES, {}), targets.real)
        logits = logits.astype(jnp.float32)
        number = jnp.maximum(targets.real.sum(), 1)
        return (example_loss(logits, labels) * weights).sum() / number + terms, (logits, new_state)

    gradients, (logits, model_state) = jax.grad(mean_loss, has_aux=True)(params)
    params, opt_state = apply_gradients(optimizer, gradients, opt_state, params)
    return params, model_state, opt_state, logits


def eval_step(params: Any, model_state: Any, inputs: tuple[Array, ...], *, model: nn.Module) -> Float[Array, "b k"]:
    """Logits of one batch, without dropout."""
    logits: Any = model.apply({"params": params, **model_state}, *inputs, is_training=False)
    return logits.astype(jnp.float32)
