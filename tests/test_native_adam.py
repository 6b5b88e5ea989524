import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mer_jax.config import Optimization
from mer_jax.native import adam
from mer_jax.native import conv_pool as native
from mer_jax.training.native_adam import NativeAdam
from mer_jax.training.optim import apply_gradients, make_optimizer

pytestmark = pytest.mark.skipif(bool(native.load()), reason=f"no native library: {native.load()}")

SHAPES = {"dense": (257, 70), "bias": (3,), "none": (0, 4), "one": ()}


def draw(rng, scale=1.0):
    return {name: jnp.asarray(scale * rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


def run(optimizer, steps=12):
    """Weights and state after some steps with gradients of very different sizes."""

    @jax.jit
    def update(gradients, state, params):
        return apply_gradients(optimizer, gradients, state, params)

    rng = np.random.default_rng(0)
    params = draw(rng)
    state = optimizer.init(params)
    for number in range(steps):
        params, state = update(draw(rng, 10.0 ** (number % 8 - 5)), state, params)
    return params, state


@pytest.mark.parametrize(
    "optimization",
    [
        Optimization(),
        Optimization(schedule="cosine", warmup_epochs=1),
        Optimization(optimizer="adamw", weight_decay=0.1),
        Optimization(optimizer="adamw", weight_decay=0.1, schedule="cosine"),
    ],
    ids=["adam", "adam with a schedule", "adamw", "adamw with a schedule"],
)
def test_steps_are_those_of_optax(optimization):
    ours = make_optimizer(optimization, learning_rate=0.01, epochs=4, steps_per_epoch=4)
    assert isinstance(ours, NativeAdam)
    reference = optax.GradientTransformation(ours.init, ours.update)  # optax's own functions
    got, expected = run(ours), run(reference)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max(initial=0.0))


def test_the_same_bits_again_and_with_every_instruction_set():
    names = native.instruction_sets()
    results = {}
    try:
        for name in (names[0], *names):
            native.choose_instruction_set(name)
            new = run(make_optimizer(Optimization(), learning_rate=0.01, epochs=4, steps_per_epoch=4))
            results.setdefault(name, []).append(jax.tree.map(np.asarray, new))
    finally:
        native.choose_instruction_set(names[0])
    first = results[names[0]][0]
    for name, each in results.items():
        for new in each:
            for got, expected in zip(jax.tree.leaves(new), jax.tree.leaves(first), strict=True):
                if name == "portable":
                    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(got, expected)


def test_weights_are_updated_in_place():
    shape = (512, 512)

    @jax.jit
    def repeat(weight, mean, square):
        def once(_, state):
            new = adam.step(jnp.array([0.1, 1.0, 0.0]), [jnp.sin(state[0])], *([each] for each in state))
            return tuple(each[0] for each in new)

        return jax.lax.fori_loop(0, 3, once, (weight, mean, square))

    text = repeat.lower(*[jax.ShapeDtypeStruct(shape, jnp.float32)] * 3).compile().as_text()
    body = next(part for part in text.split("\n\n") if "custom-call" in part)
    assert "copy(" not in body.replace("f32[3]", "")


def test_lanes_are_updated_one_after_another():
    ours = make_optimizer(Optimization(), learning_rate=0.01, epochs=4, steps_per_epoch=4)
    rng = np.random.default_rng(0)
    lanes = [draw(rng) for _ in range(2)]
    gradients = [draw(rng) for _ in range(2)]
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
    step = lambda g, p: apply_gradients(ours, g, ours.init(p), p)[0]  # noqa: E731
    together = jax.vmap(step)(stack(gradients), stack(lanes))
    alone = stack([step(g, p) for g, p in zip(gradients, lanes, strict=True)])
    jax.tree.map(np.testing.assert_array_equal, together, alone)


def test_optax_does_what_the_library_cannot(monkeypatch):
    def make(**fields):
        return make_optimizer(Optimization(**fields), learning_rate=0.01, epochs=4, steps_per_epoch=4)

    assert not isinstance(make(clip_norm=1.0), NativeAdam)
    assert not isinstance(make(optimizer="sgd"), NativeAdam)
    half = {"w": jnp.ones(4, jnp.bfloat16)}
    new, _ = apply_gradients(make(), half, make().init(half), half)
    assert new["w"].dtype == jnp.bfloat16
    monkeypatch.setenv(native.ENVIRONMENT_VARIABLE, "0")
    assert not isinstance(make(), NativeAdam)


def test_wrong_sizes_are_an_error_and_no_crash():
    three, four = [jnp.zeros(3)], [jnp.zeros(4)]
    with pytest.raises(jax.errors.JaxRuntimeError, match="adam: gradients, weights, means and squares have different"):
        jax.block_until_ready(adam.step(jnp.zeros(3), four, three, three, three))
