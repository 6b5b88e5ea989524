"""The motion of a face as regular samples, and what the rules of the spotter have in common."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from mer_jax.vision.region_motion import REGIONS, FaceMotion

_MEDIANS_HZ = 5.0  # a baseline moves slowly
_LONGEST_HOLE_S = 0.2  # without a frame, beyond which nothing is said


@dataclasses.dataclass(frozen=True)
class MotionSeries:
    """The motion of one face at regular times.

    Attributes:
        times_s: Times.
        regions: Displacement of `REGIONS`, % of the distance between the eyes.
        aperture: Opening of the lids, mean of both eyes.
        head: As in `FaceMotion`.
        is_known: Whether the face was followed at this time, and just before and after.
    """

    times_s: Float64[np.ndarray, "n"]
    regions: Float64[np.ndarray, "n 19 2"]
    aperture: Float64[np.ndarray, "n"]
    head: Float64[np.ndarray, "n 6"]
    is_known: Bool[np.ndarray, "n"]

    @property
    def rate_hz(self) -> float:
        """Samples per second."""
        return 1.0 / float(self.times_s[1] - self.times_s[0])


@dataclasses.dataclass(frozen=True)
class Span:
    """Samples of a series.

    Attributes:
        first: First one.
        last: Last one, included.
        apex: The one of the largest movement.
        score: Movement at the apex in units of the threshold, 1 or more.
    """

    first: int
    last: int
    apex: int
    score: float


def sample_motion(times_s: Float64[np.ndarray, "t"], motions: Sequence[FaceMotion], rate_hz: float) -> MotionSeries:
    """Samples frames of any rate, also of a varying one, at regular times.

    Args:
        times_s: Of the frames, increasing; two or more.
        motions: Of the frames.
        rate_hz: Samples per second.
    """
    at = times_s
    # Multiples of the step, so that the same samples come out as the window moves on.
    steps = np.arange(np.ceil(at[0] * rate_hz - 1e-9), np.floor(at[-1] * rate_hz + 1e-9) + 1)
    times = steps / rate_hz
    flat = np.stack([np.concatenate([m.regions.ravel(), [m.aperture.mean()], m.head]) for m in motions])
    together = max(1, round(1 / (rate_hz * float(np.median(np.diff(at))))))
    if together > 1:  # a fast video: neighbours are averaged, against camera noise
        sums = np.cumsum(np.vstack([np.zeros(flat.shape[1]), flat]), axis=0)
        first = np.maximum(np.arange(len(flat)) - (together - 1) // 2, 0)
        last = np.minimum(np.arange(len(flat)) + together // 2 + 1, len(flat))
        flat = (sums[last] - sums[first]) / (last - first)[:, None]
    after = np.clip(np.searchsorted(at, times), 1, len(at) - 1)
    share = np.clip((times - at[after - 1]) / (at[after] - at[after - 1]), 0, 1)[:, None]
    values = flat[after - 1] * (1 - share) + flat[after] * share
    is_hole = at[after] - at[after - 1] > _LONGEST_HOLE_S
    is_linked = np.array([m.is_linked for m in motions])
    breaks = at[1:][~is_linked[1:]]
    is_known = ~is_hole
    for each in breaks:
        is_known &= np.abs(times - each) > _LONGEST_HOLE_S
    size = len(REGIONS) * 2
    regions = values[:, :size].reshape(-1, len(REGIONS), 2)
    return MotionSeries(times, regions, values[:, size], values[:, size + 1 :], is_known)


def rolling_median(values: Float64[np.ndarray, "n *d"], rate_hz: float, window_s: float) -> Float64[np.ndarray, "n *d"]:
    """Returns the median of a window around each sample, a shorter window at the ends.

    Args:
        values: Samples.
        rate_hz: Samples per second.
        window_s: Length of the window.
    """
    step, half = max(1, round(rate_hz / _MEDIANS_HZ)), round(rate_hz * window_s / 2)
    thin = 2 if rate_hz > 2 * _MEDIANS_HZ else 1  # every second sample is enough for a median
    places = np.unique(np.r_[np.arange(0, len(values), step), len(values) - 1])
    medians = np.stack([np.median(values[max(0, p - half) : p + half + 1 : thin], axis=0) for p in places])
    after = np.clip(np.searchsorted(places, np.arange(len(values))), 1, max(1, len(places) - 1))
    if len(places) == 1:
        return np.broadcast_to(medians, values.shape)
    share = (np.arange(len(values)) - places[after - 1]) / (places[after] - places[after - 1])
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return medians[after - 1] * (1 - share) + medians[after] * share


def find_runs(is_inside: Bool[np.ndarray, "n"], gap: int = 0) -> list[tuple[int, int]]:
    """Returns first and last sample of each run of true values.

    Args:
        is_inside: Samples.
        gap: Runs with at most so many false values between them are one.

    Example:
        >>> find_runs(np.array([True, False, True, False, False, True]), gap=1)
        [(0, 2), (5, 5)]
    """
    places = np.flatnonzero(is_inside)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    firsts, lasts = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def grow_around(is_inside: Bool[np.ndarray, "n"], apex: int) -> tuple[int, int]:
    """Returns first and last sample of the run of true values around a sample, which belongs to it in any case.

    Args:
        is_inside: Samples.
        apex: The sample.

    Example:
        >>> grow_around(np.array([True, False, True, True, False]), 2)
        (2, 3)
    """
    before, after = np.flatnonzero(~is_inside[: apex + 1]), np.flatnonzero(~is_inside[apex:])
    first = int(before[-1]) + 1 if len(before) else 0
    last = apex + int(after[0]) - 1 if len(after) else len(is_inside) - 1
    return min(first, apex), max(last, apex)


def mask_of(spans: Sequence[Span], length: int, margin: int = 0) -> Bool[np.ndarray, "n"]:
    """Returns which samples lie in one of the spans, or so close to one.

    Args:
        spans: In any order.
        length: Number of samples.
        margin: Samples on both sides.
    """
    mask = np.zeros(length, bool)
    for span in spans:
        mask[max(0, span.first - margin) : span.last + margin + 1] = True
    return mask
