"""Local phase quantisation on three orthogonal planes of a clip (LPQ-TOP)."""

import functools

import numpy as np
from jaxtyping import Float, Float32, Int

from mer_jax.errors import ConfigError, ShapeError

NUM_CODES = 256  # signs of four complex numbers
_PLANES = ((1, 2), (0, 2), (0, 1))  # XY, XT, YT as axes of a clip [t, h, w]


def lpq_top(
    clip: Float32[np.ndarray, "t h w"], blocks: int, window: int, window_t: int, correlation: float
) -> Float[np.ndarray, "3 {blocks} {blocks} 256"]:
    """Returns the shares of the local phase codes in the planes XY, XT and YT, block by block.

    Args:
        clip: Gray frames.
        blocks: Rows and columns of blocks.
        window: Of the local phase, in pixels, odd.
        window_t: In frames, odd.
        correlation: Assumed correlation of neighbouring pixels, 0 to below 1, by which the phase is decorrelated before
            it is quantised; 0 leaves that out.

    Raises:
        ConfigError: A window that is not odd, or a correlation out of range.
        ShapeError: Too few frames or pixels for window and blocks.

    Source: Ojansivu and Heikkila, "Blur insensitive texture classification using local phase quantization", ICISP
    2008; on three planes: Jiang et al., "A dynamic appearance descriptor approach to facial actions temporal modeling",
    IEEE Transactions on Cybernetics 44(2), 2014.
    """
    if window % 2 == 0 or window_t % 2 == 0 or not 0 <= correlation < 1:
        raise ConfigError(
            f"got window={window}, window_t={window_t} and correlation={correlation}; expected odd windows and a "
            "correlation from 0 to below 1"
        )
    sizes = (window_t, window, window)
    inner = [length - size + 1 for length, size in zip(clip.shape, sizes, strict=True)]
    if inner[0] < 1 or min(inner[1:]) < blocks:
        raise ShapeError(
            f"got a clip of {clip.shape[0]} frames of {clip.shape[1]}x{clip.shape[2]}, expected at least {window_t} "
            f"frames of {window - 1 + blocks} pixels for window_t={window_t}, window={window} and {blocks} rows of "
            "blocks; use more frames, or a smaller window_t"
        )
    row, column = (np.arange(length) * blocks // length for length in inner[1:])
    block = (row[:, None] * blocks + column) * NUM_CODES
    shares = np.empty((3, blocks, blocks, NUM_CODES))
    for plane, axes in enumerate(_PLANES):
        codes = phase_codes(clip, axes, sizes, correlation)
        counts = np.bincount((block + codes).reshape(-1), minlength=blocks * blocks * NUM_CODES)
        counts = counts.reshape(blocks, blocks, NUM_CODES)
        shares[plane] = counts / counts.sum(axis=-1, keepdims=True)
    return shares


def phase_codes(
    clip: Float32[np.ndarray, "t h w"], axes: tuple[int, int], sizes: tuple[int, int, int], correlation: float
) -> Int[np.ndarray, "t2 h2 w2"]:
    """Returns the signs of the local Fourier transform of a plane at its four lowest frequencies, one bit each.

    Args:
        clip: Gray frames.
        axes: Of the plane.
        sizes: Length of the window along each axis; where it would leave the clip, there is no code.
        correlation: See `lpq_top`.
    """
    (other,) = {0, 1, 2} - {*axes}
    margin = sizes[other] // 2
    clip = clip.take(range(margin, clip.shape[other] - margin), other)
    first, second = axes
    waves = [_waves(sizes[axis]) for axis in axes]
    mean, cosine, sine = (_filter(clip, wave, second) for wave in waves[1])

    def along(part: np.ndarray, number: int) -> np.ndarray:
        return _filter(part, waves[0][number], first)

    cc, ss, sc, cs = along(cosine, 1), along(sine, 2), along(cosine, 2), along(sine, 1)
    responses = np.stack(
        [along(mean, 1), along(mean, 2), along(cosine, 0), along(sine, 0), cc - ss, sc + cs, cc + ss, sc - cs]
    )
    if correlation:
        rotation = decorrelation(sizes[first], sizes[second], correlation).astype(np.float32)
        responses = np.tensordot(rotation, responses, 1)
    return np.tensordot(2 ** np.arange(8), responses > 0, 1)


@functools.cache
def decorrelation(height: int, width: int, correlation: float) -> Float[np.ndarray, "8 8"]:
    """Returns the rotation after which the eight numbers of a window are uncorrelated.

    Args:
        height: Of the window.
        width: Of the window.
        correlation: Of neighbouring pixels; it falls off as a power of their distance.

    Source: Ojansivu and Heikkila, ICISP 2008, section 3.1.
    """
    m, c, s = _waves(height)
    m2, c2, s2 = _waves(width)
    cc, ss, sc, cs = np.outer(c, c2), np.outer(s, s2), np.outer(s, c2), np.outer(c, s2)
    filters = [np.outer(c, m2), np.outer(s, m2), np.outer(m, c2), np.outer(m, s2), cc - ss, sc + cs, cc + ss, sc - cs]
    filters = np.stack([each.reshape(-1) for each in filters])
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    covariance = filters @ correlation**distance @ filters.T
    scale = 1 + 1e-6 * np.arange(7, -1, -1)  # parts equal variances, whose directions would be arbitrary
    return np.linalg.svd(scale[:, None] * covariance * scale)[2]


def _waves(size: int) -> Float[np.ndarray, "3 {size}"]:
    """A constant, and the cosine and sine of one period, over a window."""
    angle = 2 * np.pi * (np.arange(size) - size // 2) / size
    return np.stack([np.ones(size), np.cos(angle), np.sin(angle)])


def _filter(clip: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Weighted sums over a window along one axis, where it lies within the clip."""
    length = clip.shape[axis] - len(weights) + 1
    total = 0
    for start, weight in enumerate(weights.astype(np.float32)):
        total = total + weight * clip[(slice(None),) * axis + (slice(start, start + length),)]
    return np.asarray(total)
