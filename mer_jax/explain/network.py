"""A network whose cells can be taken away in part: logits, gradients, features of its pool, and random weights."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mer_jax.blocks.conv_pool import ConvReluPool
from mer_jax.explain.layout import Inputs, Layout, find_layout
from mer_jax.models import compiler_options

BATCH = 16  # variants of a clip in one call

_Traced = Sequence[Array]  # inputs inside a compiled program


@dataclasses.dataclass(frozen=True)
class PooledFeatures:
    """Output of a convolution with its pool, and the derivative of the contrast by it.

    Attributes:
        path: Name of the module, such as `upper/conv`.
        values: Features [t2, h2, w2, d].
        gradient: Of the same shape.
    """

    path: str
    values: Float[np.ndarray, "t h w d"]
    gradient: Float[np.ndarray, "t h w d"]


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """A linen module with one or several sets of weights, whose logits are averaged.

    Attributes:
        layout: Cells of its view.
        layers: Modules with weights, from the input to the logits.
        members: Sets of weights.
        programs: Compiled once and shared with the networks of other weights.
    """

    layout: Layout
    layers: tuple[str, ...]
    members: Sequence[Any]
    programs: "_Programs"

    def logits(self, inputs: Inputs, still: Inputs, amounts: Float[np.ndarray, "n r c"]) -> Float[np.ndarray, "n k"]:
        """Logits where only a share of the motion of each cell is left.

        Args:
            inputs: Of one clip.
            still: The same without motion, see `still_inputs`.
            amounts: What is left of each cell in each variant, 0 to 1.
        """
        parts = []
        for start in range(0, len(amounts), BATCH):
            part = amounts[start : start + BATCH].astype(np.float32)
            padded = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), axis=0)])
            each = [np.asarray(self.programs.logits(one, inputs, still, padded), np.float64) for one in self.members]
            parts.append(np.mean(each, axis=0)[: len(part)])
        return np.concatenate(parts)

    def path_gradient(
        self, inputs: Inputs, still: Inputs, points: Float[np.ndarray, "n"], contrast: Float[np.ndarray, "k"]
    ) -> Inputs:
        """Mean gradient of the contrast at points on the line from the still to the moving inputs.

        Args:
            inputs: Of one clip.
            still: The same without motion.
            points: Positions on the line, 0 to 1.
            contrast: Weights of the logits.
        """
        total = [np.zeros(each.shape, np.float64) for each in inputs]
        for start in range(0, len(points), BATCH):
            part = points[start : start + BATCH]
            # Points that fill up the batch have no share in the sum.
            shares = np.zeros(BATCH, np.float32)
            shares[: len(part)] = 1 / (len(points) * len(self.members))
            padded = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part))]).astype(np.float32)
            for member in self.members:
                found = self.programs.gradient(member, inputs, still, padded, shares, contrast.astype(np.float32))
                total = [before + np.asarray(each) for before, each in zip(total, found, strict=True)]
        return tuple(total)

    def pooled_features(self, inputs: Inputs, contrast: Float[np.ndarray, "k"]) -> tuple[PooledFeatures, ...]:
        """Output of every `ConvReluPool` for one clip, of the first member; none without such a block."""
        values, gradients = self.programs.features(self.members[0], inputs, contrast.astype(np.float32))
        return tuple(
            PooledFeatures(path, np.asarray(values[path])[0], np.asarray(gradients[path])[0]) for path in sorted(values)
        )

    def sown(self, inputs: Inputs) -> Mapping[str, np.ndarray]:
        """What the network of the first member sows into `intermediates` about one clip, by path."""
        found = self.programs.sown(self.members[0], inputs)
        return {
            jax.tree_util.keystr(path[:-1], simple=True, separator="/"): np.asarray(value, np.float32)[0]
            for path, value in jax.tree_util.tree_leaves_with_path(found)
        }

    def with_members(self, other: "ExplainedNetwork") -> "ExplainedNetwork":
        """Returns the same programs with the weights of another network of the same kind; nothing is compiled again."""
        return dataclasses.replace(self, members=other.members)

    def randomized(self, depth: int, rng: np.random.Generator) -> "ExplainedNetwork":
        """Returns the network with the weights of its last layers shuffled.

        Args:
            depth: How many layers, counted from the logits.
            rng: Of the shuffling.
        """
        chosen = self.layers[len(self.layers) - depth :]

        def shuffle(path: Any, leaf: Any) -> np.ndarray:
            name = jax.tree_util.keystr(path[1:-1], simple=True, separator="/")  # without collection and array
            leaf = np.asarray(leaf)
            return rng.permutation(leaf.reshape(-1)).reshape(leaf.shape) if name in chosen else leaf

        members = [jax.tree_util.tree_map_with_path(shuffle, member) for member in self.members]
        return dataclasses.replace(self, members=jax.device_put(members))


def explain_network(module: nn.Module, members: Sequence[Any], view: str, inputs: Inputs) -> ExplainedNetwork:
    """Makes a network explainable; it computes in float32.

    Args:
        module: The network.
        members: Variables of the network, one or several sets.
        view: Its view.
        inputs: Of one clip, for their shapes.

    Raises:
        ModelError: A view without maps.
    """
    layout = find_layout(view)
    module = module.clone(dtype=None)
    return ExplainedNetwork(
        layout=layout,
        layers=_order_layers(module, members[0], inputs),
        members=jax.device_put(list(members)),
        programs=_Programs(module, layout),
    )


class _Programs:
    """The compiled functions of one module."""

    def __init__(self, module: nn.Module, layout: Layout):
        self._module, self._layout = module, layout
        options = compiler_options(module)
        self.logits, self.gradient, self.features, self.sown = (
            jax.jit(each, compiler_options=options)
            for each in (self._logits, self._gradient, self._features, self._sown)
        )

    def _apply(self, variables: Any, inputs: _Traced, **options: Any) -> Any:
        return self._module.apply(variables, *inputs, is_training=False, **options)

    def _logits(self, variables: Any, inputs: _Traced, still: _Traced, amounts: Array) -> Any:
        mixed = []
        for (first, last), moving, resting in zip(self._layout.bands, inputs, still, strict=True):
            share = amounts[:, first:last]
            share = jnp.repeat(jnp.repeat(share, self._layout.cell, axis=1), self._layout.cell, axis=2)[..., None]
            mixed.append(resting + (share[:, None] if self._layout.has_frames else share) * (moving - resting))
        return self._apply(variables, mixed)

    def _gradient(
        self, variables: Any, inputs: _Traced, still: _Traced, points: Array, shares: Array, contrast: Array
    ) -> Any:
        at = [
            resting + jnp.expand_dims(points, range(1, resting.ndim + 1)) * (moving - resting)
            for moving, resting in zip(inputs, still, strict=True)
        ]
        found = jax.grad(lambda each: (shares * (self._apply(variables, each) @ contrast)).sum())(at)
        return [each.sum(axis=0) for each in found]

    def _features(self, variables: Any, inputs: _Traced, contrast: Array) -> Any:
        one = [each[None] for each in inputs]
        shapes = jax.eval_shape(lambda: self._pool(variables, one, contrast, {})[1])
        nothing = {path: jnp.zeros(each.shape, each.dtype) for path, each in shapes.items()}
        gradients, values = jax.grad(lambda added: self._pool(variables, one, contrast, added), has_aux=True)(nothing)
        return values, gradients

    def _pool(self, variables: Any, inputs: _Traced, contrast: Array, added: Mapping[str, Array]) -> Any:
        """The contrast, and the outputs of all pools; zeros are added to these to have the derivative by them."""
        outputs: dict[str, Array] = {}

        def intercept(
            call: Callable[..., Any], given: Any, keywords: Any, context: nn.module.InterceptorContext
        ) -> Any:
            output = call(*given, **keywords)
            if not isinstance(context.module, ConvReluPool) or context.method_name != "__call__":
                return output
            path = "/".join(context.module.path)
            outputs[path] = output + added[path] if path in added else output
            return outputs[path]

        with nn.intercept_methods(intercept):
            logits = self._apply(variables, inputs)
        return (logits @ contrast).sum(), outputs

    def _sown(self, variables: Any, inputs: _Traced) -> Any:
        return self._apply(variables, [each[None] for each in inputs], mutable=["intermediates"])[1].get(
            "intermediates", {}
        )


def _order_layers(module: nn.Module, variables: Any, inputs: Inputs) -> tuple[str, ...]:
    """Modules that own weights, in the order in which they finish; those that no call names come first."""
    called: list[str] = []

    def note(call: Callable[..., Any], given: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
        output = call(*given, **keywords)
        called.append("/".join(context.module.path))
        return output

    apply = functools.partial(module.apply, is_training=False)
    with nn.intercept_methods(note):
        jax.eval_shape(apply, variables, *[each[None] for each in inputs])
    owners = {
        jax.tree_util.keystr(path[1:-1], simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(variables)
    }
    return tuple(sorted(owners, key=lambda owner: called.index(owner) if owner in called else -1))
