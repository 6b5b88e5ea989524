"""Every network, found by looking; a new one only states its parameter count below."""

import importlib
import inspect
import pkgutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mer_jax.blocks
import mer_jax.models
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.inputs import input_kind, input_shapes


def find_modules(package):
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, nn.Module) and value.__module__ == module.__name__:
                yield name, value


MODELS = dict(find_modules(mer_jax.models))
BLOCKS = dict(find_modules(mer_jax.blocks))
FRAMES = 10  # two windows of the default pool: enough for temporal attention to matter
# The stated counts, at 18 frames: a change of a default shows here.
PARAMETERS = {
    "DualPath3DNet": 894_147,
    "HybridAttention3DNet": 894_665,
    "HybridAttention3DSENet": 927_753,
    "OffApexNet": 2_664_475,
    "SinglePath3DNet": 922_339,
    "SqueezeExcitation3DNet": 894_299,
}


def make_inputs(model, frames=FRAMES, batch=3, key=0):
    """Random inputs of the kind that a model takes."""
    shapes = input_shapes(model, frames, batch)
    keys = jax.random.split(jax.random.key(key), len(shapes))
    return tuple(jax.random.normal(key, each.shape) for key, each in zip(keys, shapes, strict=True))


def make_halves(frames=FRAMES, batch=3, key=0):
    return make_inputs(MODELS["DualPath3DNet"], frames, batch, key)


def of_kind(kind):
    return sorted(name for name, model in MODELS.items() if input_kind(model) == kind)


@pytest.fixture(scope="module", params=sorted(MODELS))
def model_and_params(request):
    model = MODELS[request.param]()
    params = jax.jit(lambda key: model.init(key, *make_inputs(model), is_training=False))(jax.random.key(1))["params"]
    return model, params


def test_packages_export_every_network():
    assert sorted(mer_jax.models.__all__) == sorted(MODELS)


def test_every_module_is_documented():
    for name, module in {**MODELS, **BLOCKS}.items():
        assert "Source:" in module.__doc__, f"{name} does not say where it comes from"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_shape_and_parameter_count(name):
    model = MODELS[name]()
    inputs = make_inputs(model, frames=18)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, is_training=False))
    logits = jax.eval_shape(lambda v: model.apply(v, *inputs, is_training=False), variables)
    assert logits.shape == (3, 3)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert name in PARAMETERS, f"state the parameter count of {name}, {count}, in PARAMETERS"
    assert count == PARAMETERS[name]


def test_other_numbers_of_classes(model_and_params):
    model, _ = model_and_params
    logits = jax.eval_shape(
        lambda: model.clone(num_classes=5).init_with_output(jax.random.key(0), *make_inputs(model), is_training=False)[
            0
        ]
    )
    assert logits.shape == (3, 5)


def test_evaluation_treats_each_clip_alone(model_and_params):
    model, params = model_and_params
    inputs = make_inputs(model)
    together = model.apply({"params": params}, *inputs, is_training=False)
    alone = model.apply({"params": params}, *(each[1:2] for each in inputs), is_training=False)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-4)


def test_jit_equals_no_jit(model_and_params):
    model, params = model_and_params
    inputs = make_inputs(model)
    apply = lambda params: model.apply({"params": params}, *inputs, is_training=False)  # noqa: E731
    np.testing.assert_allclose(apply(params), jax.jit(apply)(params), rtol=1e-4, atol=1e-4)


def test_dropout_follows_its_key_and_only_in_training(model_and_params):
    model, params = model_and_params
    inputs = make_inputs(model)

    def apply(key):
        return model.apply({"params": params}, *inputs, is_training=True, rngs={"dropout": jax.random.key(key)})

    np.testing.assert_array_equal(apply(0), apply(0))
    assert np.abs(apply(0) - apply(1)).max() > 1e-6


def test_gradient_reaches_every_parameter(model_and_params):
    model, params = model_and_params
    inputs = make_inputs(model)

    def loss(params):
        logits = model.apply({"params": params}, *inputs, is_training=False)
        return (jax.nn.log_softmax(logits)[:, 0]).sum()

    # Biases start at zero, where a ReLU may hide a small layer: look from where all of them are on.
    moved = jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 1 else leaf, params)
    gradients = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(moved))
    unreached = [jax.tree_util.keystr(path) for path, leaf in gradients if not np.any(leaf)]
    assert not unreached


def test_both_inputs_matter(model_and_params):
    model, params = model_and_params
    inputs = make_inputs(model)
    logits = model.apply({"params": params}, *inputs, is_training=False)
    for which in range(len(inputs)):
        other = [each * (position != which) for position, each in enumerate(inputs)]
        assert np.abs(model.apply({"params": params}, *other, is_training=False) - logits).max() > 1e-4


