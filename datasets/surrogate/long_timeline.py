"""Event timeline of a long video: expressions, blinks, gaze shifts, speech and head movements.

Expressions, speech, movements of the head and looks away never overlap, and lie half a second or more apart, so that
each frame has one truth. Blinks and gaze shifts come at any time, as they do in recordings.

Differs: rates and durations are ours, after what is usual in people who sit and watch (15 to 20 blinks a minute). The
durations of expressions are those of CAS(ME)^2: micro up to 0.5 s, macro from there to 4 s.
"""

import dataclasses

import numpy as np

from datasets.surrogate.scenario import Difficulty
from mer_jax.spotting.interval import BLINK, GAZE, MACRO, MICRO, MICRO_LONGEST_S, SPEECH, TURN

AWAY = "look away"  # of the eyes and the head together
LEAN, NOD, SIDE = "lean", "nod", "turn"  # of the head; what a TURN is
SACCADE = "saccade"

MICRO_S = (0.24, 0.38, MICRO_LONGEST_S)  # shortest, median, longest
MACRO_S = (0.6, 1.3, 4.0)
SPEECH_S, AWAY_S = (2.0, 3.5, 8.0), (1.5, 2.5, 5.0)
_HEAD_S = {SIDE: (0.8, 1.4, 2.5), NOD: (0.8, 1.2, 2.0), LEAN: (1.5, 2.5, 4.0)}
_BLINK_S, _DWELL_S = (0.20, 0.30, 0.42), (0.4, 1.2, 4.0)
_SPREAD = 0.35  # standard deviation of the logarithm of every duration
GAP_S = 0.5  # at least between two exclusive moments, and at both ends
BLINKS_OF, GAZES_OF = 120.0, 40.0  # a minute, for each unit of the probabilities of `Difficulty`
_LEAST_PAUSE_S = 0.35  # at least between two blinks, and between two gaze shifts


@dataclasses.dataclass(frozen=True)
class Rates:
    """Event rates of a long video, per minute.

    Attributes:
        micro, macro: expressions.
        speech: episodes.
        head: turns, nods and leans together.
        away: looks away.
    """

    micro: float = 3.0
    macro: float = 3.0
    speech: float = 1.5
    head: float = 2.0
    away: float = 0.7


@dataclasses.dataclass(frozen=True)
class Moment:
    """An event of the timeline, with its first, peak and last frame.

    Attributes:
        kind: one of `mer_jax.spotting.interval`: micro, macro, blink, gaze, speech, turn.
        label: what it is in words: emotion of an expression, or such as "nod".
        onset, offset: first and last frame, 0-based, inclusive. In the frames before and behind nothing of it moves.
        apex: frame of the largest movement.
    """

    kind: str
    label: str
    onset: int
    apex: int
    offset: int

    @property
    def num_frames(self) -> int:
        """Length."""
        return self.offset - self.onset + 1


