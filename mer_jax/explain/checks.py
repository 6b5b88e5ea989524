"""Checks of a map: does it depend on the weights, and do its cells matter more than others?

Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, section 3.1 (cascading randomisation);
deletion: Petsiuk, Das and Saenko, "RISE", BMVC 2018, section 4.1.
Differs: weights are shuffled within each array instead of drawn anew, so that their size stays; several draws are
averaged, and the absolute correlation counts, since a map may keep its places and change its sign. Deletion takes an
eighth of the cells at once and compares with random sets of as many, drawn from the cells that move: beside a masked
part of the face, every map would look good.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from mer_jax.explain.layout import Cells, Inputs, still_inputs
from mer_jax.explain.maps import Contrast, Explained, score_without

MOST_CORRELATION = 0.5
DRAWS = 4  # random networks at each depth
RANDOM_SETS = 39  # of cells: one in 40 is the level .05, one-sided, with a margin of one
LEVEL = 0.05
LEAST_MOTION = 0.01  # of the largest amount of motion in a cell: what moves less is in no random set
DELETED = 8  # one of so many cells is taken away

MakeMap = Callable[[Explained], Cells | None]


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found about one map.

    Attributes:
        correlations: Mean absolute rank correlation with the map of networks whose last layers were randomised, by the
            layer down to which they were, in the order of the cascade; the last entry is the whole network.
        deletion: By how much the contrast falls without the motion of the map's highest cells.
        random_deletion: The same for as many random cells that move, mean over the sets.
        p: Share of random sets that take away as much, the map itself counted among them.
        reasons: Why the map must not be drawn; empty if it may be.
    """

    correlations: Mapping[str, float]
    deletion: float
    random_deletion: float
    p: float
    reasons: tuple[str, ...]

    @property
    def correlation(self) -> float:
        """With the maps of wholly random networks."""
        return list(self.correlations.values())[-1]

    @property
    def depends_on_weights(self) -> bool:
        """Whether the map of random networks is another one."""
        return self.correlation <= MOST_CORRELATION

    @property
    def beats_random(self) -> bool:
        """Whether its highest cells matter more than random ones."""
        return self.p <= LEVEL

    @property
    def is_passed(self) -> bool:
        """Whether the map may be drawn."""
        return not self.reasons


@dataclasses.dataclass(frozen=True, eq=False)
class CheckMaterial:
    """What all maps of one clip are compared with.

    Attributes:
        model: What is explained.
        inputs: Of the clip.
        contrast: What is explained of it.
        random: By the layer down to which weights were shuffled: some networks.
        random_deletions: Fall of the contrast without random cells.
    """

    model: Explained
    inputs: Inputs
    contrast: Contrast
    random: Mapping[str, Sequence[Explained]]
    random_deletions: Float[np.ndarray, " n"]

    def fall_without(self, values: Cells) -> float:
        """By how much the contrast falls without the motion of the highest cells of a map."""
        highest = np.argsort(-values.reshape(-1), kind="stable")[: _num_deleted(values.size)]
        chosen = np.isin(np.arange(values.size), highest).reshape(1, *values.shape)
        return float(_falls(self.model, self.inputs, self.contrast, chosen)[0])


def prepare_checks(
    model: Explained, inputs: Inputs, contrast: Contrast, *, draws: int = DRAWS, depths: int = 3, seed: int = 0
) -> CheckMaterial:
    """Makes the random networks and the random deletions that the maps of one clip are compared with.

    Args:
        model: What is explained.
        inputs: Of the clip.
        contrast: What is explained of it.
        draws: Random networks at each depth.
        depths: Steps of the cascade: 1 is the whole network alone; more are spread from the last layer on.
        seed: Of the shuffling and of the random cells.
    """
    rng = np.random.default_rng(seed)
    number = len(model.layers)
    chosen = sorted({round(each) for each in np.linspace(number if depths == 1 else 1, number, depths)})
    random = {model.layers[number - depth]: [model.randomized(depth, rng) for _ in range(draws)] for depth in chosen}
    energy = measure_motion(model, inputs).reshape(-1)
    removed = _num_deleted(len(energy))
    # As many candidates as are needed for sets that differ, whatever moves.
    least = min(LEAST_MOTION * energy.max(), np.sort(energy)[-2 * removed]) if len(energy) > 2 * removed else 0.0
    candidates = np.flatnonzero(energy >= least)
    sets = np.zeros((RANDOM_SETS, len(energy)), bool)
    for row in sets:
        row[rng.choice(candidates, removed, replace=False)] = True
    sets = sets.reshape(-1, model.layout.rows, model.layout.columns)
    return CheckMaterial(model, inputs, contrast, random, _falls(model, inputs, contrast, sets))


def measure_motion(model: Explained, inputs: Inputs) -> Cells:
    """Amount of motion in each cell: the absolute difference from the still face, summed."""
    still = still_inputs(model.layout, inputs)
    return model.layout.sum_cells(tuple(np.abs(each - before) for each, before in zip(inputs, still, strict=True)))


def check_map(values: Cells, make_map: MakeMap, material: CheckMaterial) -> Check:
    """Checks one map.

    Args:
        values: The map of the clip.
        make_map: Makes the same map of another network.
        material: See `prepare_checks`.
    """
    correlations = {
        layer: float(np.mean([_correlate(values, make_map(each)) for each in models]))
        for layer, models in material.random.items()
    }
    deletion = material.fall_without(values)
    p = (1 + int((material.random_deletions >= deletion).sum())) / (1 + len(material.random_deletions))
    reasons = []
    whole = list(correlations.values())[-1]
    if np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):
        reasons.append("it is the same everywhere")
    elif whole > MOST_CORRELATION:
        reasons.append(
            f"it hardly depends on what the network has learnt: rank correlation {whole:.2f} with the map of networks "
            f"with random weights; at most {MOST_CORRELATION:.2f} is allowed"
        )
    if p > LEVEL:
        reasons.append(
            f"its highest cells matter no more than others: without their motion the score falls by {deletion:.2f}, "
            f"without that of as many random cells by {material.random_deletions.mean():.2f} (p = {p:.2f})"
        )
    return Check(correlations, deletion, float(material.random_deletions.mean()), p, tuple(reasons))


def _num_deleted(num_cells: int) -> int:
    return max(1, num_cells // DELETED)


def _falls(
    model: Explained, inputs: Inputs, contrast: Contrast, removed: Bool[np.ndarray, "n r c"]
) -> Float[np.ndarray, "n"]:
    scores = score_without(model, inputs, contrast, np.concatenate([np.zeros_like(removed[:1]), removed]))
    return scores[0] - scores[1:]


def _correlate(one: Cells, other: Cells | None) -> float:
    """Absolute rank correlation; 0 where a map is the same everywhere."""
    if other is None:
        return 0.0
    ranks = [rankdata(each.reshape(-1)) for each in (one, other)]
    if any(np.ptp(each) == 0 for each in ranks):
        return 0.0
    return float(abs(np.corrcoef(ranks)[0, 1]))
