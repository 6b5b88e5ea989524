"""Three clips of real faces, with their attribution in `tests/faces/README.md`."""

from pathlib import Path

import numpy as np

from mer_jax.spotting.options import SpottingOptions
from mer_jax.vision.video import VideoFrames

FACES = Path(__file__).parent / "faces"
CLIPS = ("bbaf2n", "lbax4n", "swiz3n")
# So low that a mouth that speaks is an expression: the clips show no others.
EAGER = SpottingOptions(speech_reversals=100, short_floor=0.1, long_floor=0.2, noise_factor=1.0, turn_degrees=30.0)


def read_clip(name: str, first: int = 0, last: int = 75) -> np.ndarray:
    """Returns frames `first` to `last` (exclusive) of a clip, RGB `[t 288 360 3]`."""
    with VideoFrames(FACES / f"{name}.mpg") as frames:
        return np.stack([frames[index] for index in range(first, last)])
