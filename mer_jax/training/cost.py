"""Layers, parameters, operations and memory of a network, as Flax and XLA count them."""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mer_jax.blocks.small_conv import reference_operations
from mer_jax.data.targets import KEPT_COLLECTIONS
from mer_jax.data.views import find_view, input_shapes
from mer_jax.evaluation.score_text import lay_out
from mer_jax.models import compiler_options, reference_form
from mer_jax.training.steps import train_step


@dataclasses.dataclass(frozen=True)
class Layer:
    """One module of a network.

    Attributes:
        path: Of the module, such as `upper/attention/spatial`; "" for the network itself.
        kind: Class.
        shape: Of its first output, with the batch.
        parameters: Own parameters, without those of submodules and without those that an earlier call counted.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def list_layers(model: nn.Module, num_frames: int, batch: int = 1) -> list[Layer]:
    """Lists the modules of a network in the order of their calls, by abstract evaluation.

    Args:
        model: The network.
        num_frames: Frames of a clip.
        batch: Number of clips.

    Raises:
        ShapeError: Too few frames for the network.
    """
    calls: list[tuple[tuple[str, ...], str, Any]] = []

    def record(call, arguments, keywords, context):
        path = context.module.path
        # A layer that others share the work of is not called: its parameters are read.
        shared = context.method_name == "weights" and path not in [known for known, *_ in calls]
        if context.method_name != "__call__" and not shared:
            return call(*arguments, **keywords)
        place = len(calls)
        calls.append((path, type(context.module).__name__, None))
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
    """Counts the trained parameters of a network for clips of so many frames."""
    return sum(leaf.size for leaf in jax.tree.leaves(_eval_variables(model, num_frames, 1)["params"]))


def count_flops(model: nn.Module, num_frames: int) -> float:
    """Counts the floating-point operations of the prediction for one clip, as XLA does.

    The network is counted in its reference form, whatever runs on this machine, so the count is that of the
    mathematics. It takes a tenth of a second: the network is traced and not compiled.
    """
    model = reference_form(model)
    variables = _eval_variables(model, num_frames, 1)
    predict = jax.jit(lambda variables, *inputs: model.apply(variables, *inputs, is_training=False))
    with reference_operations():
        analysis = predict.lower(variables, *input_shapes(model, num_frames)).cost_analysis()
    if analysis is None:
        raise RuntimeError(f"XLA counts no operations on the platform {jax.default_backend()!r}")
    return analysis["flops"]


def measure_step_memory(model: nn.Module, num_frames: int, batch: int) -> int:
    """Measures the memory of one training step with Adam on this device, in bytes, as XLA plans it.

    Counted are weights, gradients, the two moments of Adam, the inputs of a batch and all intermediate results, but
    neither the corpus nor the process. It takes seconds, since the step is compiled.
    """
    variables = dict(_eval_variables(model, num_frames, batch))
    params = variables.pop("params")
    optimizer = optax.adam(1e-3)
    step = functools.partial(train_step, model=model, optimizer=optimizer)
    vector = jax.ShapeDtypeStruct((batch,), jnp.float32)
    compiled = (
        jax.jit(step, donate_argnums=(0, 1, 2), compiler_options=compiler_options(model))
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
    if plan is None:
        raise RuntimeError(f"XLA plans no memory on the platform {jax.default_backend()!r}")
    return (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes  # donated arguments, whose memory outputs reuse
    )


def describe_input(model: nn.Module | type[nn.Module], num_frames: int) -> str:
    """Describes the inputs of a network, such as `2 halves 18x64x128x1`."""
    shapes = input_shapes(model, num_frames)
    size = "x".join(map(str, shapes[0].shape[1:]))
    name = find_view(model).name
    return f"{len(shapes)} {name} {size}" if len(shapes) > 1 else f"{name} {size}"


def format_layers(layers: list[Layer]) -> str:
    """Formats layers as a table, with the sum of their parameters."""
    rows = []
    for layer in layers:
        name = "  " * layer.path.count("/") + layer.path.rpartition("/")[2] if layer.path else "(network)"
        rows.append(
            (name, layer.kind, "x".join(map(str, layer.shape)), f"{layer.parameters:,}" if layer.parameters else "")
        )
    rows.append(("", "", "in all", f"{sum(layer.parameters for layer in layers):,}"))
    return lay_out(("layer", "kind", "output", "parameters"), rows, num_left=2)


def format_count(number: float) -> str:
    """Formats a large number with three digits and a unit.

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
    return {name: value for name, value in variables.items() if name in KEPT_COLLECTIONS}


def _own_parameters(params: Any, path: tuple[str, ...]) -> int:
    for name in path:
        params = params.get(name, {})
    return sum(leaf.size for leaf in params.values() if not isinstance(leaf, dict))
