"""From the n frames of a clip to the T that the network sees, as a matrix of weights.

Each of the T output frames is a weighted sum of input frames, so picking frames, interpolating between neighbours
and any other linear scheme share one form, and only frames with a weight need to be decoded.
"""

import numpy as np
from jaxtyping import Float32, Int

SamplingWeights = Float32[np.ndarray, "t n"]


def uniform_indices(num_available: int, num_frames: int) -> Int[np.ndarray, "t"]:
    """Returns T evenly spaced frame numbers, 0-based: the first and the last frame, and what lies between.

    A clip shorter than T repeats frames. Whole-number arithmetic (halves are rounded up) makes it the same everywhere.

    Args:
        num_available: Frames of the clip, 1 or more.
        num_frames: T, 2 or more.

    Example:
        >>> uniform_indices(9, 5).tolist(), uniform_indices(3, 5).tolist()
        ([0, 2, 4, 6, 8], [0, 1, 1, 2, 2])
    """
    steps = num_frames - 1
    return (2 * np.arange(num_frames) * (num_available - 1) + steps) // (2 * steps)


def sampling_weights(num_available: int, num_frames: int, sampling: str) -> SamplingWeights:
    """Returns the weight of each input frame in each output frame; rows sum to 1.

    Args:
        num_available: n, frames of the clip, 1 or more.
        num_frames: T, 2 or more.
        sampling: `uniform` has one weight of 1 per row, by `uniform_indices`; `linear` interpolates between the two
            frames around each of T evenly spaced times.
    """
    weights = np.zeros((num_frames, num_available), np.float32)
    rows = np.arange(num_frames)
    if sampling == "uniform":
        weights[rows, uniform_indices(num_available, num_frames)] = 1
    elif sampling == "linear":
        earlier, remainder = np.divmod(rows * (num_available - 1), num_frames - 1)
        later = np.minimum(earlier + 1, num_available - 1)
        share = remainder / (num_frames - 1)
        weights[rows, earlier] += 1 - share
        weights[rows, later] += share
    else:
        raise ValueError(f"unknown sampling {sampling!r}; VisionOptions.validate() tells which there are")
    return weights
