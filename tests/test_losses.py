import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import ConfigError
from mer_jax.training.losses import class_weights, cross_entropy, focal_loss, weighted_mean


def test_cross_entropy_against_float64():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)) * 3, np.array([0, 1, 2, 3, 0, 1])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(shares[np.arange(6), labels])
    got = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_cross_entropy_of_huge_logits_is_finite():
    assert np.isfinite(cross_entropy(jnp.array([[1e4, -1e4, 0.0]]), jnp.array([1]))).all()


def test_label_smoothing_against_float64():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = 0.9 * np.eye(4)[labels] + 0.1 / 4
    got = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels), label_smoothing=0.1)
    np.testing.assert_allclose(got, -(target * log_p).sum(1), rtol=1e-5)


def test_focal_loss_against_float64():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    p = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[np.arange(6), labels]
    got = focal_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(labels), gamma=1.5)
    np.testing.assert_allclose(got, -((1 - p) ** 1.5) * np.log(p), rtol=1e-4)
    plain = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(focal_loss(jnp.asarray(logits), jnp.asarray(labels), gamma=0.0), plain, rtol=1e-5)


def test_focal_loss_of_a_certain_answer_has_a_finite_gradient():
    gradient = jax.grad(lambda logits: focal_loss(logits, jnp.array([0]), gamma=0.5).sum())(jnp.array([[200.0, 0.0]]))
    assert np.isfinite(gradient).all()


def test_class_weights_are_equation_1():
    labels = np.repeat([0, 1, 2], [70, 51, 43])
    np.testing.assert_allclose(class_weights(labels, 3, "raw"), [164 / 70, 164 / 51, 164 / 43], rtol=1e-6)


def test_normalized_class_weights_have_mean_one_over_items():
    labels = np.repeat([0, 1, 2], [70, 51, 43])
    assert class_weights(labels, 3, "normalized")[labels].mean() == pytest.approx(1.0)


def test_effective_class_weights_follow_cui():
    labels = np.repeat([0, 1, 2], [70, 51, 43])
    got = class_weights(labels, 3, "effective")
    expected = 0.01 / (1 - 0.99 ** np.array([70, 51, 43]))
    np.testing.assert_allclose(got / got[0], expected / expected[0], rtol=1e-6)
    assert got[labels].mean() == pytest.approx(1.0)
    assert class_weights(np.array([0, 0, 2]), 3, "effective")[1] == 0


def test_absent_class_has_no_weight():
    assert class_weights(np.array([0, 0, 2]), 3, "raw").tolist() == [1.5, 0.0, 3.0]
    assert class_weights(np.array([0, 0, 2]), 3, "none").tolist() == [1.0, 0.0, 1.0]


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'normalized'"):
        class_weights(np.array([0, 1]), 2, "normalised")


def test_weighted_mean_ignores_padding():
    values = jnp.array([1.0, 3.0, 1000.0])
    assert weighted_mean(values, jnp.array([1.0, 1.0, 0.0])) == 2.0
    assert weighted_mean(values, jnp.zeros(3)) == 0.0