def sample_timeline(
    rng: np.random.Generator, num_frames: int, fps: float, difficulty: Difficulty, rates: Rates, *, is_expressive: bool
) -> tuple[Moment, ...]:
    """Samples the events of a long video; expressions are not labelled yet.

    Args:
        rng: of this video alone.
        num_frames: of the video.
        fps: frames per second.
        difficulty: how many blinks and gaze shifts; with an amplitude of 0 there are no expressions.
        rates: of the rest. In a short video, what does not fit is left out, disturbances first.
        is_expressive: whether there are expressions; a video without them has the same disturbances.

    Returns:
        Moments in the order of their onsets.
    """
    minutes = num_frames / fps / 60
    wanted: list[tuple[str, str, int]] = []  # kind, label, frames: in the order in which they may be left out
    if is_expressive and difficulty.amplitude > 0:
        for kind, rate, durations in ((MICRO, rates.micro, MICRO_S), (MACRO, rates.macro, MACRO_S)):
            count = max(1, round(rate * minutes))
            wanted += [(kind, "", _sample_frames(rng, durations, fps)) for _ in range(count)]
    others = [(SPEECH, SPEECH, _sample_frames(rng, SPEECH_S, fps)) for _ in range(_count(rng, rates.speech * minutes))]
    for _ in range(_count(rng, rates.head * minutes)):
        label = str(rng.choice(list(_HEAD_S)))
        others.append((TURN, label, _sample_frames(rng, _HEAD_S[label], fps)))
    others += [(TURN, AWAY, _sample_frames(rng, AWAY_S, fps)) for _ in range(_count(rng, rates.away * minutes))]
    wanted += [others[each] for each in rng.permutation(len(others))]

    moments = _lay_out(rng, wanted, num_frames, round(GAP_S * fps))
    moments += [dataclasses.replace(each, kind=GAZE) for each in moments if each.label == AWAY]
    away = [each for each in moments if each.kind == GAZE]
    # Nobody's gaze shifts and comes back while it is away.
    gazes = _scatter(rng, GAZE, SACCADE, GAZES_OF * difficulty.gaze_probability, _DWELL_S, num_frames, fps)
    moments += [each for each in gazes if not any(_touch(each, other, round(0.2 * fps)) for other in away)]
    moments += _scatter(rng, BLINK, BLINK, BLINKS_OF * difficulty.blink_probability, _BLINK_S, num_frames, fps)
    return tuple(sorted(moments, key=lambda each: (each.onset, each.kind)))


def _sample_frames(rng: np.random.Generator, durations_s: tuple[float, float, float], fps: float) -> int:
    shortest, median, longest = durations_s
    seconds = np.clip(median * np.exp(_SPREAD * rng.standard_normal()), shortest, longest)
    # From the first to the last frame it is one frame less than it has frames: at most `longest`.
    return max(5, int(seconds * fps + 1e-6))


def _count(rng: np.random.Generator, expected: float) -> int:
    """Rounds an expected count at random: up with the probability of its fraction."""
    return int(expected) + int(rng.random() < expected % 1)


def _lay_out(rng: np.random.Generator, wanted: list[tuple[str, str, int]], num_frames: int, gap: int) -> list[Moment]:
    """Schedules as many events as fit, in random order and with random pauses."""
    needed, kept = gap, []
    for each in wanted:
        if needed + each[2] + gap <= num_frames:
            kept.append(each)
            needed += each[2] + gap
    order = rng.permutation(len(kept))
    cuts = np.sort(rng.integers(0, num_frames - needed + 1, len(kept)))
    moments, start = [], gap
    for place, index in enumerate(order):
        kind, label, length = kept[index]
        onset = start + int(cuts[place] - (cuts[place - 1] if place else 0))
        apex = onset + int(np.clip(round(length * rng.uniform(0.3, 0.6)), 2, length - 2))
        moments.append(Moment(kind, label, onset, apex, onset + length - 1))
        start = onset + length + gap
    return moments


def _scatter(
    rng: np.random.Generator,
    kind: str,
    label: str,
    per_minute: float,
    durations_s: tuple[float, float, float],
    num_frames: int,
    fps: float,
) -> list[Moment]:
    """Samples spontaneous events at irregular intervals."""
    moments: list[Moment] = []
    if per_minute <= 0:
        return moments
    mean_pause_s = max(60 / per_minute - durations_s[1], 2 * _LEAST_PAUSE_S)
    start = 0
    while True:
        pause_s = _LEAST_PAUSE_S + rng.gamma(2.0, (mean_pause_s - _LEAST_PAUSE_S) / 2)
        onset, length = start + round(pause_s * fps), _sample_frames(rng, durations_s, fps)
        if onset + length >= num_frames:
            return moments
        apex = onset + max(2, round(0.4 * (length - 1)))
        moments.append(Moment(kind, label, onset, apex, onset + length - 1))
        start = onset + length


def _touch(one: Moment, other: Moment, margin: int) -> bool:
    return one.onset <= other.offset + margin and other.onset <= one.offset + margin
