"""From prepared 8-bit pictures to class probabilities, by a network or a linear classifier; no OpenCV.

Names of arrays, each behind the number of its member and a slash:

    network   0/params/upper/dense/kernel, 0/batch_stats/...   as linen names them
    linear    0/weights [d, k], 0/bias [k]                      logits = features @ weights + bias

Features of a linear classifier are those of its baseline, `features(pictures)`. Centring, scaling and principal
components are linear, so they are part of weights and bias.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from mer_jax import baselines, models
from mer_jax.data.targets import KEPT_COLLECTIONS
from mer_jax.data.views import find_view, input_shapes
from mer_jax.errors import ModelError, ShapeError
from mer_jax.models import compiler_options
from mer_jax.prediction.description import ModelDescription, restore_class

BATCH = 16  # pictures of one call of a network, beside single ones: few shapes are compiled

Probabilities = Float[np.ndarray, "n k"]


class NetworkClassifier:
    """A linen module with one or several sets of weights.

    Attributes:
        view: What the module takes, with its own sizes.
        module: The module.
        members: Its variables, one set each.

    Args:
        description: What it is.
        arrays: Weights by name.
        network: The module; None makes the one that the description names.

    Raises:
        ModelError: The arrays are not those of the network.
    """

    def __init__(self, description: ModelDescription, arrays: Mapping[str, np.ndarray], network: Any = None):
        module = network if network is not None else restore_class(description, models)
        self._description, self.view = description, find_view(module)
        self._half = description.precision == "bfloat16"
        self.module = module.clone(dtype=jnp.bfloat16) if self._half else module
        template, logits = _trace(module, description)
        if logits.shape[-1] != len(description.class_names):
            raise ModelError(
                f"the network of {description.name} answers {logits.shape[-1]} classes; expected "
                f"{len(description.class_names)}: {', '.join(description.class_names)}"
            )
        members = [unflatten_member(arrays, member, template) for member in range(description.members)]
        _refuse_others(arrays, flatten_members(members))
        self.members = jax.device_put(members)
        self._apply = jax.jit(self._probabilities, compiler_options=compiler_options(self.module))

    def probabilities(self, pictures: UInt8[np.ndarray, "n *shape"]) -> Probabilities:
        """Class probabilities before calibration, averaged over members [n, k]."""
        number = len(pictures)
        parts = []
        for start in range(0, number, BATCH):
            part = pictures[start : start + BATCH]
            size = 1 if number == 1 else BATCH
            padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            each = np.stack([np.asarray(self._apply(member, padded), np.float64) for member in self.members])
            parts.append(each.mean(axis=0)[: len(part)])
        return np.concatenate(parts) if parts else np.zeros((0, len(self._description.class_names)))

    def _probabilities(self, variables: Any, pictures: Any) -> Any:
        inputs = self.view.make(pictures.astype(jnp.float32), self._description.normalization)
        if self._half:
            inputs = jax.tree.map(lambda each: each.astype(jnp.bfloat16), inputs)
        logits: Any = self.module.apply(variables, *inputs, is_training=False)
        return jax.nn.softmax(logits.astype(jnp.float32))


class LinearClassifier:
    """Features of a baseline, and one or several linear maps to logits.

    Attributes:
        view: What the baseline takes, with its own sizes.
        baseline: Computes the features.
        maps: Weights [d, k] and bias [k] of each member.

    Args:
        description: What it is.
        arrays: `weights` and `bias` of each member.

    Raises:
        ModelError: The arrays have other names or shapes.
    """

    def __init__(self, description: ModelDescription, arrays: Mapping[str, np.ndarray]):
        self.baseline = restore_class(description, baselines)
        self.view = find_view(self.baseline)
        self._description = description
        names = {f"{member}/{part}" for member in range(description.members) for part in ("weights", "bias")}
        if set(arrays) != names:
            raise ModelError(
                f"a linear model has the arrays {', '.join(sorted(names))}; got {', '.join(sorted(arrays)) or 'none'}"
            )
        num_classes = len(description.class_names)
        self.maps = [(arrays[f"{member}/weights"], arrays[f"{member}/bias"]) for member in range(description.members)]
        for weights, bias in self.maps:
            if weights.ndim != 2 or weights.shape[1] != num_classes or bias.shape != (num_classes,):
                raise ModelError(
                    f"the linear model {description.name} has weights {weights.shape} and a bias {bias.shape}; "
                    f"expected [features, {num_classes}] and [{num_classes}]"
                )

    def probabilities(self, pictures: UInt8[np.ndarray, "n *shape"]) -> Probabilities:
        """Class probabilities before calibration, averaged over members [n, k]."""
        if not len(pictures):
            return np.zeros((0, len(self._description.class_names)))
        features = self.baseline.features(pictures)
        if features.shape[1] != len(self.maps[0][0]):
            raise ShapeError(
                f"{type(self.baseline).__name__} has {features.shape[1]} features of these clips; the model "
                f"{self._description.name} takes {len(self.maps[0][0])}: another size or number of frames"
            )
        logits = [features @ weights.astype(np.float64) + bias for weights, bias in self.maps]
        shares = [np.exp(each - each.max(axis=1, keepdims=True)) for each in logits]
        return np.mean([each / each.sum(axis=1, keepdims=True) for each in shares], axis=0)


Classifier = NetworkClassifier | LinearClassifier


def make_classifier(description: ModelDescription, arrays: Mapping[str, np.ndarray], network: Any = None) -> Classifier:
    """Makes what answers from a description and its weights.

    Args:
        description: What it is.
        arrays: Weights by name.
        network: A linen module of the user's own, where it is none of `mer_jax.models`.

    Raises:
        ModelError: Description and weights do not go together.
    """
    if description.kind == "linear":
        if network is not None:
            raise ModelError(f"{description.name} is a linear model; expected no network beside it")
        return LinearClassifier(description, arrays)
    return NetworkClassifier(description, arrays, network)


def flatten_members(members: Sequence[Any]) -> dict[str, np.ndarray]:
    """Names the arrays of several sets of weights.

    Args:
        members: Variables of linen modules, or `{"weights": ..., "bias": ...}`.

    Example:
        >>> list(flatten_members([{"params": {"dense": {"bias": np.zeros(3, np.float32)}}}]))
        ['0/params/dense/bias']
    """
    named = {}
    for number, member in enumerate(members):
        for path, leaf in jax.tree_util.tree_leaves_with_path(member):
            key = jax.tree_util.keystr(path, simple=True, separator="/")
            named[f"{number}/{key}"] = np.asarray(leaf, np.float32)
    return named


def unflatten_member(arrays: Mapping[str, np.ndarray], member: int, template: Any) -> Any:
    """Puts the arrays of one member into the tree that a network expects.

    Args:
        arrays: All arrays by name.
        member: Number, from 0.
        template: Tree of shapes, as `jax.eval_shape` returns it.

    Raises:
        ModelError: An array is missing or has another shape.
    """

    def take(path: Any, leaf: Any) -> np.ndarray:
        name = f"{member}/{jax.tree_util.keystr(path, simple=True, separator='/')}"
        if name not in arrays:
            raise ModelError(f"the weights lack {name}; expected an array of shape {leaf.shape}")
        if arrays[name].shape != leaf.shape:
            raise ModelError(f"the weights {name} have shape {arrays[name].shape}; expected {leaf.shape}")
        return arrays[name]

    return jax.tree_util.tree_map_with_path(take, template)


def _refuse_others(arrays: Mapping[str, np.ndarray], used: Mapping[str, np.ndarray]) -> None:
    if others := sorted(set(arrays) - set(used)):
        raise ModelError(f"the weights hold {others[0]}, which the network does not have; {len(others)} such arrays")


def _trace(module: Any, description: ModelDescription) -> tuple[Any, Any]:
    """Shapes of the variables and of the logits of one clip; nothing is computed."""
    try:
        inputs = input_shapes(module, description.num_frames)
        variables = jax.eval_shape(lambda *each: module.init(jax.random.key(0), *each, is_training=False), *inputs)
        variables = {name: each for name, each in variables.items() if name in KEPT_COLLECTIONS}
        return variables, jax.eval_shape(lambda *each: module.apply(*each, is_training=False), variables, *inputs)
    except ShapeError as error:
        raise ModelError(f"the network of {description.name} cannot take its own clips: {error}") from error
