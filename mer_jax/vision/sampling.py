"""Temporal sampling: from the n frames of a clip to the T frames of the network, as a weight matrix.

Each output frame is a weighted sum of input frames. Selecting frames, linear interpolation and the temporal
interpolation model thus share one form, and only frames with a non-zero weight have to be decoded.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

SamplingWeights = Float32[np.ndarray, "t n"]


def uniform_indices(num_available: int, num_frames: int) -> Int[np.ndarray, "t"]:
    """Returns T evenly spaced frame numbers, 0-based, from the first to the last frame.

    A clip shorter than T repeats frames. Integer arithmetic (halves are rounded up) gives the same result everywhere.

    Args:
        num_available: Frames of the clip, 1 or more.
        num_frames: T, 2 or more.

    Example:
        >>> uniform_indices(9, 5).tolist(), uniform_indices(3, 5).tolist()
        ([0, 2, 4, 6, 8], [0, 1, 1, 2, 2])
    """
    steps = num_frames - 1
    return (2 * np.arange(num_frames) * (num_available - 1) + steps) // (2 * steps)


def apex_indices(num_available: int, num_frames: int, apex: int) -> Int[np.ndarray, "t"]:
    """Returns T frame numbers, 0-based, with the apex at position T // 2.

    Half of the frames are evenly spaced from the onset to the apex, the others from there to the offset, so that clips
    of different speed reach their apex at the same position.

    Args:
        num_available: Frames of the clip, 1 or more.
        num_frames: T, 2 or more.
        apex: The frame of the largest motion, 0-based.

    Example:
        >>> apex_indices(21, 5, 4).tolist()
        [0, 2, 4, 12, 20]
    """
    if not 0 <= apex < num_available:
        raise ValueError(f"apex {apex} is not in a clip of {num_available} frames")
    if num_frames == 2:  # onset and apex; there is no room for the fall
        return np.array([0, apex])
    rise = uniform_indices(apex + 1, num_frames // 2 + 1)
    fall = apex + uniform_indices(num_available - apex, num_frames - num_frames // 2)
    return np.concatenate([rise, fall[1:]])


def sampling_weights(num_available: int, num_frames: int, sampling: str, apex: int | None = None) -> SamplingWeights:
    """Returns the weight of each input frame in each output frame; rows sum to 1.

    Args:
        num_available: n, frames of the clip, 1 or more.
        num_frames: T, 2 or more.
        sampling: `uniform` has one weight of 1 per row, by `uniform_indices`; `apex` likewise, by `apex_indices`;
            `linear` interpolates between the two frames around each of T evenly spaced times; `tim` follows the curve
            of `interpolation_model`, whose weights may be negative.
        apex: The frame of the largest motion, 0-based; required by `apex` sampling, ignored by the others.
    """
    weights = np.zeros((num_frames, num_available), np.float32)
    rows = np.arange(num_frames)
    if sampling == "uniform":
        weights[rows, uniform_indices(num_available, num_frames)] = 1
    elif sampling == "apex":
        if apex is None:
            raise ValueError("sampling around the apex needs the apex")
        weights[rows, apex_indices(num_available, num_frames, apex)] = 1
    elif sampling == "linear":
        earlier, remainder = np.divmod(rows * (num_available - 1), num_frames - 1)
        later = np.minimum(earlier + 1, num_available - 1)
        share = remainder / (num_frames - 1)
        weights[rows, earlier] += 1 - share
        weights[rows, later] += share
    elif sampling == "tim":
        weights = interpolation_model(num_available, np.linspace(0, num_available - 1, num_frames))
    else:
        raise ValueError(f"unknown sampling {sampling!r}; VisionOptions.validate() lists the known ones")
    return weights


def interpolation_model(num_available: int, at: Float[np.ndarray, "t"]) -> SamplingWeights:
    """Returns the weights of the temporal interpolation model (TIM) at arbitrary times.

    The frames of a clip are the nodes of a path, each joined to its neighbours. The eigenvectors of that graph's
    Laplacian sample the curves f_k(t) = sin(pi k t + pi (n - k) / (2 n)), k = 1 to n - 1, at t = i / n; the
    map from eigenvectors back to frames, found by least squares, makes a clip of any curve point. At the times of the
    frames the model gives the frames themselves; between them it is smooth over the whole clip.

    Args:
        num_available: n, frames of the clip, 1 or more.
        at: Times in frames, 0 to n - 1.

    Source: Zhou, Zhao and Pietikainen, "Towards a practical lipreading system", CVPR 2011, section 3; used on
    micro-expressions by Pfister et al., ICCV 2011.
    Differs: the paper passes through an SVD of the frames first. That, and the map back, are linear with the mean
    taken away, so the result is the same weighted sum of frames for every clip of n frames, and is written as such.
    """
    nodes = _path_eigenvectors(num_available, np.arange(num_available, dtype=np.float64))
    # The eigenvectors are orthogonal, each of squared length n / 2.
    return (1 / num_available + 2 / num_available * _path_eigenvectors(num_available, at) @ nodes.T).astype(np.float32)


def _path_eigenvectors(num_available: int, at: Float[np.ndarray, "t"]) -> Float64[np.ndarray, "t k"]:
    order = np.arange(1, num_available)
    t = (np.asarray(at, np.float64)[:, None] + 1) / num_available
    return np.sin(np.pi * order * t + np.pi * (num_available - order) / (2 * num_available))
