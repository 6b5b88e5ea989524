"""What every network, block and baseline has to do. They are found in their folders: a new one needs no entry here.

A block is called with what the annotations of its `__call__` ask for: clips, or a vector for each path. Networks are
made narrow and shallow, but where their size is what is tested. Compilation takes nearly all the time: a case has one
compiled program that its tests share, and programs get their inputs as arguments, since XLA folds constants.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mer_jax.baselines
import mer_jax.blocks
import mer_jax.models
from mer_jax.blocks.conv_pool import Convolution
from mer_jax.config import Experiment
from mer_jax.data.action_units import ACTION_UNITS
from mer_jax.data.targets import KEPT_COLLECTIONS, LOSSES, make_targets, takes_targets
from mer_jax.data.views import VIEWS, find_view, input_shapes
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.models import family_of

MODELS = {name: getattr(mer_jax.models, name) for name in mer_jax.models.__all__}
BASELINES = {name: getattr(mer_jax.baselines, name) for name in mer_jax.baselines.__all__}
BLOCKS = {
    name: value
    for info in pkgutil.iter_modules(mer_jax.blocks.__path__, f"{mer_jax.blocks.__name__}.")
    for name, value in inspect.getmembers(importlib.import_module(info.name), inspect.isclass)
    if issubclass(value, nn.Module) and value.__module__ == info.name
}
MODULES = {**MODELS, **BLOCKS}
COMPARED = {name for name, model in MODELS.items() if family_of(model) != "the paper's"} - {"STSTNet"}
FRAMES = 18  # of a clip; more where the docstring states its parameters for more
PARAMETERS = r"Parameters: ([\d,]+) with (?:(\d+) frames and )?(\d+) classes"


@pytest.fixture(scope="module", autouse=True)
def _quick_compilation():
    """Programs here run a few times: optimising them takes longer than it saves. Other tests get none of them."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    make_case.cache_clear()
    jax.clear_caches()


@dataclasses.dataclass
class Case:
    """A module, what it is called with, and what it answers; computed once for all tests."""

    module: nn.Module
    inputs: tuple
    options: dict  # of the call: is_training, where there is such a thing
    init: Any  # from a key to the first variables, compiled
    variables: dict
    answer: Any  # from variables and inputs to the result, compiled
    result: Any

    def apply(self, variables=None, inputs=None, **options):
        variables = self.variables if variables is None else variables
        return self.module.apply(variables, *(inputs or self.inputs), **{**self.options, **options})


def draw(shapes, key=0):
    keys = jax.random.split(jax.random.key(key), max(1, len(shapes)))
    return tuple(jax.random.normal(key, each.shape) for key, each in zip(keys, shapes, strict=False))


def public_fields(module):
    return [each for each in dataclasses.fields(module) if each.name not in ("parent", "name")]


SMALL = {int: 4, float: 0.5, Convolution: Convolution(4, (2, 2, 2), (2, 2, 2))}  # values of fields without a default

# Inputs of blocks, by their annotation: vectors, weights and features of edges; anything else gets clips.
SHAPES = {"*b _d": (2, 8), "*b n n": (2, 6, 10, 12, 12), "*b n n e": (2, 6, 10, 12, 12, 3)}


def make_block(block):
    """A block of a small size, and inputs that its annotations describe."""
    needed = [each for each in public_fields(block) if each.default is dataclasses.MISSING]
    unknown = [each.name for each in needed if each.type not in SMALL]
    assert not unknown, f"give {unknown} of {block.__name__} a default, or their type a value in SMALL"
    parameters = list(inspect.signature(block.__call__).parameters.values())[1:]
    shapes = []
    for each in parameters:
        if each.kind is not inspect.Parameter.KEYWORD_ONLY:
            shape = SHAPES.get(each.annotation.dim_str, (2, 6, 10, 12, 4))
            shapes += [jax.ShapeDtypeStruct(shape, jnp.float32)] * (1 + (each.kind is inspect.Parameter.VAR_POSITIONAL))
    options = {"is_training": False} if trains(block) else {}
    return block(**{each.name: SMALL[each.type] for each in needed}), draw(shapes), options


