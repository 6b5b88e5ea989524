"""A linear classifier on a picture of motion whose cells can be taken away in part."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mer_jax.errors import ModelError
from mer_jax.explain.layout import Inputs, Layout, find_layout
from mer_jax.sizes import MOTION_SIZE

_CHANNELS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedLinear:
    """One or several linear maps from the features of a picture of motion [s, s, 3] to logits, which are averaged.

    Features are what the classifier multiplies: after the baseline has standardised them, where it does.

    Attributes:
        layout: Cells of the features.
        maps: Weights [d, k] and bias [k] of each member.
    """

    layout: Layout
    maps: Sequence[tuple[np.ndarray, np.ndarray]]

    @property
    def layers(self) -> tuple[str, ...]:
        """Its one layer."""
        return ("weights",)

    def logits(self, inputs: Inputs, still: Inputs, amounts: Float[np.ndarray, "n r c"]) -> Float[np.ndarray, "n k"]:
        """See `ExplainedNetwork.logits`."""
        share = amounts.repeat(self.layout.cell, axis=1).repeat(self.layout.cell, axis=2)[..., None]
        mixed = (still[0] + share * (inputs[0] - still[0])).reshape(len(amounts), -1)
        return np.mean([mixed @ weights + bias for weights, bias in self.maps], axis=0)

    def path_gradient(
        self, inputs: Inputs, still: Inputs, points: Float[np.ndarray, "n"], contrast: Float[np.ndarray, "k"]
    ) -> Inputs:
        """See `ExplainedNetwork.path_gradient`; the same at every point."""
        del still, points
        return (np.mean([weights @ contrast for weights, _ in self.maps], axis=0).reshape(inputs[0].shape),)

    def randomized(self, depth: int, rng: np.random.Generator) -> "ExplainedLinear":
        """Returns the classifier with its weights shuffled, see `ExplainedNetwork.randomized`."""
        del depth
        maps = [(rng.permutation(weights.reshape(-1)).reshape(weights.shape), bias) for weights, bias in self.maps]
        return dataclasses.replace(self, maps=maps)


def explain_linear(maps: Sequence[tuple[np.ndarray, np.ndarray]], view: str, name: str) -> ExplainedLinear:
    """Makes a linear classifier explainable.

    Args:
        maps: Weights and bias of each member.
        view: Of its baseline.
        name: Of its baseline, for messages.

    Raises:
        ModelError: Its features are not those of a picture of motion.
    """
    number = len(maps[0][0])
    size = round((number / _CHANNELS) ** 0.5)
    if view != "motion" or size * size * _CHANNELS != number or MOTION_SIZE % size:
        raise ModelError(
            f"the model is a linear classifier on the features of {name}, of the view {view!r}, which cannot be "
            "explained yet: its features have no place on the face; expected StandardFlow, LinearFlow or a network"
        )
    return ExplainedLinear(find_layout(view, size=size), maps)


def shape_features(features: Float[np.ndarray, "1 d"]) -> Inputs:
    """The features of one clip as a picture [s, s, 3]."""
    size = round((features.shape[-1] / _CHANNELS) ** 0.5)
    return (features.reshape(size, size, _CHANNELS),)
