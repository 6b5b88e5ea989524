"""How long labels and predictions last, and how many labels of each length are found."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from mer_jax.spotting.interval import MICRO_LONGEST_S, Interval
from mer_jax.spotting.measure import SpottingScores

EDGES_S = (0.0, 0.2, 0.35, MICRO_LONGEST_S, 1.0, 2.0, 4.0, float("inf"))


@dataclasses.dataclass(frozen=True)
class DurationRow:
    """Durations of one group of intervals.

    Attributes:
        kind: Of expression.
        group: `labels`, `labels found`, `predictions` or `false alarms`.
        number: How many there are.
        shortest: Seconds, or frames where rates are unknown.
        median: Likewise.
        longest: Likewise.
    """

    kind: str
    group: str
    number: int
    shortest: float
    median: float
    longest: float


@dataclasses.dataclass(frozen=True)
class LengthBin:
    """Labels of one range of durations, all kinds together.

    Attributes:
        above_s: Longer than this, in seconds.
        to_s: Not longer than this.
        labels: Number of labels.
        found: How many of them are found.
    """

    above_s: float
    to_s: float
    labels: int
    found: int


def list_durations(
    scores: SpottingScores, frame_rates: Mapping[str, float] | None = None
) -> tuple[list[DurationRow], list[LengthBin]]:
    """Lists durations by kind and group, and the labels found by duration.

    Args:
        scores: From `score_spotting`.
        frame_rates: Frames per second of each video; without them durations are in frames, and there are no bins.

    Returns:
        Rows of groups that have intervals, and bins that have labels.
    """
    groups: dict[tuple[str, str], list[float]] = {}
    lasting: list[tuple[float, bool]] = []
    for video in scores.videos:
        rate = frame_rates[video.name] if frame_rates else 1.0
        hits = {each.predicted for each in video.matches}
        found = {each.truth for each in video.matches}
        for index, each in enumerate(video.truth):
            duration = _duration(each) / rate
            lasting.append((duration, index in found))
            groups.setdefault((each.kind, "labels"), []).append(duration)
            if index in found:
                groups.setdefault((each.kind, "labels found"), []).append(duration)
        for index, each in enumerate(video.predicted):
            duration = _duration(each) / rate
            groups.setdefault((each.kind, "predictions"), []).append(duration)
            if index not in hits:
                groups.setdefault((each.kind, "false alarms"), []).append(duration)
    rows = [
        DurationRow(kind, group, len(own), min(own), float(np.median(own)), max(own))
        for kind in scores.kinds
        for group in ("labels", "labels found", "predictions", "false alarms")
        if (own := groups.get((kind, group)))
    ]
    return rows, _fill_bins(lasting) if frame_rates else []


def _fill_bins(lasting: Sequence[tuple[float, bool]]) -> list[LengthBin]:
    bins = []
    for low, high in itertools.pairwise(EDGES_S):
        inside = [found for duration, found in lasting if low < duration - 1e-9 <= high]
        if inside:
            bins.append(LengthBin(low, high, len(inside), sum(inside)))
    return bins


def _duration(interval: Interval) -> int:
    return interval.offset_frame - interval.onset_frame + 1
