"""Detects combing: interlaced video that was stored as if it were progressive."""

import dataclasses

import numpy as np

from mer_jax.vision.frames import GrayFrame

_STEP = 8  # gray levels that a row has to stand out from both neighbours
# Of moving pixels, the ratio of rows to columns that stand out: progressive video, compressed hard too, has .1 to 2.3,
# woven fields 5 to 35.
_COMBED_RATIO, _FEWEST_COMBED = 3.5, 100


@dataclasses.dataclass
class CombCounter:
    """Counts moving pixels that stand out from both vertical neighbours, or from both horizontal ones."""

    rows: int = 0
    columns: int = 0

    def add(self, gray: GrayFrame, before: GrayFrame) -> None:
        """Counts in one frame.

        Args:
            gray: The frame.
            before: An earlier frame of the same size, to tell what moves.
        """
        levels = gray.astype(np.int16)
        moving = np.abs(levels - before) > _STEP
        self.rows += _count_outstanding(levels, moving)
        self.columns += _count_outstanding(levels.T, moving.T)

    @property
    def is_combed(self) -> bool:
        """Whether the frames are woven from two fields."""
        return self.rows >= _FEWEST_COMBED and self.rows > _COMBED_RATIO * self.columns


def _count_outstanding(levels: np.ndarray, moving: np.ndarray) -> int:
    above, below = levels[1:-1] - levels[:-2], levels[1:-1] - levels[2:]
    peaks = (above > _STEP) & (below > _STEP) | (above < -_STEP) & (below < -_STEP)
    return int((peaks & moving[1:-1]).sum())
