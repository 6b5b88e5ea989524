"""Compares networks with NumPy float64 reference implementations in the layer order of the authors' code."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks.region import join_areas
from mer_jax.data.views import input_shapes
from mer_jax.models.augcn import _PROTOTYPES, UNITS

pytestmark = pytest.mark.slow  # seconds a network


def run(model):
    """Returns random inputs, perturbed variables (both float64) and the logits of the network for them."""
    keys = jax.random.split(jax.random.key(1), 2)
    inputs = [jax.random.uniform(keys[0], each.shape, minval=-1.0) for each in input_shapes(model, 18, batch=2)]
    variables = jax.jit(lambda key: model.init(key, *inputs, is_training=False))(keys[1])
    stirred = jax.tree.map(
        lambda leaf: leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size % 97), leaf.shape), dict(variables)
    )
    stirred["batch_stats"] = jax.tree.map(jnp.abs, stirred.get("batch_stats", {}))
    stirred["class_stats"] = variables.get("class_stats", {})
    answer = jax.jit(lambda variables: model.apply(variables, *inputs, is_training=False))(stirred)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (inputs[0], stirred))
    return exact[0], exact[1]["params"], exact[1]["batch_stats"], np.asarray(answer)


def dense(x, p):
    return x @ p["kernel"] + p.get("bias", 0)


def conv(x, p, stride=1, padding=None):
    (height, width), size = p["kernel"].shape[:2], x.shape[1]
    edge = (height // 2, height // 2) if padding is None else padding
    x = np.pad(x, ((0, 0), edge, edge, (0, 0)))
    last = ((size + sum(edge) - height) // stride) * stride + 1
    patches = {(i, j): x[:, i : i + last : stride, j : j + last : stride] for i, j in np.ndindex(height, width)}
    return sum(patches[place] @ p["kernel"][place] for place in patches) + p.get("bias", 0)


def largest(x, stride):
    """3x3 max pooling with a padding of 1."""
    size = x.shape[1]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    return np.max([x[:, i : i + size : stride, j : j + size : stride] for i, j in np.ndindex(3, 3)], axis=0)


def relu(x):
    return np.maximum(x, 0)


def batch_norm(x, p, statistics):
    return (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5) * p["scale"] + p["bias"]


def layer_norm(x, p, epsilon):
    scale, bias = p["scale"].reshape(-1), p["bias"].reshape(-1)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * scale + bias


def softmax(x, axis=-1):
    shares = np.exp(x - x.max(axis, keepdims=True))
    return shares / shares.sum(axis, keepdims=True)


def attend(x, p, heads):
    split = [dense(x, p[name]).reshape(*x.shape[:2], heads, -1) for name in ("query", "key", "value")]
    query, key, value = (each.swapaxes(1, 2) for each in split)
    mixed = softmax(query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])) @ value
    return dense(mixed.swapaxes(1, 2).reshape(*x.shape[:2], -1), p["out"])


def check(answer, expected):
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_learnet():
    x, p, statistics, answer = run(models.LEARNet(picture_size=32))

    def halve(x, p):  # "same" padding of Keras: of an odd number of zeros, one more comes after
        size, kernel = x.shape[1], p["kernel"].shape[0]
        total = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
        return relu(conv(x, p, 2, (total // 2, total - total // 2)))

    x, columns = halve(x, p["stem"]), []
    q, s = p["columns"], statistics["columns"]
    for pair in (1, 2):
        plain, accreted = x, x
        for layer in (1, 2):
            plain, own = halve(plain, q[f"plain_{pair}_{layer}"]), halve(accreted, q[f"accreted_{pair}_{layer}"])
            name = f"normalize_{pair}_{layer}"
            accreted = batch_norm(plain + own, q[name], s[name])
        columns += [halve(plain, q[f"plain_{pair}_3"]), halve(accreted, q[f"accreted_{pair}_3"])]
    x = halve(batch_norm(np.concatenate(columns, -1), p["normalize"], statistics["normalize"]), p["conv"])
    check(answer, dense(relu(dense(x.reshape(2, -1), p["dense"])), p["logits"]))


@pytest.mark.parametrize("repeats", [(2, 1), (1, 1, 2)])
def test_htnet(repeats):
    dim, levels = 12, len(repeats)
    x, p, _, answer = run(models.HTNet(dim=dim, heads=3, repeats=repeats))
    gelu = np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))))
    cut = [x[:, top : top + 14, left : left + 14] for top, left in ((3, 1), (13, 3), (3, 13), (13, 11))]
    x = np.concatenate([np.concatenate(cut[:2], 2), np.concatenate(cut[2:], 2)], 1)
    x = x.reshape(2, 4, 7, 4, 7, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 4, 4, -1)  # 4x4 patches of 7x7
    x = dense(x, p["embed"])
    for level, number in enumerate(repeats):
        blocks = 2 ** (levels - 1 - level)
        side, width, heads = x.shape[1] // blocks, dim * 2**level, 3 * 2**level
        for i, j in np.ndindex(blocks, blocks):
            block = (slice(None), slice(i * side, (i + 1) * side), slice(j * side, (j + 1) * side))
            tokens = x[block].reshape(2, -1, width) + p[f"place_{level + 1}"][:, None]
            for q in (p[f"level_{level + 1}_{repeat + 1}"] for repeat in range(number)):
                tokens = tokens + attend(layer_norm(tokens, q["norm_1"], 1e-5), q["attention"], heads)
                tokens = tokens + dense(gelu(dense(layer_norm(tokens, q["norm_2"], 1e-5), q["hidden"])), q["out"])
            x[block] = tokens.reshape(2, side, side, width)
        if level < levels - 1:
            x = largest(layer_norm(conv(x, p[f"halve_{level + 1}"]), p[f"norm_{level + 1}"], 1e-5), 2)
    check(answer, dense(layer_norm(x, p[f"norm_{levels}"], 1e-5).mean((1, 2)), p["logits"]))


def test_dual_atme():
    motion, p, statistics, answer = run(models.DualATME(features=(2, 4), dense=8))

    def inception(x, name):
        def layer(x, arm):
            norm = f"normalize_{arm}"
            return relu(batch_norm(conv(x, p[name][arm]), p[name][norm], statistics[name][norm]))

        reduced = [layer(layer(x, f"reduce_{size}"), f"conv_{size}") for size in (3, 5)]
        return np.concatenate([layer(x, "single"), *reduced, layer(largest(x, 1), "pooled")], -1)

    def attention(x):
        q = p["attention"]["channels"]
        shared = [dense(relu(dense(each, q["squeeze"])), q["excite"]) for each in (x.mean((1, 2)), x.max((1, 2)))]
        x = x / (1 + np.exp(-sum(shared)))[:, None, None]
        places = conv(np.stack([x.mean(-1), x.max(-1)], -1), p["attention"]["places"]["map"])
        return x / (1 + np.exp(-places))

    branches = []
    for name, x in (("whole", motion), ("areas", np.asarray(join_areas(jnp.asarray(motion)), np.float64))):
        for layer in (1, 2):
            x = inception(x, f"{name}_{layer}")
            x = x.reshape(2, x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
        branches.append(attention(x))
    x = dense(np.concatenate(branches, -1).reshape(2, -1), p["dense"])
    check(answer, dense(relu(batch_norm(x, p["normalize"], statistics["normalize"])), p["logits"]))


def test_capsule_net():
    pair, p, statistics, answer = run(models.CapsuleNet(width=4, kernel_size=3, picture_size=64))
    x = relu(batch_norm(conv(pair[:, 1], p["stem"], 2), p["norm"], statistics["norm"]))
    for stage, block in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)):
        q, s = p[f"stage_{stage}_{block}"], statistics[f"stage_{stage}_{block}"]

        def layer(x, name, stride, q=q, s=s):
            return batch_norm(conv(x, q[f"conv_{name}"], stride), q[f"norm_{name}"], s[f"norm_{name}"])

        stride = 2 if stage > 1 and block == 1 else 1
        y = layer(relu(layer(x, "1", stride)), "2", 1)
        x = relu(y + (layer(x, "shortcut", stride) if stride == 2 else x))
    x = conv(relu(conv(x, p["conv"], 1, (0, 0))), p["primary"], 2, (0, 0)).reshape(2, -1, 8)

    def squash(x):
        return x * np.linalg.norm(x, axis=-1, keepdims=True) / (1 + (x**2).sum(-1, keepdims=True))

    votes = np.einsum("mned,bnd->bmne", p["classes"]["kernel"], squash(x))
    agreement = np.zeros(votes.shape[:3])
    for _ in range(3):
        capsules = squash((softmax(agreement, 1)[..., None] * votes).sum(2))
        agreement += (capsules[:, :, None] * votes).sum(-1)
    check(np.exp(answer), np.linalg.norm(capsules, axis=-1))


def test_network_that_augcn_descends_from():
    patches, p, statistics, answer = run(models.AUGCN(patch_frames=1, joined=False, layers=2))
    x = patches[..., 0].transpose(0, 2, 3, 1)  # points last: each is a channel with a filter of its own
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = sum(padded[:, i : i + 7, j : j + 7] * p["kernel"][i, j] for i, j in np.ndindex(3, 3)) + p["bias"]
    x = relu(batch_norm(x, p["normalize"], statistics["normalize"])).transpose(0, 3, 1, 2).reshape(2, 30, 49)

    def encode(x, name):
        for q in (p[f"{name}_{number}"] for number in (1, 2)):
            x = layer_norm(x + attend(x, q["attention"], 8), q["norm_1"], 1e-6)
            x = layer_norm(x + dense(relu(dense(x, q["hidden"])), q["out"]), q["norm_2"], 1e-6)
        x = relu(dense(x.reshape(2, -1), p[f"{name}_dense_1"]))
        return relu(dense(x, p[f"{name}_dense_2"]))

    count = np.zeros((9, 9))
    for units in _PROTOTYPES:
        count[np.ix_(*[[UNITS.index(unit) for unit in units]] * 2)] += 1
    seen = np.diag(count)
    adjacency = (count - np.diag(seen)) / seen[:, None] + np.eye(9)
    degree = np.diag((adjacency != 0).sum(1) ** -0.5)
    nodes = p["embedding"][0]
    for number in (1, 2):
        nodes = (adjacency @ degree).T @ degree @ nodes @ p[f"graph_{number}"]["kernel"][0]
        nodes = np.where(nodes > 0, nodes, 0.2 * nodes)
    units = [encode(x[:, :10], "brows") @ nodes[:3].T, encode(x[:, 10:], "mouth") @ nodes[3:].T]
    check(answer, dense(layer_norm(np.concatenate(units, -1), p["norm_units"], 1e-6), p["logits"]))