@pytest.mark.parametrize(
    ("upper", "lower", "message"),
    [
        (jnp.zeros((1, 10, 128, 64, 1)), None, r"upper half with shape \(1, 10, 128, 64, 1\), expected"),
        (None, jnp.zeros((1, 10, 64, 128, 1), jnp.uint8), "lower half as uint8, expected normalised floats"),
        (jnp.zeros((2, 10, 64, 128, 1)), None, "halves of different shapes"),
    ],
)
@pytest.mark.parametrize("name", of_kind("halves"))
def test_wrong_halves_are_refused(name, upper, lower, message):
    good = jnp.zeros((1, 10, 64, 128, 1))
    halves = (good if upper is None else upper, good if lower is None else lower)
    with pytest.raises(ShapeError, match=message):
        MODELS[name]().init(jax.random.key(0), *halves, is_training=False)


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        (jnp.zeros((2, 3, 28, 28)), r"shape \(2, 3, 28, 28\), expected \[b, 28, 28, 3\]"),
        (jnp.zeros((2, 28, 28, 3), jnp.uint8), "as uint8, expected floats from -1 to 1"),
    ],
)
@pytest.mark.parametrize("name", of_kind("motion"))
def test_wrong_motion_features_are_refused(name, motion, message):
    with pytest.raises(ShapeError, match=message):
        MODELS[name]().init(jax.random.key(0), motion, is_training=False)


def test_a_model_has_to_say_what_it_takes():
    with pytest.raises(ConfigError, match=r"takes=None of the model Dense; expected a class attribute"):
        input_kind(nn.Dense(3))


@pytest.mark.parametrize("name", of_kind("halves"))
def test_too_few_frames_are_refused(name):
    with pytest.raises(ShapeError, match="got a clip of 5 frames"):
        MODELS[name]().init(jax.random.key(0), *make_halves(frames=5), is_training=False)


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
    model = MODELS[name]()
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), *make_halves(), is_training=False))["params"]
    assert set(params) == {"upper", "lower", "fusion"}
    for path in ("upper", "lower"):
        assert set(params[path].get("attention", {})) == in_path
        assert set(params[path]) - {"attention"} == {"conv", "dense"}
    assert set(params["fusion"].get("recalibration", {})) == in_fusion


def test_attention_maps_can_be_looked_at():
    model = MODELS["HybridAttention3DNet"]()
    halves = make_halves(frames=18)
    params = model.init(jax.random.key(0), *halves, is_training=False)["params"]
    _, seen = model.apply({"params": params}, *halves, is_training=False, mutable="intermediates")
    maps = seen["intermediates"]["upper"]["attention"]
    (spatial,), (temporal,) = maps["spatial_map"], maps["temporal_weights"]
    assert spatial.shape == (3, 4, 7, 15, 1)
    assert ((spatial > 0) & (spatial < 1)).all()
    np.testing.assert_allclose(temporal.mean(1), 1.0, atol=1e-6)


# --- known answers: the blocks' formulas, in NumPy and float64 ---


def random_params(block, x, key=0):
    params = block.init(jax.random.key(key), x)["params"]
    return jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 8), (2, 8)])
@pytest.mark.parametrize("residual", [True, False])
def test_squeeze_excitation(shape, residual):
    x = np.random.default_rng(0).normal(size=shape)
    block = BLOCKS["SqueezeExcitation"](ratio=2, residual=residual)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    squeezed = x.mean((1, 2, 3), keepdims=True) if x.ndim == 5 else x
    hidden = np.maximum(squeezed @ p["squeeze"]["kernel"] + p["squeeze"]["bias"], 0)
    scale = sigmoid(hidden @ p["excite"]["kernel"] + p["excite"]["bias"])
    expected = x * scale + (x if residual else 0)
    np.testing.assert_allclose(block.apply({"params": params}, jnp.asarray(x, jnp.float32)), expected, atol=1e-4)


def test_spatial_attention():
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7, 4))
    block = BLOCKS["SpatialAttention"](kernel_size=3)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    kernel, bias = (np.asarray(params["map"][k], np.float64) for k in ("kernel", "bias"))
    summary = np.stack([x.mean(-1), x.max(-1)], -1)
    padded = np.pad(summary, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    attention = sigmoid(np.einsum("bthwcij,ijco->bthwo", windows, kernel) + bias)
    got, got_map = block.apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got_map, attention, atol=1e-5)
    np.testing.assert_allclose(got, x * attention, atol=1e-4)


def test_temporal_attention():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 3, 4))
    block = BLOCKS["TemporalAttention"](features=6)
    params = random_params(block, jnp.asarray(x, jnp.float32))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    hidden = np.tanh(x.mean((2, 3)) @ p["hidden"]["kernel"] + p["hidden"]["bias"])
    scores = np.exp(hidden @ p["score"]["kernel"])
    weights = (scores / scores.sum(1, keepdims=True) * 5)[:, :, None, None]
    got, got_weights = block.apply({"params": params}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got_weights, weights, atol=1e-5)
    np.testing.assert_allclose(got, x * weights, atol=1e-4)


def test_bfloat16_inputs_keep_float32_parameters():
    model = MODELS["HybridAttention3DNet"]()
    halves = [half.astype(jnp.bfloat16) for half in make_halves()]
    params = model.init(jax.random.key(0), *make_halves(), is_training=False)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert np.isfinite(model.apply({"params": params}, *halves, is_training=False)).all()
