"""What training starts from: the weights of a trained model, or the clips that taught it.

A network starts every fold from the weights. A baseline has no start: its weights are pulled towards the given ones, or
the clips are added to its training clips; how much they count is chosen inside the training people of each fold, see
`mer_jax.baselines.transfer`.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from mer_jax.baselines.transfer import Linear, add_clips, pull_weights
from mer_jax.config import Experiment, Pretraining
from mer_jax.data.clips import Clips
from mer_jax.data.targets import KEPT_COLLECTIONS
from mer_jax.data.views import input_shapes
from mer_jax.errors import ConfigError
from mer_jax.system.files import checksum_array

_HELPED = "StandardFlow"  # the baseline whose features and fit are made for it


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained model that training starts from.

    Attributes:
        model: Its name or folder, for the record of the run.
        weights: Variables of a network, or a dict of `weights` [d, k] and `bias` [k]; NumPy arrays.
        clips: The clips that taught it, to be added to training; None to start from the weights.
    """

    model: str
    weights: Any
    clips: Clips | None = None

    @functools.cached_property
    def record(self) -> Pretraining:
        """What an experiment says of it: with this, a run can be repeated."""
        leaves = jax.tree_util.tree_leaves_with_path(self.weights)
        parts = [f"{jax.tree_util.keystr(path)} {checksum_array(leaf)}" for path, leaf in leaves]
        parts += [] if self.clips is None else [self.clips.fingerprint]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        return Pretraining(model=self.model, way="weights" if self.clips is None else "clips", checksum=digest)

    def apply_to(self, experiment: Experiment) -> Experiment:
        """Returns the experiment with the record of what it starts from.

        Raises:
            ConfigError: The experiment names other weights or clips.
        """
        named = experiment.pretraining
        if named.checksum and named.checksum != self.record.checksum:
            raise ConfigError(
                f"{self.model} has the checksum {self.record.checksum}; the experiment started from one with "
                f"{named.checksum}. Give the model that it was, or start another run"
            )
        return dataclasses.replace(experiment, pretraining=self.record)


def check_pretrained(experiment: Experiment, clips: Clips, pretrained: Pretrained | None) -> None:
    """Validates that training can start from a model.

    Args:
        experiment: With the record of what it starts from, see `Pretrained.apply_to`.
        clips: The corpus.
        pretrained: None for nothing.

    Raises:
        ConfigError: The experiment starts from something else; the weights have other names or shapes than the
            model's; the added clips are of another kind or have other classes; the model is a baseline that cannot be
            helped.
    """
    named = experiment.pretraining
    if pretrained is None:
        if named.model:
            raise ConfigError(f"the experiment starts from {named.model}; expected it as pretrained=, see Pretrained")
        return
    if named != pretrained.record:
        raise ConfigError("the experiment has another record; expected experiment=pretrained.apply_to(experiment)")
    name = type(experiment.model).__name__
    is_network = isinstance(experiment.model, nn.Module)
    if pretrained.clips is not None:
        _check_added(name, clips, pretrained.clips)
    if not is_network and name != _HELPED:
        raise ConfigError(
            f"got a model to start from for {name}; expected a network, or {_HELPED}: --config surrogate_motion.py"
        )
    needed = ("params",) if is_network else ("weights", "bias")
    if pretrained.clips is None and not set(needed) <= set(pretrained.weights):
        raise ConfigError(
            f"{pretrained.model} has {', '.join(pretrained.weights) or 'nothing'}; expected {' and '.join(needed)}, as "
            f"{name} has: start from a model of the same class"
        )
    if pretrained.clips is None and is_network:
        _check_variables(experiment, clips, pretrained)


def people_of(clips: Clips) -> tuple[tuple[str, str], ...]:
    """Corpus and person of each clip."""
    return tuple(zip(clips.corpus, clips.subject, strict=True))


def variables_of(pretrained: Pretrained | None) -> Any:
    """Variables of a network that every fold starts from; None where there are none."""
    if pretrained is None:
        return None
    return {name: value for name, value in pretrained.weights.items() if name in KEPT_COLLECTIONS}


def make_fit(model: Any, pretrained: Pretrained) -> Callable[..., tuple[Linear, str]]:
    """Makes the function that fits a baseline with the help of a trained model.

    Args:
        model: The baseline, a `StandardFlow`.
        pretrained: Weights to be pulled to, or clips to add.

    Returns:
        A function of the features [n, d], labels [n] and people of the training clips. It returns weights and bias, and
        in words what was chosen inside these people.

    Raises:
        ConfigError: The weights are for other features.
    """
    k = model.num_classes
    if pretrained.clips is not None:
        added = model.features(pretrained.clips.pictures), pretrained.clips.label

        def fit_with_clips(features: np.ndarray, labels: np.ndarray, people: Sequence[Any]) -> tuple[Linear, str]:
            linear, share = add_clips(features, labels, people, added, num_classes=k, penalty=model.penalty)
            return linear, f"no epochs; share of the added clips {share:g}"

        return fit_with_clips
    start = pretrained.weights["weights"], pretrained.weights["bias"]
    if start[0].shape != (3 * model.cells**2, k):
        raise ConfigError(
            f"{pretrained.model} has weights of shape {start[0].shape}; expected {(3 * model.cells**2, k)}, those of "
            f"model.cells={model.cells}: set --config.model.cells as the model has"
        )

    def fit_from_weights(features: np.ndarray, labels: np.ndarray, people: Sequence[Any]) -> tuple[Linear, str]:
        linear, penalty = pull_weights(features, labels, people, start, num_classes=k)
        return linear, f"no epochs; penalty {penalty:g} beside the given weights"

    return fit_from_weights


def _check_added(name: str, clips: Clips, added: Clips) -> None:
    if name != _HELPED:
        raise ConfigError(
            f"got clips to add to the training of {name}, whose weight would have to be chosen by training many times; "
            f"expected {_HELPED}, or --pretrained_by=weights"
        )
    for what, own, other in (
        ("kind", clips.kind, added.kind),
        ("shape", clips.pictures.shape[1:], added.pictures.shape[1:]),
        ("class_names", clips.class_names, added.class_names),
    ):
        if own != other:
            raise ConfigError(f"the clips to add differ in {what}: {other}; expected {own}, as the corpus has")


def _check_variables(experiment: Experiment, clips: Clips, pretrained: Pretrained) -> None:
    shapes = jax.eval_shape(
        lambda *inputs: experiment.model.init(jax.random.key(0), *inputs, is_training=False),
        *input_shapes(experiment.model, clips.num_frames),
    )
    own, other = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(variables_of(each))
        }
        for each in (Pretrained("", shapes), pretrained)
    )
    differ = [name for name in {**own, **other} if own.get(name) != other.get(name)]
    if differ:
        name = differ[0]
        raise ConfigError(
            f"{pretrained.model} has {name} of shape {other.get(name, 'none')}; expected {own.get(name, 'none')}, as "
            f"this {type(experiment.model).__name__} with {clips.num_frames} frames has; {len(differ)} arrays differ"
        )
