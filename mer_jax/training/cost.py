"""What networks are made of and what they cost, asked of Flax and XLA: nothing is counted by hand."""

import dataclasses
import functools
import importlib
import inspect
import math
import pkgutil
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import mer_jax.models
from mer_jax.data.views import find_view, input_shapes
from mer_jax.errors import ConfigError, near_names
from mer_jax.training.steps import train_step


@dataclasses.dataclass(frozen=True)
class Layer:
    """One module of a network.

    Attributes:
        path: of the module, such as `upper/attention/spatial`; "" for the network itself.
        kind: class.
        shape: of its first output, with the batch.
        parameters: its own, those of the modules in it not counted, nor those of an earlier call.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def find_networks() -> dict[str, type[nn.Module]]:
    """Every network of `mer_jax.models`, by name, found by looking."""
    found = {
        name: value
        for info in pkgutil.iter_modules(mer_jax.models.__path__, "mer_jax.models.")
        for name, value in inspect.getmembers(importlib.import_module(info.name), inspect.isclass)
        if issubclass(value, nn.Module) and value.__module__ == info.name
    }
    return dict(sorted(found.items()))


def find_network(name: str) -> type[nn.Module]:
    """The network of that name, in any case.

    Raises:
        ConfigError: there is none.
    """
    networks = find_networks()
    for known, network in networks.items():
        if known.lower() == name.lower():
            return network
    raise ConfigError(f"no network is called {name!r}; {near_names(name, networks)}")


def list_layers(model: nn.Module, num_frames: int, batch: int = 1) -> list[Layer]:
    """The modules of a network in the order in which they are called. Computes nothing: shapes alone.

    Args:
        model: the network.
        num_frames: of a clip.
        batch: clips.

    Raises:
        ShapeError: too few frames for the network.
    """
    calls: list[tuple[tuple[str, ...], str, Any]] = []

    def record(call, arguments, keywords, context):
        if context.method_name != "__call__":
            return call(*arguments, **keywords)
        place = len(calls)
        calls.append((context.module.path, type(context.module).__name__, None))
        result = call(*arguments, **keywords)
        calls[place] = (*calls[place][:2], jax.tree.leaves(result)[0].shape)
        return result

    with nn.intercept_methods(record):
        variables = _eval_variables(model, num_frames, batch)
    layers, seen = [], set()
    for path, kind, shape in calls:
        parameters = 0 if path in seen else _own_parameters(variables["params"], path)
        layers.append(Layer("/".join(path), kind, shape, parameters))
        seen.add(path)
    return layers


def count_parameters(model: nn.Module, num_frames: int) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(_eval_variables(model, num_frames, 1)["params"]))


def count_flops(model: nn.Module, num_frames: int) -> float:
    """Floating-point operations of one clip's prediction, as XLA counts them.

    They are those of the mathematics: XLA's own 3D convolution is counted, whatever form of it would run here. Costs
    the tracing of the network, a tenth of a second; nothing is compiled.
    """
    if "implementation" in {field.name for field in dataclasses.fields(model)}:
        model = model.clone(implementation="direct")
    variables = _eval_variables(model, num_frames, 1)
    predict = jax.jit(lambda variables, *inputs: model.apply(variables, *inputs, is_training=False))
    return predict.lower(variables, *input_shapes(model, num_frames)).cost_analysis()["flops"]


def measure_step_memory(model: nn.Module, num_frames: int, batch: int) -> int:
    """Bytes that one training step with Adam needs on this device, as XLA plans them. Costs its compilation, seconds.

    Weights, their gradients and the two moments of Adam, the batch as fed, and all intermediate results; not the
    corpus, nor the process around them.
    """
    variables = dict(_eval_variables(model, num_frames, batch))
    params = variables.pop("params")
    optimizer = optax.adam(1e-3)
    step = functools.partial(train_step, model=model, optimizer=optimizer)
    vector = jax.ShapeDtypeStruct((batch,), jnp.float32)
    compiled = (
        jax.jit(step, donate_argnums=(0, 1, 2))
        .lower(
            params,
            variables,
            jax.eval_shape(optimizer.init, params),
            input_shapes(model, num_frames, batch),
            jax.ShapeDtypeStruct((batch,), jnp.int32),
            vector,
            jax.eval_shape(lambda: jax.random.key(0)),
        )
        .compile()
    )
    plan = compiled.memory_analysis()
    return (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes  # donated: outputs that take the place of arguments
    )


def describe_input(model: nn.Module | type[nn.Module], num_frames: int) -> str:
    """What a network is fed, as text."""
    shapes = input_shapes(model, num_frames)
    size = "x".join(map(str, shapes[0].shape[1:]))
    return f"{len(shapes)} halves {size}" if find_view(model).name == "halves" else f"motion {size}"


def format_layers(layers: list[Layer]) -> str:
    """A table of the layers, with the sum of their parameters."""
    rows = [("layer", "kind", "output", "parameters")]
    for layer in layers:
        name = "  " * layer.path.count("/") + layer.path.rpartition("/")[2] if layer.path else "(network)"
        rows.append(
            (name, layer.kind, "x".join(map(str, layer.shape)), f"{layer.parameters:,}" if layer.parameters else "")
        )
    rows.append(("", "", "in all", f"{sum(layer.parameters for layer in layers):,}"))
    return format_table(rows)


def format_table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as they need to be; the first two from the left, numbers from the right.

    Example:
        >>> print(format_table([("a", "bb", "1"), ("aaa", "b", "22")]))
        a    bb   1
        aaa  b   22
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def format_count(number: float) -> str:
    """A large number with a unit.

    Example:
        >>> format_count(894_665), format_count(1_683), format_count(512), format_count(2.5e9)
        ('895 k', '1.68 k', '512', '2.5 G')
    """
    step = min(3, int(math.log10(max(number, 1)) // 3))
    return f"{number / 1000**step:.3g} {('', 'k', 'M', 'G')[step]}".rstrip()


def _eval_variables(model: nn.Module, num_frames: int, batch: int) -> Any:
    def init(*inputs):
        return model.init(jax.random.key(0), *inputs, is_training=False)

    variables = jax.eval_shape(init, *input_shapes(model, num_frames, batch))
    return {name: value for name, value in variables.items() if name != "intermediates"}


def _own_parameters(params: Any, path: tuple[str, ...]) -> int:
    for name in path:
        params = params.get(name, {})
    return sum(leaf.size for leaf in params.values() if not isinstance(leaf, dict))
