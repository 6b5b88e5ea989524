"""What an attention block weighs: places of the face, and time steps."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mer_jax.explain.layout import Cells, Inputs, resample_cells
from mer_jax.explain.maps import Explained
from mer_jax.explain.network import ExplainedNetwork

SPATIAL, TEMPORAL = "spatial_map", "temporal_weights"  # as `HybridAttention` sows them


@dataclasses.dataclass(frozen=True, eq=False)
class TemporalWeights:
    """Weights of the time steps after the pool, for one clip.

    Attributes:
        weights: Of each path, such as `upper`; their mean is 1, and 1 everywhere is no preference.
    """

    weights: Mapping[str, Float[np.ndarray, " t"]]

    @property
    def lowest(self) -> float:
        """Of all paths and steps."""
        return float(min(each.min() for each in self.weights.values()))

    @property
    def highest(self) -> float:
        """Of all paths and steps."""
        return float(max(each.max() for each in self.weights.values()))

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return len(next(iter(self.weights.values())))


def spatial_attention(model: Explained, inputs: Inputs) -> Cells | None:
    """Spatial attention, its mean over the time steps; None where the network has none for each of its inputs."""
    found = _find(model, inputs, SPATIAL)
    layout = model.layout
    if len(found) != len(layout.bands):
        return None
    parts = zip(found.values(), layout.bands, strict=True)
    return np.concatenate(
        [resample_cells(each[..., 0].mean(axis=0), last - first, layout.columns) for each, (first, last) in parts]
    )


def temporal_attention(model: Explained, inputs: Inputs) -> TemporalWeights | None:
    """Weights of the time steps; None where the network has no such block."""
    found = _find(model, inputs, TEMPORAL)
    return TemporalWeights({path: each.reshape(-1) for path, each in found.items()}) if found else None


def _find(model: Explained, inputs: Inputs, name: str) -> dict[str, np.ndarray]:
    """What is sown under a name, by path; the upper half first."""
    if not isinstance(model, ExplainedNetwork):
        return {}
    sown = {path.split("/")[0]: each for path, each in model.sown(inputs).items() if path.split("/")[-1] == name}
    return {path: sown[path] for path in sorted(sown, key=lambda each: "lower" in each)}


@dataclasses.dataclass(frozen=True)
class AttentionAcrossClips:
    """How much attention differs between clips.

    Attributes:
        clips: How many.
        spatial_correlation: Mean correlation of the spatial maps of two clips; 1 if the map is a place.
        temporal_mean: Mean weight of each time step over clips, by path.
        temporal_spread: Standard deviation over clips of the weight of a step, the largest one.
    """

    clips: int
    spatial_correlation: float | None
    temporal_mean: Mapping[str, tuple[float, ...]]
    temporal_spread: float | None


def compare_attention(model: Explained, clips: Sequence[Inputs]) -> AttentionAcrossClips:
    """Measures how much the attention of a network depends on the clip.

    Args:
        model: The network.
        clips: Inputs of two or more clips, of different people if the comparison is to say something.
    """
    maps = [each for inputs in clips if (each := spatial_attention(model, inputs)) is not None]
    weights = [each for inputs in clips if (each := temporal_attention(model, inputs)) is not None]
    correlation = None
    if len(maps) > 1:
        pairs = np.corrcoef(np.stack([each.reshape(-1) for each in maps]))
        correlation = float(pairs[np.triu_indices(len(maps), 1)].mean())
    stacked: dict[str, Any] = {
        path: np.stack([each.weights[path] for each in weights]) for path in (weights[0].weights if weights else ())
    }
    return AttentionAcrossClips(
        clips=len(clips),
        spatial_correlation=correlation,
        temporal_mean={path: tuple(each.mean(axis=0).tolist()) for path, each in stacked.items()},
        temporal_spread=max(float(each.std(axis=0).max()) for each in stacked.values()) if stacked else None,
    )
