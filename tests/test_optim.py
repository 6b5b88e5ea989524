import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mer_jax.config import Optimization
from mer_jax.training.optim import make_optimizer, schedule_factor


def updates(optimization, gradients, learning_rate=0.1, epochs=4, steps_per_epoch=2):
    """What each of some gradients makes of a weight of 1."""
    optimizer = make_optimizer(
        optimization, learning_rate=learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    params = {"w": jnp.ones(2)}
    state, values = optimizer.init(params), []
    for gradient in gradients:
        change, state = optimizer.update({"w": jnp.full(2, gradient)}, state, params)
        params = optax.apply_updates(params, change)
        values.append(float(params["w"][0]))
    return np.array(values)


def test_the_default_is_adam_of_optax():
    gradients = [1.0, -2.0, 0.5]
    reference, params = optax.adam(0.1), {"w": jnp.ones(2)}
    state = reference.init(params)
    for gradient, got in zip(gradients, updates(Optimization(), gradients), strict=True):
        change, state = reference.update({"w": jnp.full(2, gradient)}, state, params)
        params = optax.apply_updates(params, change)
        assert got == float(params["w"][0])


def test_learning_rate_and_epochs_may_be_values_of_a_compiled_program():
    optimization = Optimization(schedule="cosine")
    run = jax.jit(
        lambda rate, epochs: make_optimizer(optimization, learning_rate=rate, epochs=epochs, steps_per_epoch=2).update(
            {"w": jnp.ones(2)}, optax.adam(lambda _: 0.0).init({"w": jnp.ones(2)})
        )[0]["w"][0]
    )
    assert float(run(0.1, 10)) == pytest.approx(2 * float(run(0.05, 10)))


def test_cosine_with_warmup():
    optimization = Optimization(schedule="cosine", warmup_epochs=10)
    factors = [float(schedule_factor(optimization, float(epoch), 110)) for epoch in (0, 5, 10, 60, 110, 200)]
    np.testing.assert_allclose(factors, [0, 0.5, 1, 0.5, 0, 0], atol=1e-6)


def test_warmup_alone_ends_at_the_full_rate():
    optimization = Optimization(warmup_epochs=2)
    assert [float(schedule_factor(optimization, epoch, 9)) for epoch in (0.5, 2.0, 8.0)] == [0.25, 1.0, 1.0]


def test_no_update_of_a_warmup_or_a_cosine_is_wasted():
    for optimization in (Optimization(warmup_epochs=2), Optimization(schedule="cosine")):
        values = updates(optimization, [1.0] * 8)
        assert (np.diff([1.0, *values]) < 0).all()


def test_weight_decay_shrinks_weights_without_a_gradient():
    plain = updates(Optimization(optimizer="adamw"), [0.0])
    decayed = updates(Optimization(optimizer="adamw", weight_decay=0.1), [0.0])
    assert plain[0] == 1.0
    assert decayed[0] == pytest.approx(1 - 0.1 * 0.1)


def test_clipping_bounds_a_step_of_sgd():
    clipped = updates(Optimization(optimizer="sgd", clip_norm=1.0), [1000.0])
    assert 1 - clipped[0] == pytest.approx(0.1 * 1.9 / np.sqrt(2), rel=1e-4)  # Nesterov: 1 + momentum 0.9
