"""Alignment of other people's motion features to our box, without labels.

Authors cut faces out in different ways, so that the mouth of one is on the cheek of another. Where faces move most is
the same for all of them: eyes, brows and mouth. The map of mean activity over all clips is matched to that of the
features a model was trained on, by shift and scale.

Source: none; ours.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from mer_jax.data.motion import standardize
from mer_jax.errors import ModelError
from mer_jax.sizes import MOTION_SIZE

ACTIVITY = "activity.npy"  # beside the weights of a shipped model
SHIFTS = np.arange(-4.0, 4.01, 1.0)  # cells
SCALES = (0.80, 0.86, 0.93, 1.0, 1.08, 1.16, 1.25)
_FINE = np.arange(-0.75, 0.76, 0.25)
# A better match than this is worth resampling for; below, the difference between two samples of people is as large.
LEAST_GAIN = 0.05

Activity = Float[np.ndarray, "28 28 3"]


@dataclasses.dataclass(frozen=True)
class Box:
    """Where our box lies in the pictures of others.

    Attributes:
        right, down: Shift of its middle, cells of the pictures.
        scale: Its size, 1 for the same.
        match: Correlation of the activity maps in it, -1 to 1.
        match_unmoved: Correlation as the pictures are.
    """

    right: float
    down: float
    scale: float
    match: float
    match_unmoved: float

    @property
    def is_moved(self) -> bool:
        """Whether the box is another than that of the pictures, by a clearly better match."""
        return self.match - self.match_unmoved > LEAST_GAIN

    def __str__(self) -> str:
        found = f"shift {self.right:+.2f}, {self.down:+.2f} cells, scale {self.scale:.2f}, match {self.match:.2f}"
        decision = "used" if self.is_moved else "not used"
        return f"{found} instead of {self.match_unmoved:.2f} as they are: {decision}"


def measure_activity(pictures: UInt8[np.ndarray, "n 28 28 3"]) -> Activity:
    """Mean absolute value of standardised features over clips."""
    return np.abs(standardize(pictures)).mean(axis=0, dtype=np.float64)


def read_activity(folder: Path) -> Activity:
    """Reads the activity map of what a model was trained on.

    Raises:
        ModelError: The model has none.
    """
    path = folder / ACTIVITY
    try:
        activity = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}; only shipped models of motion features can align") from error
    return activity.astype(np.float64)


def find_box(activity: Activity, reference: Activity) -> Box:
    """Finds our box in the pictures of others: first coarsely, then in quarter cells.

    Args:
        activity: Of their clips, see `measure_activity`.
        reference: Of the model's training clips.
    """
    unmoved = _match(activity, reference, 0.0, 0.0, 1.0)
    best = max(
        (_match(activity, reference, right, down, scale), right, down, scale)
        for right, down, scale in itertools.product(SHIFTS, SHIFTS, SCALES)
    )
    _, right, down, scale = best
    match, right, down, scale = max(
        (_match(activity, reference, right + x, down + y, scale * factor), right + x, down + y, scale * factor)
        for x, y, factor in itertools.product(_FINE, _FINE, (0.97, 1.0, 1.03))
    )
    return Box(float(right), float(down), float(scale), float(match), float(unmoved))


def align(pictures: UInt8[np.ndarray, "n 28 28 3"], box: Box) -> UInt8[np.ndarray, "n 28 28 3"]:
    """Resamples pictures to our box; what lies outside of them repeats their edge."""
    moved = _resample(pictures.astype(np.float64), box.right, box.down, box.scale)
    return np.clip(np.round(moved), 0, 255).astype(np.uint8)


def _match(activity: Activity, reference: Activity, right: float, down: float, scale: float) -> float:
    """Mean over channels of the correlation, where the box lies inside the pictures."""
    moved = _resample(activity, right, down, scale)
    rows, columns = (_positions(shift, scale) for shift in (down, right))
    inside = np.outer(*((each >= 0) & (each <= MOTION_SIZE - 1) for each in (rows, columns)))
    if inside.mean() < 0.6:
        return -1.0
    a, b = (each[inside] - each[inside].mean(axis=0) for each in (moved, reference))
    return float(((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0) + 1e-12)).mean())


def _positions(shift: float, scale: float) -> Float[np.ndarray, " 28"]:
    middle = (MOTION_SIZE - 1) / 2
    return middle + shift + scale * (np.arange(MOTION_SIZE) - middle)


def _resample(maps: Float[np.ndarray, "*b 28 28 c"], right: float, down: float, scale: float) -> np.ndarray:
    """Bilinear, one axis after the other."""
    for axis, shift in ((-3, down), (-2, right)):
        at = np.clip(_positions(shift, scale), 0, MOTION_SIZE - 1)
        before = np.minimum(at.astype(int), MOTION_SIZE - 2)
        share = (at - before).reshape(-1, *([1] * (-1 - axis)))
        maps = np.take(maps, before, axis) * (1 - share) + np.take(maps, before + 1, axis) * share
    return maps
