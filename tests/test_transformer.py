"""Known answers: a transformer layer again, in NumPy and float64, in both orders of norm and step."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.transformer import TransformerLayer


def normalize(x, p):
    deviation = x - x.mean(-1, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def attend(x, p, heads):
    q, k, v = (np.stack(np.split(x @ p[name]["kernel"], heads, -1)) for name in ("query", "key", "value"))
    scores = np.exp(np.einsum("hbqd,hbkd->hbqk", q, k) / math.sqrt(q.shape[-1]))
    mixed = np.einsum("hbqk,hbkd->hbqd", scores / scores.sum(-1, keepdims=True), v)
    return np.concatenate(list(mixed), -1) @ p["out"]["kernel"] + p["out"]["bias"]


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_layer(norm_first):
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    layer = TransformerLayer(heads=3, head_dim=4, hidden=7, norm_first=norm_first)
    params = layer.init(jax.random.key(0), jnp.asarray(x, jnp.float32))["params"]
    params = jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)

    def perceive(x):
        y = x @ p["hidden"]["kernel"] + p["hidden"]["bias"]
        gelu = 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        return (gelu if norm_first else np.maximum(y, 0)) @ p["out"]["kernel"] + p["out"]["bias"]

    expected = x
    for norm, step in (("norm_1", lambda x: attend(x, p["attention"], 3)), ("norm_2", perceive)):
        before = normalize(expected, p[norm]) if norm_first else expected
        expected = expected + step(before)
        expected = expected if norm_first else normalize(expected, p[norm])
    got = layer.apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
