"""Cohen's kappa between predictions and labels, as between two coders."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from mer_jax.spotting.interval import Interval
from mer_jax.spotting.measure import SpottingScores

STEP_S = 0.04


def compute_kappa(scores: SpottingScores, frame_rates: Mapping[str, float], *, step_s: float = STEP_S) -> float:
    """Computes Cohen's kappa over steps of 40 ms, all videos together.

    Each step is coded by the kinds whose intervals cover its middle: none, one, or several at once.

    Args:
        scores: From `score_spotting`, with durations.
        frame_rates: Frames per second of each video.
        step_s: Length of a step, seconds.

    Returns:
        1 for codings that agree everywhere, 0 for as much agreement as chance gives; NaN where durations are unknown,
        or where neither coding has any interval.

    Source: Cohen, Educ. Psychol. Meas. 20 (1960).
    """
    num_codes = 2 ** len(scores.kinds)
    counts = np.zeros((num_codes, num_codes))
    for video in scores.videos:
        if np.isnan(video.duration_s):
            return float("nan")
        middles = (np.arange(max(1, int(video.duration_s / step_s + 1e-9))) + 0.5) * step_s
        predicted, truth = (
            _code(intervals, middles, frame_rates[video.name], scores.kinds)
            for intervals in (video.predicted, video.truth)
        )
        np.add.at(counts, (truth, predicted), 1)
    share = counts / counts.sum()
    expected = float(share.sum(0) @ share.sum(1))
    observed = float(np.trace(share))
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def _code(
    intervals: Sequence[Interval], middles: np.ndarray, frame_rate: float, kinds: tuple[str, ...]
) -> Int[np.ndarray, "n"]:
    codes = np.zeros(len(middles), np.int64)
    for each in intervals:
        covered = (middles >= each.onset_frame / frame_rate) & (middles < (each.offset_frame + 1) / frame_rate)
        codes[covered] |= 1 << kinds.index(each.kind)
    return codes
