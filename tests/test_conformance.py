"""What every network and every block has to do. They are found by looking: a new one needs no entry here but its count.

A block is called with what the annotations of its `__call__` ask for: a clip, or a vector for each path. Networks are
made narrow, but where their size is what is tested.
"""

import dataclasses
import functools
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
from mer_jax.blocks.conv_pool import Convolution
from mer_jax.data.views import find_view, input_shapes
from mer_jax.errors import ConfigError, ShapeError


def find_modules(package):
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, nn.Module) and value.__module__ == module.__name__:
                yield name, value


MODELS = dict(find_modules(mer_jax.models))
BLOCKS = dict(find_modules(mer_jax.blocks))
FRAMES = 18
# The stated counts of trained parameters, at 18 frames and three classes: a change of a default shows here.
PARAMETERS = {
    "DualPath3DNet": 894_147,
    "GridFlowNet": 10_883,
    "HybridAttention3DNet": 894_665,
    "HybridAttention3DSENet": 927_753,
    "IntermediateMicroExpFuseNet": 6_694_915,
    "LateMicroExpFuseNet": 6_827_523,
    "MicroExpSTCNN": 1_643_267,
    "OffApexNet": 2_664_475,
    "STSTNet": 1_683,
    "SinglePath3DNet": 922_339,
    "SqueezeExcitation3DNet": 894_299,
}


@dataclasses.dataclass
class Case:
    """A module and what it is called with; what tests share is computed once."""

    module: nn.Module
    inputs: tuple
    options: dict  # of the call: is_training, where there is such a thing

    @functools.cached_property
    def init(self):
        """Compiled once: from a key to the first variables."""

        def init(key):
            variables = self.module.init(key, *self.inputs, **self.options)
            return {name: value for name, value in variables.items() if name != "intermediates"}

        return jax.jit(init)

    @functools.cached_property
    def variables(self):
        return self.init(jax.random.key(1))

    @functools.cached_property
    def result(self):
        return jax.jit(self.apply)()

    def apply(self, variables=None, inputs=None, **options):
        return self.module.apply(variables or self.variables, *(inputs or self.inputs), **{**self.options, **options})


def draw(shapes, key=0):
    keys = jax.random.split(jax.random.key(key), len(shapes))
    return tuple(jax.random.normal(key, each.shape) for key, each in zip(keys, shapes, strict=True))


def make_block(block):
    """A block of a small size, and inputs that its annotations describe."""
    needed = {int: 4, float: 0.5, Convolution: Convolution(4, (2, 2, 2), (2, 2, 2))}
    fields = [each for each in dataclasses.fields(block) if each.name not in ("parent", "name")]
    sizes = {each.name: needed[each.type] for each in fields if each.default is dataclasses.MISSING}
    parameters = list(inspect.signature(block.__call__).parameters.values())[1:]
    shapes = []
    for each in parameters:
        if each.kind is not inspect.Parameter.KEYWORD_ONLY:
            shape = (2, 8) if each.annotation.dim_str == "*b _d" else (2, 6, 10, 12, 4)
            shapes += [jax.ShapeDtypeStruct(shape, jnp.float32)] * (1 + (each.kind is inspect.Parameter.VAR_POSITIONAL))
    options = {"is_training": False} if any(each.name == "is_training" for each in parameters) else {}
    return block(**sizes), draw(shapes), options


def make_narrow(model):
    """A network whose widths are 8 at most."""

    def narrow(name, value):
        is_width = isinstance(value, int) and not isinstance(value, bool) and name != "num_classes"
        return min(value, 8) if is_width else value

    sizes = {}
    for each in dataclasses.fields(model):
        if isinstance(each.default, Convolution):
            sizes[each.name] = dataclasses.replace(each.default, features=min(each.default.features, 8))
        elif isinstance(each.default, tuple) and max(each.default) > 16:
            sizes[each.name] = tuple(narrow("", width) for width in each.default)
        elif each.name not in ("parent", "name") and each.default is not dataclasses.MISSING:
            sizes[each.name] = narrow(each.name, each.default)
    return model(**sizes)


