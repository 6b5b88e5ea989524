"""The published order and sizes of layers, and whole networks against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks.conv_pool import Convolution
from mer_jax.data.views import input_shapes


def make_halves(frames=18, batch=3, key=0):
    upper, lower = jax.random.normal(jax.random.key(key), (2, batch, frames, 64, 128, 1))
    return upper, lower


# --- the order of the layers, as the paper describes it (sections 3.4.1 to 3.4.4) ---


@pytest.mark.parametrize(
    ("name", "in_path", "in_fusion"),
    [
        ("DualPath3DNet", set(), set()),
        ("HybridAttention3DNet", {"spatial", "temporal"}, set()),
        ("SqueezeExcitation3DNet", {"squeeze", "excite"}, set()),
        ("HybridAttention3DSENet", {"spatial", "temporal"}, {"squeeze", "excite"}),
    ],
)
def test_scenarios_of_table_1(name, in_path, in_fusion):
    model = getattr(models, name)()
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), *make_halves(), is_training=False))["params"]
    assert set(params) == {"upper", "lower", "fusion"}
    for path in ("upper", "lower"):
        assert set(params[path].get("attention", {})) == in_path
        assert set(params[path]) - {"attention"} == {"conv", "dense"}
    assert set(params["fusion"].get("recalibration", {})) == in_fusion


@pytest.mark.parametrize("name", ["DualPath3DNet", "SinglePath3DNet"])
def test_stride_and_chunk_reach_the_convolution(name):
    halves = make_halves(frames=8)
    plain, chunks = (
        getattr(models, name)(conv=Convolution(8, (3, 3, 3), (4, 8, 8), (2, 7, 9), "batched", chunk))
        for chunk in (None, 2)
    )
    params = jax.jit(lambda: plain.init(jax.random.key(0), *halves, is_training=False))()
    path, height = ("upper", 64) if name == "DualPath3DNet" else ("face", 128)
    rows, columns = (height - 10) // 7 + 1, (128 - 10) // 9 + 1
    assert params["params"][path]["dense"]["kernel"].shape == (2 * rows * columns * 8, 128)

    def lower(model):
        return jax.jit(lambda params: model.apply(params, *halves, is_training=False)).lower(params)

    assert "while" in lower(chunks).as_text()
    assert "while" not in lower(plain).as_text()
    for got, expected in zip(*(lower(model).compile()(params) for model in (plain, chunks)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_attention_maps_can_be_looked_at():
    model = models.HybridAttention3DNet()
    halves = make_halves(frames=18)
    params = jax.jit(lambda key: model.init(key, *halves, is_training=False))(jax.random.key(0))["params"]
    _, seen = jax.jit(
        lambda params: model.apply({"params": params}, *halves, is_training=False, mutable="intermediates")
    )(params)
    maps = seen["intermediates"]["upper"]["attention"]
    (spatial,), (temporal,) = maps["spatial_map"], maps["temporal_weights"]
    assert spatial.shape == (3, 4, 7, 15, 1)
    assert ((spatial > 0) & (spatial < 1)).all()
    np.testing.assert_allclose(temporal.mean(1), 1.0, atol=1e-6)


# --- known answers: every model of table 1, with random weights ---


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def dense(x, p):
    return x @ p["kernel"] + p.get("bias", 0)


def squeeze_excitation(x, p):
    return x + plain_squeeze_excitation(x, p)


def plain_squeeze_excitation(x, p):
    squeezed = x.mean((1, 2, 3), keepdims=True) if x.ndim == 5 else x
    return x * sigmoid(dense(relu(dense(squeezed, p["squeeze"])), p["excite"]))


def temporal_attention(x, p):
    scores = np.exp(dense(np.tanh(dense(x.mean((2, 3)), p["temporal"]["hidden"])), p["temporal"]["score"]))
    return x * (scores / scores.sum(1, keepdims=True) * x.shape[1])[:, :, None, None]


def spatial_attention(x, p):
    side = p["spatial"]["map"]["kernel"].shape[0]
    summary = np.stack([x.mean(-1), x.max(-1)], -1)
    padded = np.pad(summary, [(0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
    place = np.einsum("bthwcij,ijco->bthwo", windows, p["spatial"]["map"]["kernel"]) + p["spatial"]["map"]["bias"]
    return x * sigmoid(place)


def hybrid_attention(x, p):
    return temporal_attention(spatial_attention(x, p), p)


def turned_attention(x, p):
    return spatial_attention(temporal_attention(x, p), p)


def face_path(x, p, pool_size, attention):
    kernel = p["conv"]["kernel"]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:3], axis=(1, 2, 3))
    x = relu(np.einsum("bthwcijk,ijkcd->bthwd", windows, kernel, optimize=True) + p["conv"]["bias"])
    size = [n // each for n, each in zip(x.shape[1:4], pool_size, strict=True)]
    x = x[:, : size[0] * pool_size[0], : size[1] * pool_size[1], : size[2] * pool_size[2]]
    split = [each for pair in zip(size, pool_size, strict=True) for each in pair]
    x = x.reshape(len(x), *split, -1).max((2, 4, 6))
    if attention is not None:
        x = attention(x, p["attention"])
    return relu(dense(x.reshape(len(x), -1), p["dense"]))


@pytest.mark.parametrize(
    ("name", "fields", "attention", "recalibration"),
    [
        ("DualPath3DNet", {}, None, None),
        ("HybridAttention3DNet", {}, hybrid_attention, None),
        ("HybridAttention3DNet", {"temporal_first": True}, turned_attention, None),
        ("SqueezeExcitation3DNet", {}, squeeze_excitation, None),
        ("SqueezeExcitation3DNet", {"squeeze_residual": False}, plain_squeeze_excitation, None),
        ("HybridAttention3DSENet", {}, hybrid_attention, squeeze_excitation),
        ("SinglePath3DNet", {}, None, None),
    ],
)
def test_network_is_its_formula(name, fields, attention, recalibration):
    pool_size = (2, 15, 16)
    model = getattr(models, name)(conv=Convolution(2, (2, 3, 5), pool_size), **fields)
    halves = make_halves(frames=6, batch=2)
    params = jax.jit(lambda key: model.init(key, *halves, is_training=False))(jax.random.key(0))["params"]
    params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), params)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    faces = {"upper": np.asarray(halves[0], np.float64), "lower": np.asarray(halves[1], np.float64)}
    if name == "SinglePath3DNet":
        face = np.concatenate(list(faces.values()), axis=2)
        expected = dense(face_path(face, p["face"], pool_size, None), p["logits"])
    else:
        x = np.concatenate([face_path(faces[half], p[half], pool_size, attention) for half in faces], axis=-1)
        if recalibration is not None:
            x = recalibration(x, p["fusion"]["recalibration"])
        expected = dense(relu(dense(x, p["fusion"]["dense"])), p["fusion"]["logits"])
    got = jax.jit(lambda params: model.apply({"params": params}, *halves, is_training=False))(params)
    np.testing.assert_allclose(got, expected, atol=1e-4)


# --- the ancestors and the motion networks: published sizes ---


@pytest.mark.parametrize(
    ("name", "frames", "millions"),
    [
        ("MicroExpSTCNN", 96, 44.24),
        ("MicroExpSTCNN", 18, 1.64),
        ("IntermediateMicroExpFuseNet", 96, 177.1),
        ("IntermediateMicroExpFuseNet", 18, 6.7),
        ("LateMicroExpFuseNet", 96, 177.2),
    ],
)
def test_parameters_of_the_published_ancestors(name, frames, millions):
    model = getattr(models, name)()
    params = jax.eval_shape(
        lambda *inputs: model.init(jax.random.key(0), *inputs, is_training=False), *input_shapes(model, frames)
    )["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6 == pytest.approx(millions, rel=3e-3)


def test_dense_layers_of_the_fuse_nets_are_linear_as_published():
    model = models.IntermediateMicroExpFuseNet(conv=Convolution(2, (15, 3, 3), (3, 3, 3)), dense=(4, 4))
    halves = make_halves(batch=1)
    params = jax.jit(lambda key: model.init(key, *halves, is_training=False))(jax.random.key(0))["params"]

    @jax.jit
    def logits(scale):
        scaled = {**params, "both_dense_1": {**params["both_dense_1"], "bias": jnp.full(4, scale)}}
        return model.apply({"params": scaled}, *halves, is_training=False)

    np.testing.assert_allclose(logits(50.0) + logits(-50.0), 2 * logits(0.0), atol=1e-4)


def test_feature_maps_of_the_motion_networks():
    motion = jnp.zeros((2, 28, 28, 3))
    for model, layer, shape, width in (
        (models.STSTNet(), "Dropout_0", (2, 10, 10, 16), 400),
        (models.OffApexNet(), "vertical_2", (2, 7, 7, 16), 1024),
    ):
        variables = jax.eval_shape(
            lambda model=model: model.init(jax.random.key(0), motion, is_training=False, capture_intermediates=True)
        )
        assert variables["intermediates"][layer]["__call__"][0].shape == shape
        assert variables["params"]["logits"]["kernel"].shape == (width, 3)


def test_off_apex_net_leaves_strain_aside():
    model = models.OffApexNet(num_classes=2)
    motion = jax.random.normal(jax.random.key(0), (2, 28, 28, 3))
    variables = jax.jit(lambda key: model.init(key, motion, is_training=False))(jax.random.key(0))
    apply = jax.jit(lambda motion: model.apply(variables, motion, is_training=False))
    np.testing.assert_array_equal(apply(motion), apply(motion.at[..., 2].set(0)))
