"""Implicit semantic data augmentation against statistics of all data at once, and against its own definition."""

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.blocks.isda import augment_logits, init_class_statistics, update_class_statistics
from mer_jax.training.losses import cross_entropy


def test_statistics_of_batches_are_those_of_all_clips():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5)).astype(np.float32) * [1, 2, 3, 4, 5] + 3
    labels = rng.integers(0, 3, 40)
    real = rng.random(40) < 0.8
    statistics = init_class_statistics(4, 5)
    for batch in np.split(np.arange(40), [7, 8, 25]):
        statistics = update_class_statistics(
            statistics, jnp.asarray(features[batch], jnp.float32), jnp.asarray(labels[batch]), jnp.asarray(real[batch])
        )
    for label in range(3):
        own = features[(labels == label) & real]
        assert statistics["count"][label] == len(own)
        np.testing.assert_allclose(statistics["mean"][label], own.mean(0), rtol=1e-4)
        np.testing.assert_allclose(statistics["covariance"][label], np.cov(own.T, bias=True), rtol=1e-3, atol=1e-3)
    assert not np.any(statistics["covariance"][3])


def test_the_loss_bounds_the_mean_over_variants_of_the_features():
    """Jensen's inequality, checked by drawing; the bound is close where the variation is small."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 4, 4)) * 0.4
    covariance, kernel, features = root @ root.transpose(0, 2, 1), rng.normal(size=(4, 3)), rng.normal(size=4)
    for label in range(3):
        for strength in (0.05, 1.0):
            variants = rng.multivariate_normal(features, strength * covariance[label], 40_000)
            logits = jnp.asarray(variants @ kernel, jnp.float32)
            mean = float(cross_entropy(logits, jnp.full(len(variants), label)).mean())
            raised = augment_logits(
                jnp.asarray((features @ kernel)[None], jnp.float32),
                jnp.asarray(kernel, jnp.float32),
                jnp.asarray(covariance, jnp.float32),
                jnp.array([label]),
                strength,
            )
            bound = float(cross_entropy(raised, jnp.array([label]))[0])
            assert bound > mean - 0.01
            assert strength == 1.0 or bound < mean + 0.05


def test_the_gradient_reaches_the_kernel_and_not_the_features():
    features, labels = jnp.eye(3, 4), jnp.arange(3)

    def rise(kernel, features):
        statistics = update_class_statistics(init_class_statistics(3, 4), features, labels, labels >= 0)
        covariance = statistics["covariance"] + jnp.eye(4)
        return augment_logits(jnp.zeros((3, 3)), kernel, covariance, labels, 1.0).sum()

    kernel, other = jax.grad(rise, (0, 1))(jnp.ones((4, 3)).at[0, 0].set(2.0), features)
    assert np.any(kernel)
    assert not np.any(other)
