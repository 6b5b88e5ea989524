"""Adam and AdamW whose step is one call of the native library, where that can be used."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from mer_jax.native import adam, conv_pool


class NativeAdam(optax.GradientTransformation):
    """`optax.adam` or `optax.adamw` with its state, and a step that updates the weights in place in C++.

    The step differs from optax's by rounding.

    Attributes:
        rate: Learning rate, or a schedule: a function of the number of steps done.
        weight_decay: In units of the learning rate; 0 for Adam.
    """

    rate: Any
    weight_decay: float

    @classmethod
    def wrap(cls, optimizer: optax.GradientTransformation, rate: Any, weight_decay: float) -> "NativeAdam":
        """Makes one of what optax made of the same rate and decay."""
        made = cls(optimizer.init, optimizer.update)
        made.rate, made.weight_decay = rate, weight_decay
        return made

    def apply(self, gradients: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        """Returns the new weights and the new state."""
        # States of the parts of an optimiser: Adam's, perhaps that of a schedule, and empty ones.
        moments: Any = next(each for each in opt_state if isinstance(each, optax.ScaleByAdamState))
        scheduled: Any = next((each for each in opt_state if isinstance(each, optax.ScaleByScheduleState)), None)
        rate = self.rate if scheduled is None else self.rate(scheduled.count)
        count = optax.safe_increment(moments.count)
        numbers = jnp.stack(
            [
                rate / (1 - jnp.float32(adam.B1) ** count),
                1 / (1 - jnp.float32(adam.B2) ** count),
                jnp.asarray(rate * self.weight_decay, jnp.float32),
            ]
        )
        leaves, structure = jax.tree.flatten(params)
        new = adam.step(numbers, *(jax.tree.leaves(each) for each in (gradients, leaves, moments.mu, moments.nu)))
        weights, means, squares = (structure.unflatten(each) for each in new)

        def advance(part: Any) -> Any:
            if isinstance(part, optax.ScaleByAdamState):
                return optax.ScaleByAdamState(count, means, squares)
            if isinstance(part, optax.ScaleByScheduleState):
                return optax.ScaleByScheduleState(optax.safe_increment(part.count))
            return part

        return weights, tuple(advance(part) for part in opt_state)


def can_be_native() -> bool:
    """Whether the native library can update weights here: on one device, which is a CPU."""
    mesh = jax.sharding.get_abstract_mesh()
    return jax.default_backend() == "cpu" and (mesh.empty or mesh.size == 1) and not conv_pool.load()