DEPTHS = ("layers", "repeats")  # fields with numbers of layers


def make_narrow(model):
    """A network whose widths are 8 at most, and that has at most two layers of a kind in a row."""

    def narrow(name, value):
        if isinstance(value, Convolution):
            return dataclasses.replace(value, features=min(value.features, 8))
        if name in DEPTHS:
            return tuple(min(each, 2) for each in value) if isinstance(value, tuple) else min(value, 2)
        if isinstance(value, tuple) and value and max(value) > 16:
            return tuple(min(each, 8) for each in value)
        return min(value, 8) if type(value) is int else value

    kept = {"num_classes", *(each.name for each in dataclasses.fields(find_view(model)))}
    fields = [each for each in public_fields(model) if each.name not in kept]
    given = [each for each in fields if each.default is not dataclasses.MISSING]
    return model(**{each.name: narrow(each.name, each.default) for each in given})


@functools.cache
def make_case(name):
    if name in BLOCKS:
        module, inputs, options = make_block(BLOCKS[name])
    else:
        module, options = make_narrow(MODELS[name]), {"is_training": False}
        inputs = draw(input_shapes(module, stated(name)[1], 2))

    @jax.jit
    def draw_variables(key, inputs):
        variables = module.init(key, *inputs, **options)
        return {name: value for name, value in variables.items() if name in KEPT_COLLECTIONS}

    variables = draw_variables(jax.random.key(1), inputs)
    answer = jax.jit(lambda variables, inputs: module.apply(variables, *inputs, **options))
    init = functools.partial(draw_variables, inputs=inputs)
    return Case(module, inputs, options, init, variables, answer, answer(variables, inputs))


@functools.cache
def stated(name):
    """The parameter count, frames and classes that the docstring of a network states."""
    text = inspect.getdoc(MODELS[name])
    found = re.search(PARAMETERS, text)
    assert found, (
        f"{name} does not state its parameters; write a line 'Parameters: 1,234 with {FRAMES} frames and 3 classes.' "
        "into its docstring (without the frames for a network of motion features)"
    )
    count, frames, classes = (int(each.replace(",", "")) if each else FRAMES for each in found.groups())
    return count, frames, classes


@pytest.fixture(params=sorted(MODULES))
def case(request):
    return make_case(request.param)


