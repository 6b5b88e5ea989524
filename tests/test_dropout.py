"""Dropout: its rate, independence of its decisions, and that its key alone decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.dropout import Dropout, draw_mask
from mer_jax.errors import ConfigError

RATES = (0.0, 0.5, 0.25, 0.3, 0.999999)


@pytest.mark.parametrize("rate", RATES)
def test_rate_and_independence(rate):
    """Within five standard errors, of all elements, of each place in a word, and of pairs at several distances."""
    mask = np.asarray(draw_mask(jax.random.key(1), rate, (300, 1001))).reshape(-1)
    rate = min(rate, 1 - 2**-16)

    def check(share, expected, number):
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / number) + 1e-9

    check(mask.mean(), rate, mask.size)
    for part in np.array_split(mask, 32):
        check(part.mean(), rate, part.size)
    for distance in (1, 2, 32, len(mask) // 32 + 1, len(mask) // 2 + 1):
        both = mask[distance:] & mask[:-distance]
        check(both.mean(), rate**2, both.size)


def test_key_alone_decides():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: draw_mask(key, 0.5, (7, 5))))(keys)
    for key, mask in zip(keys, together, strict=True):
        np.testing.assert_array_equal(draw_mask(key, 0.5, (7, 5)), mask)
    assert (together[0] != together[1]).any()


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.3])
def test_kept_features_keep_the_mean(rate):
    x = jnp.ones((400, 50))

    def total(x):
        return Dropout(rate).apply({}, x, is_training=True, rngs={"dropout": jax.random.key(0)}).sum()

    value, gradient = jax.value_and_grad(total)(x)
    np.testing.assert_allclose(value / x.size, 1.0, atol=0.04)
    kept = np.unique(np.asarray(gradient))
    np.testing.assert_allclose(kept[-1], 1 / (1 - rate), rtol=1e-6)
    assert kept[0] == 0 or rate == 0
    np.testing.assert_array_equal(Dropout(rate).apply({}, x, is_training=False), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rate_out_of_range(rate):
    with pytest.raises(ConfigError, match=rf"got a dropout rate of {rate}, expected from 0 to below 1"):
        Dropout(rate).apply({}, jnp.ones((2, 3)), is_training=True, rngs={"dropout": jax.random.key(0)})
