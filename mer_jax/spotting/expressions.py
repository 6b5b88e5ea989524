"""Expressions: regions of the face that move away from where they usually are and come back."""

import numpy as np
from jaxtyping import Bool, Float64

from mer_jax.spotting.disturbances import find_blinks, find_glances, find_speech, find_turns, measure_turn
from mer_jax.spotting.interval import BLINK, GAZE, MACRO, MICRO, MICRO_LONGEST_S, SPEECH, TURN
from mer_jax.spotting.options import SpottingOptions
from mer_jax.spotting.series import MotionSeries, Span, grow_around, mask_of, rolling_median
from mer_jax.vision.region_motion import REGIONS

_EYES = [i for i, name in enumerate(REGIONS) if name.startswith(("upper lid", "lower lid", "iris"))]
_RAYLEIGH_MEDIAN = 1.1774  # of a displacement whose two coordinates have unit variance
_SHORT_SHARE = 0.3  # of the window of the short baseline, that a short movement may last
_AROUND_S = 0.25  # before the onset and after the offset, in which the face is at rest
_PATTERN_SHARE = 0.4  # regions that move by this share of the strongest one belong to the expression


def find_movements(series: MotionSeries, options: SpottingOptions) -> list[tuple[str, Span]]:
    """Finds all movements with their kinds, in the order of their onsets.

    Args:
        series: The motion of a face, some seconds or more.
        options: Thresholds.
    """
    length, margin = len(series.times_s), round(options.margin_s * series.rate_hz)
    blinks, turns = find_blinks(series, options), find_turns(series, options)
    speech = find_speech(series, options)
    is_blink = mask_of(blinks, length, margin)
    glances = find_glances(series, is_blink | mask_of(turns, length, margin), options)
    found = [(BLINK, each) for each in blinks] + [(GAZE, each) for each in glances]
    found += [(SPEECH, each) for each in speech] + [(TURN, each) for each in turns]

    is_seen = np.ones((length, len(REGIONS)), bool)
    is_seen[:, _EYES] = False
    pause = round(options.pause_s * series.rate_hz)
    is_watched = series.is_known & ~mask_of([*speech, *turns], length, pause)
    is_seen &= is_watched[:, None]
    faked = options.turn_share * options.turn_degrees * measure_turn(series, options)
    faked += options.blink_share * is_blink + options.gaze_share * mask_of(glances, length, margin)
    by_scale = [
        _find_expressions(series, baseline_s, floor, is_seen, faked, options)
        for baseline_s, floor in (
            (options.short_baseline_s, options.short_floor),
            (options.long_baseline_s, options.long_floor),
        )
    ]
    # A movement as long as half of the window would be its own baseline.
    longest_short = round(_SHORT_SHARE * options.short_baseline_s * series.rate_hz)
    candidates = [each for each in by_scale[0] if each.last - each.first < longest_short] + by_scale[1]
    taken = np.zeros(length, bool)
    for span in sorted(candidates, key=lambda each: -each.score):
        lasts_s = (span.last - span.first + 1) / series.rate_hz
        if taken[span.first : span.last + 1].any() or not options.shortest_s <= lasts_s <= options.longest_s:
            continue
        if not (span.first > 0 and span.last < length - 1 and is_watched[span.first] and is_watched[span.last]):
            continue  # without its beginning and end, it may be a face that comes to rest elsewhere
        taken[span.first : span.last + 1] = True
        found.append((MICRO if lasts_s <= MICRO_LONGEST_S else MACRO, span))
    return sorted(found, key=lambda each: (each[1].first, each[1].last))


def _find_expressions(
    series: MotionSeries,
    baseline_s: float,
    floor: float,
    is_seen: Bool[np.ndarray, "n 19"],
    faked: Float64[np.ndarray, "n"],
    options: SpottingOptions,
) -> list[Span]:
    away = series.regions - rolling_median(series.regions, series.rate_hz, baseline_s)
    distance = np.linalg.norm(away, axis=-1)
    usual = np.median(distance[series.is_known], axis=0) / _RAYLEIGH_MEDIAN if series.is_known.any() else np.ones(19)
    ratio = distance / (np.maximum(floor, options.noise_factor * usual) + faked[:, None])
    ratio = np.where(is_seen, ratio, 0.0)
    score = np.sort(ratio, axis=1)[:, -2:].mean(axis=1)
    spans, is_free = [], score >= 1
    while is_free.any():
        apex = int(np.where(is_free, score, 0.0).argmax())
        span, comes_back = _grow_along(series, away, ratio, apex, float(score[apex]), options)
        is_free[span.first : span.last + 1] = False
        is_free[apex] = False
        if not comes_back or any(_is_shoulder(score, span, each, options.valley_share) for each in spans):
            continue
        spans.append(span)
    return spans


def _grow_along(
    series: MotionSeries,
    away: Float64[np.ndarray, "n 19 2"],
    ratio: Float64[np.ndarray, "n 19"],
    apex: int,
    score: float,
    options: SpottingOptions,
) -> tuple[Span, bool]:
    """Follows the deformation of the apex to both sides until little is left; says whether the face comes back."""
    regions = ratio[apex] >= _PATTERN_SHARE * ratio[apex].max()
    pattern = away[apex, regions]
    weight = pattern / (pattern**2).sum()
    is_left = np.einsum("nrc,rc->n", away[:, regions], weight) > options.edge_share
    first, last = grow_around(is_left, apex)
    around = max(1, round(_AROUND_S * series.rate_hz))
    rest = [series.regions[max(0, first - around) : first + 1], series.regions[last : last + around + 1]]
    stays = np.subtract(*(np.median(each[:, regions], axis=0) for each in rest))
    return Span(first, last, apex, score), bool(abs((stays * weight).sum()) < options.stay_share)


def _is_shoulder(score: np.ndarray, span: Span, other: Span, valley_share: float) -> bool:
    """Whether the movement between two apexes does not fall far enough for two expressions."""
    first, last = sorted((span.apex, other.apex))
    return bool(score[first : last + 1].min() > valley_share * min(span.score, other.score))
