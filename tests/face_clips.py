"""Three clips of real faces, with their attribution in `tests/faces/README.md`."""

from pathlib import Path

import numpy as np

from mer_jax.vision.video import VideoFrames

FACES = Path(__file__).parent / "faces"
CLIPS = ("bbaf2n", "lbax4n", "swiz3n")


def read_clip(name: str, first: int = 0, last: int = 75) -> np.ndarray:
    """Returns frames `first` to `last` (exclusive) of a clip, RGB `[t 288 360 3]`."""
    with VideoFrames(FACES / f"{name}.mpg") as frames:
        return np.stack([frames[index] for index in range(first, last)])