def by_cost(names):
    """Marks the networks of others as slow: their blocks are tested at once, and tracing each of them takes seconds."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in COMPARED else name for name in sorted(names)]


@pytest.fixture(params=by_cost(MODULES))
def costly_case(request):
    return make_case(request.param)


@pytest.fixture(params=sorted(MODELS))
def model_case(request):
    return make_case(request.param)


def trains(module):
    return "is_training" in inspect.signature(module.__call__).parameters


def of_view(*names):
    return sorted(name for name, model in MODELS.items() if find_view(model).name in names)


def outputs(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


# --- networks, blocks and baselines ---


@pytest.mark.parametrize(("package", "kind"), [(mer_jax.models, "network"), (mer_jax.baselines, "baseline")])
def test_every_class_is_found_by_its_file(package, kind):
    """A class that nobody finds would be tested by nobody."""
    folder = Path(package.__path__[0])
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        own = [value for _, value in inspect.getmembers(module, inspect.isclass) if value.__module__ == info.name]
        classes = [each for each in own if issubclass(each, nn.Module) or hasattr(each, "fit_predict")]
        lost = [each.__name__ for each in classes if each.__name__ not in package.__all__]
        assert not lost, f"{kind} {lost[0]} belongs into {folder / lost[0].lower()}.py"
    assert {*package.__all__} <= {*dir(package)}
    with pytest.raises(AttributeError, match=r"has no attribute 'Nobody'; known: "):
        _ = package.Nobody


@pytest.mark.parametrize("name", sorted({**MODULES, **BASELINES}))
def test_every_class_is_documented(name):
    owner = {**MODULES, **BASELINES}[name]
    assert "Source:" in owner.__doc__, f"{name} does not say where it comes from"
    bases = " ".join(base.__doc__ for base in owner.__mro__ if dataclasses.is_dataclass(base) and base is not nn.Module)
    undocumented = [each.name for each in public_fields(owner) if f"{each.name}: " not in bases]
    assert not undocumented, f"{name} does not describe {undocumented}"


def test_outputs_are_finite(case):
    assert all(np.isfinite(each).all() for each in outputs(case.result))


def test_outputs_are_the_same_with_and_without_jit(costly_case):
    case = costly_case
    for one, other in zip(outputs(case.apply()), outputs(case.result), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_evaluation_treats_each_clip_alone(case):
    """The output for a clip depends neither on its neighbours in the batch nor on its position."""
    swapped = tuple(each[::-1] for each in case.inputs)
    beside_another = tuple(each.at[0].set(5 - 3 * each[1]) for each in case.inputs)
    together = outputs(case.result)
    for one, mirrored, other in zip(
        together, outputs(case.answer(case.variables, swapped)),
        outputs(case.answer(case.variables, beside_another)), strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(one[::-1], mirrored, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-4, atol=1e-4)


def test_leading_axes_are_free(case):
    """A clip by itself, clips with two leading axes, and clips mapped by `vmap`."""

    @jax.jit
    def answer(variables, inputs):
        def apply(*inputs):
            return case.apply(variables, inputs)

        two_axes = jax.tree.map(lambda leaf: leaf[0], apply(*(each[None] for each in inputs)))
        return apply(*(each[1] for each in inputs)), two_axes, jax.vmap(apply)(*inputs)

    one, two_axes, mapped = answer(case.variables, case.inputs)
    for expected, *got in zip(*map(outputs, (case.result, one, two_axes, mapped)), strict=True):
        for each, of in zip(got, (expected[1], expected, expected), strict=True):
            assert each.shape == of.shape
            np.testing.assert_allclose(each, of, rtol=1e-4, atol=1e-4)


def test_gradient_reaches_every_parameter(case):
    weights = draw(jax.tree.leaves(case.result), key=2)

    @jax.jit
    @jax.grad
    def differentiate(params, inputs):
        result = jax.tree.leaves(case.apply({**case.variables, "params": params}, inputs))
        return sum((each * weight).sum() for each, weight in zip(result, weights, strict=True))

    # Biases start at zero, where a ReLU may hide a small layer: look from where all of them are on.
    params = jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 1 else leaf, case.variables.get("params", {}))
    gradients = jax.tree_util.tree_leaves_with_path(differentiate(params, case.inputs))
    unreached = [jax.tree_util.keystr(path) for path, leaf in gradients if not np.any(leaf)]
    assert not unreached


def test_forward_mode_and_second_derivatives_can_be_traced(costly_case):
    case = costly_case

    def loss(inputs):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(case.apply(inputs=inputs)))

    def hessian_times(inputs):
        return jax.jvp(jax.grad(loss), (inputs,), (inputs,))[1]

    product = jax.eval_shape(hessian_times, case.inputs)
    assert jax.tree.map(jnp.shape, product) == jax.tree.map(jnp.shape, case.inputs)


@pytest.mark.parametrize("name", by_cost(name for name, each in MODULES.items() if trains(each)))
def test_training_is_decided_by_its_key(name):
    case = make_case(name)

    @jax.jit
    def step(key, inputs):
        return case.apply(inputs=inputs, is_training=True, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    train = functools.partial(step, inputs=case.inputs)
    first = train(jax.random.key(0))
    np.testing.assert_array_equal(first, train(jax.random.key(0)))
    try:
        jax.eval_shape(lambda: case.apply(is_training=True, mutable=["batch_stats"]))
        draws = False
    except flax.errors.InvalidRngError:
        draws = True
    assert draws or not getattr(case.module, "dropout", None), "a field dropout has to have an effect"
    others = [train(jax.random.key(key)) for key in range(1, 6)]  # a narrow layer may be dropped twice alike
    assert (max(np.abs(first - each).max() for each in others) > 1e-6) == draws, "dropout follows its key"
    if draws:
        assert max(np.abs(case.result - each).max() for each in others) > 1e-6, "dropout is off in evaluation"


def test_first_weights_are_decided_by_their_key(costly_case):
    """Ones, zeros and the identity may be the same for all keys; anything else has to be drawn."""
    first, again, other = (costly_case.init(jax.random.key(key)) for key in (1, 1, 2))
    for one, same in zip(outputs(first), outputs(again), strict=True):
        np.testing.assert_array_equal(one, same)
    for (path, one), each in zip(jax.tree_util.tree_leaves_with_path(first), outputs(other), strict=True):
        is_constant = len(np.unique(one)) <= 2
        assert is_constant or np.any(one != each), f"{jax.tree_util.keystr(path)} does not depend on the key"


def test_bfloat16_is_for_the_arithmetic_alone(costly_case):
    """`dtype` goes to every layer; what is trained stays float32, and so do logits."""
    case = costly_case
    is_network = hasattr(case.module, "num_classes")  # or the end of one
    assert hasattr(case.module, "dtype") or not case.variables, "a field dtype is needed"
    half = case.module.clone(dtype=jnp.bfloat16) if hasattr(case.module, "dtype") else case.module
    inputs = tuple(each.astype(jnp.bfloat16) for each in case.inputs)
    variables = jax.eval_shape(lambda: half.init(jax.random.key(0), *inputs, **case.options))
    kept = {key: value for key, value in variables.items() if key in KEPT_COLLECTIONS}
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} <= {jnp.dtype("float32")}
    result, seen = jax.jit(
        lambda variables, inputs: half.apply(
            variables, *inputs, **case.options, capture_intermediates=True, mutable="intermediates"
        )
    )(case.variables, inputs)
    for one, exact in zip(jax.tree.leaves(result), outputs(case.result), strict=True):
        np.testing.assert_allclose(np.asarray(one, np.float32), exact, atol=0.1 * max(1.0, np.abs(exact).max()))
    assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {jnp.dtype("float32" if is_network else "bfloat16")}
    layers = jax.tree_util.tree_leaves_with_path(seen)
    # The outputs of the network itself, and of its end, are the logits.
    logits = outputs(case.result)[0].shape if is_network else None
    wide = [(path, leaf) for path, leaf in layers if leaf.dtype != jnp.bfloat16]
    assert [jax.tree_util.keystr(path) for path, leaf in wide if leaf.shape != logits] == []


# --- networks ---


@pytest.mark.parametrize("name", sorted(MODELS))
def test_shape_and_parameter_count(name):
    count, frames, classes = stated(name)
    model = MODELS[name](num_classes=classes)
    logits, variables = jax.eval_shape(
        lambda *inputs: model.init_with_output(jax.random.key(0), *inputs, is_training=False),
        *input_shapes(model, frames, batch=2),
    )
    assert logits.shape == (2, classes)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    known = {*KEPT_COLLECTIONS, LOSSES, "intermediates"}
    assert {*variables} <= known, "other collections are not trained or kept"


@pytest.mark.parametrize("name", [name for name, model in sorted(MODELS.items()) if takes_targets(model())])
def test_a_training_step_with_targets(name):
    """Its terms are finite, with coded action units and without any."""
    case = make_case(name)
    state = {key: value for key, value in case.variables.items() if key != "params"}

    @jax.jit
    def step(params, inputs, targets):
        options = {"is_training": True, "targets": targets, "rngs": {"dropout": jax.random.key(0)}}
        return case.apply({**state, "params": params}, inputs, mutable=[*state, LOSSES], **options)

    coded = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, len(ACTION_UNITS))), jnp.int8)
    for units in (coded, None):
        targets = make_targets(jnp.array([0, 1]), jnp.array([1.0, 2.0]), units, 0.5)
        logits, changed = step(case.variables["params"], case.inputs, targets)
        assert logits.shape == case.result.shape
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((logits, changed)))
        assert {*changed} - {LOSSES} == {*state}, "a collection that is not there from the start cannot be kept"


def test_other_numbers_of_classes(model_case):
    other = model_case.module.clone(num_classes=5)
    logits, _ = jax.eval_shape(lambda: other.init_with_output(jax.random.key(0), *model_case.inputs, is_training=False))
    assert logits.shape == (2, 5)


def test_every_input_matters(model_case):
    unused = getattr(model_case.module, "unused_inputs", ())  # of the view, by their position
    for which in range(len(model_case.inputs)):
        other = tuple(each * (position != which) for position, each in enumerate(model_case.inputs))
        changed = model_case.answer(model_case.variables, other)
        assert (np.abs(changed - model_case.result).max() > 1e-4) == (which not in unused)


@pytest.mark.parametrize("name", sorted({**MODELS, **BASELINES}))
def test_defaults_make_a_valid_experiment(name):
    model = {**MODELS, **BASELINES}[name]()
    Experiment(name="x", model=model).validate()
    hash(model) if name in MODELS else None  # a network is a constant of compiled programs


# --- what they refuse, before anything is compiled ---


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, FRAMES, 27, 29, 1), jnp.float32, r"got .*shape \(1, 18, 27, 29, 1\), expected \[\*b, .*; make .* with"),
        (None, jnp.uint8, r"got .* as uint8, expected .*floats.*; make them with"),
    ],
    ids=["shape", "dtype"],
)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_wrong_inputs_are_refused(name, shape, dtype, message):
    good = input_shapes(MODELS[name], FRAMES)
    for which in range(len(good)):
        inputs = [jnp.zeros(each.shape) for each in good]
        inputs[which] = jnp.zeros(shape or good[which].shape, dtype)
        with pytest.raises(ShapeError, match=message) as caught:
            MODELS[name]().init(jax.random.key(0), *inputs, is_training=False)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", of_view("halves"))
def test_halves_of_different_clips_are_refused(name):
    upper, lower = jnp.zeros((2, FRAMES, 64, 128, 1)), jnp.zeros((1, FRAMES, 64, 128, 1))
    with pytest.raises(ShapeError, match="halves of different shapes"):
        MODELS[name]().init(jax.random.key(0), upper, lower, is_training=False)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("name", of_view("halves", "face"))
def test_short_clips_are_answered_or_refused(name, frames):
    model, inputs = MODELS[name](), input_shapes(MODELS[name], frames)

    def answer(*inputs):
        return model.init_with_output(jax.random.key(0), *inputs, is_training=False)[0]

    try:
        logits, refusal = jax.eval_shape(answer, *inputs), ""
    except ShapeError as error:
        logits, refusal = None, str(error)
    if logits is not None:
        assert logits.shape == (1, 3)
    else:
        assert re.search(
            rf"got a clip of {frames} frames.* expected at least \d+ frames.*; use more frames", refusal
        ), "the refusal of a clip that is too short says how many frames are needed"


def test_a_model_has_to_state_its_view():
    with pytest.raises(ConfigError, match=r"view=None of the model Dense; expected a class attribute"):
        find_view(nn.Dense(3))
    assert {find_view(model).name for model in [*MODELS.values(), *BASELINES.values()]} <= {*VIEWS}
