"""Version 2 of what happens in a clip: more ways in which the face shows one class.

Version 1 moves the units of a set together, on the same curve. Here each unit has its own size, start, apex and
curve; sides differ by degrees; some units of a set hardly move; sets are those that the corpora's papers print.

Source: the criteria of Yan et al., CASME II, PLoS ONE 9(1):e86041 (2014), table 2; the objective classes of Davison,
Merghani and Yap, J. Imaging 4(10):119 (2018), table 1; EMFACS variants of happiness and surprise. That the two sides
of the face move unequally, spontaneous expressions included: Ekman, Hager and Friesen, Psychophysiology 18(2) (1981).
Differs: probabilities and spreads are ours; no real label or recording was used to choose them.
"""

from collections.abc import Mapping

import numpy as np

from datasets.surrogate.action_units import LEFT, MIDLINE_UNITS, RIGHT
from datasets.surrogate.curves import ease
from datasets.surrogate.identity import Subject

UnitSets = tuple[tuple[tuple[str, ...], float], ...]
_POSITIVE: UnitSets = (
    (("6", "12"), 0.26), (("12",), 0.24), (("6",), 0.08), (("7", "12"), 0.08), (("6", "7", "12"), 0.08),
    (("12", "25"), 0.06), (("6", "12", "25"), 0.06), (("12", "14"), 0.04), (("10", "12"), 0.03),
    (("6", "10", "12"), 0.03), (("12", "17"), 0.02), (("12", "24"), 0.02),
)  # fmt: skip
_NEGATIVE: UnitSets = (
    (("4",), 0.15), (("4", "7"), 0.13), (("4", "5"), 0.02), (("4", "5", "7"), 0.02), (("17", "24"), 0.03),
    (("4", "6", "7"), 0.02), (("4", "24"), 0.02), (("4", "7", "24"), 0.02), (("9",), 0.04), (("10",), 0.06),
    (("4", "9"), 0.06), (("4", "7", "9"), 0.03), (("4", "9", "17"), 0.02), (("4", "7", "10"), 0.03),
    (("7", "10"), 0.02), (("4", "10"), 0.03), (("15",), 0.04), (("17",), 0.04), (("15", "17"), 0.06),
    (("14",), 0.05), (("1", "4"), 0.04), (("1",), 0.01), (("6", "15"), 0.01), (("1", "15"), 0.01),
    (("1", "2", "4"), 0.02), (("20",), 0.02),
)  # fmt: skip
_SURPRISE: UnitSets = (
    (("1", "2"), 0.30), (("1", "2", "5"), 0.20), (("2",), 0.10), (("1", "2", "25"), 0.11),
    (("1", "2", "5", "26"), 0.08), (("5",), 0.05), (("1", "2", "26"), 0.05), (("25", "26"), 0.04),
    (("1", "2", "5", "25"), 0.04), (("25",), 0.03),
)  # fmt: skip
# By label of any corpus; labels that are not here have the sets of version 1.
RICH_SETS: Mapping[str, UnitSets] = {
    "positive": _POSITIVE,
    "negative": _NEGATIVE,
    "surprise": _SURPRISE,
    "happiness": _POSITIVE,
    "disgust": (
        (("9",), 0.12), (("10",), 0.16), (("4", "7"), 0.20), (("4", "9"), 0.14), (("4", "7", "9"), 0.08),
        (("4", "7", "10"), 0.08), (("4", "10"), 0.08), (("9", "10"), 0.06), (("4", "9", "17"), 0.04),
        (("7", "10"), 0.04),
    ),
    "repression": (
        (("17",), 0.24), (("15",), 0.14), (("15", "17"), 0.26), (("17", "24"), 0.12), (("14", "17"), 0.08),
        (("12", "15"), 0.06), (("14",), 0.10),
    ),
}  # fmt: skip

SIZE_SPREAD = 0.40  # standard deviation of the logarithm, of units of one clip
SIDE_SPREAD = 0.30  # of the logarithm of the ratio of the two sides
ONE_SIDED = 0.15  # probability that one side hardly moves
PARTIAL = 0.20  # probability, for each unit after the first, that it hardly moves
LAG_SPREAD, SIDE_LAG_SPREAD = 0.12, 0.03  # of the apexes of units and sides, shares of the clip

Movements = dict[tuple[str, int], np.ndarray]


def unit_sets_of(sets: Mapping[str, UnitSets]) -> Mapping[str, UnitSets]:
    """Returns the action-unit sets of version 2 by the emotion labels of version 1."""
    return {label: RICH_SETS.get(label, each) for label, each in sets.items()}


def move_units(
    rng: np.random.Generator, units: tuple[str, ...], subject: Subject, amplitude: float, num_frames: int
) -> tuple[Movements, int]:
    """Draws how the units of a set move in a clip.

    Args:
        rng: Of this clip alone.
        units: The set.
        subject: Whose expressivity scales the movements.
        amplitude: Of a unit at its apex, fraction of the IOD.
        num_frames: Length of the clip.

    Returns:
        The curve of each unit and side, and the apex of the leading unit, which does not depend on the class.
    """
    weak_side = int(rng.integers(2)) if rng.random() < ONE_SIDED else None
    side_ratio = np.exp(0.5 * SIDE_SPREAD * rng.standard_normal() * np.array([1, -1]))
    leader = int(rng.integers(len(units)))
    apex = num_frames * rng.uniform(0.25, 0.7)
    movements: Movements = {}
    for number, unit in enumerate(units):
        size = amplitude * subject.expressivity[unit] * rng.uniform(0.65, 1.1)
        size *= np.exp(np.clip(SIZE_SPREAD * rng.standard_normal(), -0.9, 0.9))
        if number != leader and rng.random() < PARTIAL:
            size *= rng.uniform(0.1, 0.4)
        sizes = size * np.exp(0.15 * rng.standard_normal(2)) * (1 if unit in MIDLINE_UNITS else side_ratio)
        if weak_side is not None and unit not in MIDLINE_UNITS:
            sizes[weak_side] *= rng.uniform(0.05, 0.4)
        lag = 0.0 if number == leader else LAG_SPREAD * num_frames * rng.standard_normal()
        curve = _sample_curve(rng)
        for side in (RIGHT, LEFT):
            own_apex = (
                apex + lag + (0 if unit in MIDLINE_UNITS else SIDE_LAG_SPREAD * num_frames * rng.standard_normal())
            )
            movements[unit, side] = sizes[side] * _draw_curve(curve, num_frames, own_apex)
    return movements, int(np.clip(round(apex), 2, num_frames - 2))


def _sample_curve(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Start of the rise (share of it), its steepness, the plateau and what remains at the end (shares)."""
    return rng.uniform(0, 0.4), float(np.exp(0.35 * rng.standard_normal())), rng.uniform(0, 0.3), rng.uniform(0, 0.6)


def _draw_curve(curve: tuple[float, float, float, float], num_frames: int, apex: float) -> np.ndarray:
    start, power, plateau, remaining = curve
    frames = np.arange(num_frames)
    apex = float(np.clip(apex, 2, num_frames - 2))
    rise = ease((frames / apex - start) / (1 - start)) ** power
    after = num_frames - 1 - apex
    fall = ease((frames - apex - plateau * after) / max(1.0, (1 - plateau) * after))
    return np.where(frames <= apex, rise, 1 - (1 - remaining) * fall)