@functools.cache
def make_case(name):
    if name in BLOCKS:
        return Case(*make_block(BLOCKS[name]))
    module = make_narrow(MODELS[name])
    return Case(module, draw(input_shapes(module, FRAMES, 2)), {"is_training": False})


@pytest.fixture(params=sorted({**MODELS, **BLOCKS}))
def case(request):
    return make_case(request.param)


@pytest.fixture(params=sorted(MODELS))
def model_case(request):
    return make_case(request.param)


def of_kind(kind):
    return sorted(name for name, model in MODELS.items() if find_view(model).name == kind)


def outputs(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


# --- networks and blocks ---


def test_packages_export_every_network():
    assert sorted(mer_jax.models.__all__) == sorted(MODELS)


@pytest.mark.parametrize("name", sorted({**MODELS, **BLOCKS}))
def test_every_module_is_documented(name):
    text = {**MODELS, **BLOCKS}[name].__doc__
    assert "Source:" in text, f"{name} does not say where it comes from"
    fields = [each.name for each in dataclasses.fields({**MODELS, **BLOCKS}[name])]
    bases = " ".join(base.__doc__ for base in {**MODELS, **BLOCKS}[name].__mro__ if issubclass(base, nn.Module))
    undocumented = [each for each in fields if f"{each}: " not in bases and each not in ("parent", "name")]
    assert not undocumented, f"{name} does not describe {undocumented}"


def test_outputs_are_finite_and_the_same_with_and_without_jit(case):
    plain, compiled = outputs(case.apply()), outputs(case.result)
    for one, other in zip(plain, compiled, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_evaluation_treats_each_clip_alone(case):
    together = outputs(case.result)
    alone = outputs(jax.jit(case.apply)(inputs=tuple(each[1:] for each in case.inputs)))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[1:], other, rtol=1e-4, atol=1e-4)


def test_gradient_reaches_every_parameter(case):
    def loss(params):
        result = jax.tree.leaves(case.apply({**case.variables, "params": params}))
        return sum((each * weight).sum() for each, weight in zip(result, weights, strict=True))

    weights = draw(jax.tree.leaves(case.result), key=2)
    # Biases start at zero, where a ReLU may hide a small layer: look from where all of them are on.
    params = jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 1 else leaf, case.variables["params"])
    gradients = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params))
    unreached = [jax.tree_util.keystr(path) for path, leaf in gradients if not np.any(leaf)]
    assert not unreached


