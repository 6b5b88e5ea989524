"""Movements that are no expressions: blinks, glances, speech and turns of the head."""

import numpy as np
from jaxtyping import Float64

from mer_jax.spotting.options import SpottingOptions
from mer_jax.spotting.series import MotionSeries, Span, find_runs, grow_around, rolling_median
from mer_jax.vision.region_motion import REGIONS

_IRISES = [REGIONS.index("iris right"), REGIONS.index("iris left")]
_LIPS = [REGIONS.index(name) for name in ("upper lip", "lower lip", "chin")]
_CORNERS = [REGIONS.index(name) for name in ("mouth corner right", "mouth corner left")]
_BASELINE_S = 8.0  # of lids, irises and head
_TURN_EDGE = 0.3  # share of its largest angle at which a turn begins and ends
_SACCADE_S = 0.15  # a glance begins faster than this


def find_blinks(series: MotionSeries, options: SpottingOptions) -> list[Span]:
    """Finds where the lids close and open again; a longer closure, too."""
    usual = rolling_median(series.aperture, series.rate_hz, _BASELINE_S)
    share = series.aperture / np.maximum(usual, 1e-3)
    spans = []
    for first, last in find_runs((share < options.closed_share) & series.is_known):
        apex = first + int(share[first : last + 1].argmin())
        first, last = grow_around(share < options.open_share, apex)
        if not spans or first > spans[-1].last:
            spans.append(Span(first, last, apex, float((1 - share[apex]) / (1 - options.closed_share))))
    return spans


def find_glances(series: MotionSeries, blinks: np.ndarray, options: SpottingOptions) -> list[Span]:
    """Finds where the eyes look elsewhere than usual: both irises move to the same side, and fast.

    Args:
        series: The motion.
        blinks: Which samples lie in a blink.
        options: Thresholds.
    """
    irises = series.regions[:, _IRISES]
    away = irises - rolling_median(irises, series.rate_hz, _BASELINE_S)
    both = np.where(np.sign(away[:, 0]) == np.sign(away[:, 1]), np.abs(away).min(axis=1), 0.0)
    shift = np.linalg.norm(both, axis=1)
    speed_over = max(1, round(_SACCADE_S * series.rate_hz))
    spans = []
    for first, last in find_runs((shift > options.gaze_shift) & series.is_known & ~blinks):
        apex = first + int(shift[first : last + 1].argmax())
        first, last = grow_around(shift > 0.5 * options.gaze_shift, apex)
        begin = shift[max(0, first - speed_over)], shift[min(len(shift) - 1, first + speed_over)]
        is_sudden = begin[1] - begin[0] > 0.6 * min(shift[apex], options.gaze_shift)
        if is_sudden and (not spans or first > spans[-1].last):
            spans.append(Span(first, last, apex, float(shift[apex] / options.gaze_shift)))
    return spans


def find_speech(series: MotionSeries, options: SpottingOptions) -> list[Span]:
    """Finds where the mouth moves to and fro: an expression turns back once, speech several times a second."""
    signals = [series.regions[:, region, 1] for region in _LIPS]
    signals += [series.regions[:, region, axis] for region in _CORNERS for axis in (0, 1)]
    window, is_speech = max(1, round(options.speech_window_s * series.rate_hz)), np.zeros(len(series.times_s), bool)
    for signal in signals:
        places = find_reversals(signal, options.mouth_reversal)
        for number in range(len(places) - options.speech_reversals + 1):
            first, last = places[number], places[number + options.speech_reversals - 1]
            if last - first <= window:
                is_speech[first : last + 1] = True
    around = round(0.15 * series.rate_hz)  # the way to the first reversal, and from the last one
    shortest, gap = options.speech_shortest_s * series.rate_hz, round(options.speech_gap_s * series.rate_hz)
    spans = []
    opening = np.abs(series.regions[:, _LIPS, 1]).max(axis=1)
    for first, last in find_runs(is_speech, gap):
        if last - first + 1 < shortest:
            continue
        first, last = max(0, first - around), min(len(is_speech) - 1, last + around)
        apex = first + int(opening[first : last + 1].argmax())
        spans.append(Span(first, last, apex, (last - first + 1) / shortest))
    return spans


def find_reversals(signal: Float64[np.ndarray, "n"], size: float) -> list[int]:
    """Returns the samples at which a signal turns back, by at least `size`, in order.

    Args:
        signal: Samples.
        size: How far it has to go back.

    Example:
        >>> find_reversals(np.array([0.0, 2.0, 0.1, 0.2, 2.0, 1.9]), 1.0)
        [1, 2]
    """
    places, direction, extreme = [], 0, 0
    lowest = highest = 0
    for place, value in enumerate(signal):
        if direction == 0:
            lowest = place if value < signal[lowest] else lowest
            highest = place if value > signal[highest] else highest
            if value - signal[lowest] >= size:
                direction, extreme = 1, place
            elif signal[highest] - value >= size:
                direction, extreme = -1, place
        elif direction * (value - signal[extreme]) > 0:
            extreme = place
        elif direction * (signal[extreme] - value) >= size:
            places.append(extreme)
            direction, extreme = -direction, place
    return places


def find_turns(series: MotionSeries, options: SpottingOptions) -> list[Span]:
    """Finds where the head turns, nods or leans away from where it usually is."""
    away = measure_turn(series, options)
    spans = []
    for first, last in find_runs(away > 1):
        apex = first + int(away[first : last + 1].argmax())
        first, last = grow_around(away > _TURN_EDGE * away[apex], apex)
        if not spans or first > spans[-1].last:
            spans.append(Span(first, last, apex, float(away[apex])))
    return spans


def measure_turn(series: MotionSeries, options: SpottingOptions) -> Float64[np.ndarray, "n"]:
    """Returns how far the head is from where it usually is; 1 is the threshold of a turn."""
    limits = np.array([*[options.turn_shift] * 2, *[options.turn_degrees] * 3, options.turn_scale])
    usual = rolling_median(series.head, series.rate_hz, _BASELINE_S)
    return (np.abs(series.head - usual) / limits).max(axis=1)
