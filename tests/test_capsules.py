"""Known answers: routing and margin loss again, in NumPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks.capsules import RoutedCapsules, capsule_logits, margin_loss
from mer_jax.data.views import input_shapes
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.training.cost import count_parameters
from mer_jax.training.steps import train_step


def squash(x):
    square = (x**2).sum(-1, keepdims=True)
    return x * np.sqrt(square) / (1 + square)


@pytest.mark.parametrize("routings", [1, 3])
def test_routing(routings):
    x = jax.random.normal(jax.random.key(1), (2, 5, 3))
    layer = RoutedCapsules(capsules=4, features=6, routings=routings)
    params = {"kernel": jax.random.normal(jax.random.key(0), (4, 5, 6, 3))}
    votes = np.einsum("mned,bnd->bmne", np.asarray(params["kernel"], np.float64), x)
    agreement = np.zeros((2, 4, 5))
    for _ in range(routings):
        shares = np.exp(agreement) / np.exp(agreement).sum(1, keepdims=True)
        expected = squash((shares[..., None] * votes).sum(2))
        agreement += (votes * expected[:, :, None]).sum(-1)
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-4)


def test_gradients_flow_through_the_last_round_alone():
    x = jax.random.normal(jax.random.key(1), (5, 3))
    kernel = jax.random.normal(jax.random.key(0), (4, 5, 6, 3))

    def through_the_last(kernel, constant):
        votes, fixed = (jnp.einsum("nd,mned->mne", x, each) for each in (kernel, constant))
        agreement = jnp.zeros((4, 5))
        for _ in range(2):
            gathered = squash_jax((jax.nn.softmax(agreement, 0)[..., None] * fixed).sum(1))
            agreement += (fixed * gathered[:, None]).sum(-1)
        return (squash_jax((jax.nn.softmax(agreement, 0)[..., None] * votes).sum(1)) ** 2).sum()

    def squash_jax(x):
        square = (x**2).sum(-1, keepdims=True)
        return x * jnp.sqrt(square) / (1 + square)

    layer = RoutedCapsules(capsules=4, features=6)
    got = jax.grad(lambda kernel: (layer.apply({"params": {"kernel": kernel}}, x) ** 2).sum())(kernel)
    np.testing.assert_allclose(got, jax.grad(through_the_last)(kernel, kernel), rtol=1e-3, atol=1e-5)


def test_margin_loss_is_of_the_lengths():
    capsules = jnp.array([[[0.6, 0.0], [0.0, 0.3], [0.0, 0.0]]])
    logits = capsule_logits(capsules)
    np.testing.assert_allclose(jax.nn.softmax(logits)[0], [2 / 3, 1 / 3, 0], atol=1e-4)
    expected = [0.39**2 + 0.5 * 0.29**2, 0.5 * 0.59**2 + 0.69**2]
    np.testing.assert_allclose(margin_loss(jnp.tile(logits, (2, 1)), jnp.array([0, 1])), expected, atol=1e-4)
    assert np.isfinite(jax.grad(lambda x: margin_loss(capsule_logits(x), jnp.array([2])).sum())(capsules)).all()


def test_a_training_step_minimises_the_margin_loss():
    import optax

    model = models.CapsuleNet(width=2, kernel_size=2, picture_size=24)
    inputs = tuple(jax.random.normal(jax.random.key(0), each.shape) for each in input_shapes(model, 2, batch=3))
    labels, weights = jnp.array([0, 1, 2]), jnp.ones(3)
    state = jax.jit(lambda key: model.init(key, *inputs, is_training=False))(jax.random.key(0))
    params, optimizer = state.pop("params"), optax.sgd(0.1)

    @jax.jit
    def step(params):
        new, *_ = train_step(params, state, optimizer.init(params), inputs, labels, weights, jax.random.key(1),
                             model=model, optimizer=optimizer)  # fmt: skip
        return new

    @jax.jit
    @jax.grad
    def gradient(params):
        output = model.apply({"params": params, **state}, *inputs, is_training=True, mutable=["batch_stats"])
        return margin_loss(output[0], labels).mean()

    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params))
    for one, other in zip(jax.tree.leaves(step(params)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"width": 3}, ConfigError, "got width=3, expected an even one"),
        ({"picture_size": 64}, ShapeError, r"got an apex of 64 pixels and kernel_size=5, expected at least 65 pixels"),
        ({"resize_to": 0}, ShapeError, r"got an apex of 0 pixels and kernel_size=5, expected at least 65 pixels"),
        ({"resize_to": -5}, ShapeError, r"got an apex of -5 pixels"),
    ],
)
def test_sizes_that_capsule_net_refuses(fields, error, message):
    model = models.CapsuleNet(**fields)
    with pytest.raises(error, match=message):
        count_parameters(model, 2)