def test_training_is_decided_by_its_key(case):
    if not case.options:
        pytest.skip("the same in training and evaluation")

    @jax.jit
    def train(key):
        return case.apply(is_training=True, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    first = train(jax.random.key(0))
    np.testing.assert_array_equal(first, train(jax.random.key(0)))
    others = [train(jax.random.key(key)) for key in range(1, 6)]  # a narrow layer may be dropped twice alike
    assert max(np.abs(first - each).max() for each in others) > 1e-6, "dropout follows its key"
    assert max(np.abs(case.result - each).max() for each in others) > 1e-6, "and is off in evaluation"


def test_first_weights_are_decided_by_their_key(case):
    first, again, other = (outputs(case.init(jax.random.key(key))) for key in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert any(np.any(one != each) for one, each in zip(first, other, strict=True))


def test_bfloat16_is_for_the_arithmetic_alone(case):
    """`dtype` goes to every layer; what is trained stays float32, and so do logits."""
    half = case.module.clone(dtype=jnp.bfloat16)
    inputs = tuple(each.astype(jnp.bfloat16) for each in case.inputs)
    variables = jax.eval_shape(lambda: half.init(jax.random.key(0), *inputs, **case.options))
    kept = {key: value for key, value in variables.items() if key != "intermediates"}
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}
    result, seen = jax.jit(
        lambda variables: half.apply(
            variables, *inputs, **case.options, capture_intermediates=True, mutable="intermediates"
        )
    )(case.variables)
    for one, exact in zip(jax.tree.leaves(result), outputs(case.result), strict=True):
        np.testing.assert_allclose(np.asarray(one, np.float32), exact, atol=0.1 * max(1.0, np.abs(exact).max()))
    is_network = type(case.module).__name__ in MODELS or hasattr(case.module, "num_classes")
    assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {jnp.dtype("float32" if is_network else "bfloat16")}
    layers = jax.tree_util.tree_leaves_with_path(seen)
    # The outputs of the network itself, and of its end, are the logits.
    wide = [jax.tree_util.keystr(path) for path, leaf in layers if leaf.dtype != jnp.bfloat16]
    expected = ("['intermediates']['__call__']", "['intermediates']['fusion']['__call__']")
    assert [path for path in wide if not path.startswith(expected)] == []


# --- networks ---


@pytest.mark.parametrize("name", sorted(MODELS))
def test_shape_and_parameter_count(name):
    model = MODELS[name]()
    logits, variables = jax.eval_shape(
        lambda *inputs: model.init_with_output(jax.random.key(0), *inputs, is_training=False),
        *input_shapes(model, FRAMES, batch=2),
    )
    assert logits.shape == (2, 3)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert name in PARAMETERS, f"state the parameter count of {name}, {count}, in PARAMETERS"
    assert count == PARAMETERS[name]


def test_other_numbers_of_classes(model_case):
    other = model_case.module.clone(num_classes=5)
    logits, _ = jax.eval_shape(lambda: other.init_with_output(jax.random.key(0), *model_case.inputs, is_training=False))
    assert logits.shape == (2, 5)


def test_every_input_matters(model_case):
    apply = jax.jit(model_case.apply)
    for which in range(len(model_case.inputs)):
        other = tuple(each * (position != which) for position, each in enumerate(model_case.inputs))
        assert np.abs(apply(inputs=other) - model_case.result).max() > 1e-4


# --- what they refuse, before anything is compiled ---


@pytest.mark.parametrize(
    ("upper", "lower", "message"),
    [
        (
            jnp.zeros((1, 18, 128, 64, 1)),
            None,
            r"upper half with shape \(1, 18, 128, 64, 1\), expected .*; make halves",
        ),
        (None, jnp.zeros((1, 18, 64, 128, 1), jnp.uint8), "lower half as uint8, expected normalised floats; make them"),
        (jnp.zeros((2, 18, 64, 128, 1)), None, "halves of different shapes"),
    ],
)
@pytest.mark.parametrize("name", of_kind("halves"))
def test_wrong_halves_are_refused(name, upper, lower, message):
    good = jnp.zeros((1, 18, 64, 128, 1))
    halves = (good if upper is None else upper, good if lower is None else lower)
    with pytest.raises(ShapeError, match=message) as caught:
        MODELS[name]().init(jax.random.key(0), *halves, is_training=False)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        (jnp.zeros((2, 3, 28, 28)), r"shape \(2, 3, 28, 28\), expected \[\*b, 28, 28, 3\]"),
        (jnp.zeros((2, 28, 28, 3), jnp.uint8), "as uint8, expected floats from -1 to 1"),
    ],
)
@pytest.mark.parametrize("name", of_kind("motion"))
def test_wrong_motion_features_are_refused(name, motion, message):
    with pytest.raises(ShapeError, match=message):
        MODELS[name]().init(jax.random.key(0), motion, is_training=False)


@pytest.mark.parametrize("name", of_kind("halves"))
def test_too_few_frames_are_refused(name):
    halves = draw(input_shapes(MODELS[name], 2))
    with pytest.raises(ShapeError, match=r"got a clip of 2 frames.* expected at least \d+ frames.*; use more frames"):
        MODELS[name]().init(jax.random.key(0), *halves, is_training=False)


def test_a_model_has_to_say_what_it_takes():
    with pytest.raises(ConfigError, match=r"view=None of the model Dense; expected a class attribute"):
        find_view(nn.Dense(3))
