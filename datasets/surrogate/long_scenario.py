"""Scenario of a long video before rendering: per-frame curves of the same kind as those of a short clip.

Every moment starts and ends at rest; what it moves is added to the curves between its onset and its offset and nowhere
else. Under it lie a head that drifts, light that flickers, and a face that slowly changes its resting state.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from datasets.surrogate.action_units import LEFT, MIDLINE_UNITS, RIGHT
from datasets.surrogate.curves import ease, wander
from datasets.surrogate.emotions import write_units
from datasets.surrogate.identity import Subject
from datasets.surrogate.long_timeline import AWAY, LEAN, NOD, SIDE, Moment, Rates, sample_timeline
from datasets.surrogate.repertoire import unit_sets_of
from datasets.surrogate.scenario import (
    DISTRACTORS,
    UNILATERAL_PROBABILITY,
    ClipSpec,
    Difficulty,
    UnitSets,
    sample_exposure,
    sample_pose,
    sample_tilt,
)
from mer_jax.spotting.interval import BLINK, EXPRESSIONS, GAZE, MACRO, SPEECH

MACRO_GAIN = 3.0  # amplitude of a macro-expression beside a micro-expression
_DEGREE = np.deg2rad(1)
_REST_HZ = 0.06  # of the slow changes of the resting face
_X, _Y, _ROLL, _SCALE, _YAW, _PITCH = range(6)  # columns of `scenario.POSE`


@dataclasses.dataclass(frozen=True)
class Expression:
    """The facial movement of one expression, before it is rendered.

    Attributes:
        moment: when; its label is the emotion.
        shown: the emotion whose action units move; differs from the label by label noise.
        action_units: the true set.
        cell: the same as coders write it.
        peak_percent_iod: the largest displacement of any of its units, % IOD.
    """

    moment: Moment
    shown: str
    action_units: tuple[str, ...]
    cell: int | str
    peak_percent_iod: float


@dataclasses.dataclass(frozen=True, eq=False)
class LongScenario:
    """The scenario of a long video with its ground truth.

    Attributes:
        fps: frames per second.
        expressions: in the order of their onsets.
        disturbances: blinks, gaze shifts, speech, movements of the head; in the order of their onsets.
        spec: the curves, for the renderer of short clips. It has no class, and its action units are those of
            `expressions`.
    """

    fps: float
    expressions: tuple[Expression, ...]
    disturbances: tuple[Moment, ...]
    spec: ClipSpec

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return self.spec.num_frames


def sample_long_scenario(
    rng: np.random.Generator,
    subject: Subject,
    difficulty: Difficulty,
    *,
    fps: float,
    num_frames: int,
    emotions: Mapping[str, Mapping[str, float]],
    unit_sets: Mapping[str, UnitSets],
    rates: Rates | None = None,
    is_expressive: bool = True,
    version: int = 1,
) -> LongScenario:
    """Samples the scenario of a long video.

    Args:
        rng: of this video alone.
        subject: whose expressivity scales the movements.
        difficulty: how far things move. Speech, blinks and movements of the head are of natural size in all.
        fps: frames per second.
        num_frames: of the video.
        emotions: for micro and macro, how often each emotion occurs.
        unit_sets: what each emotion moves.
        rates: how often things happen; the defaults if None.
        is_expressive: whether there are expressions. With an amplitude of 0 there are none either way.
        version: of the surrogate, 1 or 2.
    """
    moments = sample_timeline(rng, num_frames, fps, difficulty, rates or Rates(), is_expressive=is_expressive)
    curves = _Curves(rng, num_frames, fps, difficulty)
    sets = unit_sets if version == 1 else unit_sets_of(unit_sets)
    expressions, disturbances = [], []
    for moment in moments:
        if moment.kind in EXPRESSIONS:
            expressions.append(_express(rng, curves, moment, subject, difficulty, emotions[moment.kind], sets))
            continue
        disturbances.append(moment)
        if moment.kind == SPEECH:
            _speak(rng, curves, moment, fps)
        elif moment.kind == BLINK:
            _blink(rng, curves, moment)
        elif moment.kind == GAZE:
            _shift_gaze(rng, curves, moment, fps)
        else:
            _move_head(rng, curves, moment)
    spec = ClipSpec(
        class_name="",
        shown_class="",
        action_units=tuple(sorted({unit for each in expressions for unit in each.action_units}, key=int)),
        apex=0,
        peaks={},
        activations=curves.activations,
        lid_closure=curves.lids,
        gaze=curves.gaze,
        pose=curves.pose,
        exposure=sample_exposure(rng, curves.seconds, difficulty.flicker),
        seed=int(rng.integers(1 << 31)),
        tilt=None if version == 1 else sample_tilt(rng, curves.seconds, difficulty.flicker),
    )
    return LongScenario(fps, tuple(expressions), tuple(disturbances), spec)


class _Curves:
    """Builder of the per-frame curves of a video, starting from the background motion."""

    def __init__(self, rng: np.random.Generator, num_frames: int, fps: float, difficulty: Difficulty):
        self.seconds = np.arange(num_frames) / fps
        self.activations: dict[tuple[str, int], np.ndarray] = {}
        self.lids, self.gaze = np.zeros((num_frames, 2)), np.zeros((num_frames, 2))
        self.pose = sample_pose(rng, self.seconds, difficulty.drift)
        size = difficulty.distractor_amplitude / 100
        for unit in rng.choice(DISTRACTORS, 3, replace=False):
            if rng.random() < difficulty.distractor_probability:
                path = size * np.abs(wander(rng, self.seconds, _REST_HZ))
                for side in (RIGHT, LEFT):
                    self.move(str(unit), side, slice(None), path * rng.uniform(0.5, 1.0))

    def move(self, unit: str, side: int, frames: slice, movement: np.ndarray) -> None:
        """Adds activation of an action unit over some frames."""
        path = self.activations.setdefault((unit, side), np.zeros(len(self.seconds), np.float32))
        path[frames] += movement.astype(np.float32)


def _frames(moment: Moment) -> slice:
    return slice(moment.onset, moment.offset + 1)


def _there_and_back(num_frames: int, rise: float, fall: float) -> np.ndarray:
    """Returns an envelope: 0 at both ends, rising over the share `rise` and falling over the share `fall`."""
    progress = np.arange(num_frames) / (num_frames - 1)
    return np.minimum(ease(progress / rise), ease((1 - progress) / fall))


def _express(
    rng: np.random.Generator,
    curves: _Curves,
    moment: Moment,
    subject: Subject,
    difficulty: Difficulty,
    emotions: Mapping[str, float],
    unit_sets: Mapping[str, UnitSets],
) -> Expression:
    """Activates the action units of an emotion: the leading unit from onset to offset, the others within that span."""
    shares = np.array(list(emotions.values())) / sum(emotions.values())
    label = shown = str(rng.choice(list(emotions), p=shares))
    if rng.random() < difficulty.label_noise:
        shown = str(rng.choice([each for each in emotions if each != label]))
    sets, probabilities = zip(*unit_sets[shown], strict=True)
    units = sets[rng.choice(len(sets), p=probabilities)]
    is_macro = moment.kind == MACRO
    size = difficulty.amplitude * np.exp(difficulty.amplitude_spread * rng.standard_normal()) / 100
    size *= MACRO_GAIN if is_macro else 1.0
    last = moment.num_frames - 1
    rise = (moment.apex - moment.onset) / last
    plateau = rng.uniform(0, 0.5 if is_macro else 0.15) * (1 - rise)
    weak_side = int(rng.integers(2)) if rng.random() < UNILATERAL_PROBABILITY else None
    leader, amounts = int(rng.integers(len(units))), {}
    for number, unit in enumerate(units):
        late, early = (0.0, 0.0) if number == leader else rng.uniform(0, (0.5 * rise, 0.3 * (1 - rise - plateau)))
        frames = np.arange(last + 1) / last
        envelope = np.minimum(
            ease((frames - late) / (rise - late)),
            ease((1 - early - frames) / (1 - early - rise - plateau)),
        )
        sizes = size * subject.expressivity[unit] * rng.uniform(0.65, 1.1) * np.exp(0.15 * rng.standard_normal(2))
        if weak_side is not None and unit not in MIDLINE_UNITS:
            sizes[weak_side] *= rng.uniform(0.05, 0.4)
        for side in (RIGHT, LEFT):
            curves.move(unit, side, _frames(moment), sizes[side] * envelope)
            amounts[unit, side] = float(sizes[side])
    cell = write_units(units, amounts)
    return Expression(dataclasses.replace(moment, label=label), shown, units, cell, 100 * max(amounts.values()))


def _blink(rng: np.random.Generator, curves: _Curves, moment: Moment) -> None:
    """Adds a blink: lids close faster than they open, and one blink in seven is incomplete."""
    depth = rng.uniform(0.4, 0.7) if rng.random() < 0.15 else rng.uniform(0.85, 1.0)
    rise = (moment.apex - moment.onset) / (moment.num_frames - 1)
    closure = depth * _there_and_back(moment.num_frames, rise, 1 - rise)
    frames = _frames(moment)
    curves.lids[frames] = np.maximum(curves.lids[frames], closure[:, None] * rng.uniform(0.95, 1.0, 2))


def _shift_gaze(rng: np.random.Generator, curves: _Curves, moment: Moment, fps: float) -> None:
    """Adds a gaze shift: two saccades, there and back, of about 40 ms each."""
    spread = (0.07, 0.02) if moment.label == AWAY else (0.035, 0.015)
    to = rng.normal(0, spread)
    to[0] = np.copysign(max(abs(to[0]), spread[0] / 3), to[0])
    share = min(0.4, max(1.5, 0.04 * fps) / (moment.num_frames - 1))
    curves.gaze[_frames(moment)] += to * _there_and_back(moment.num_frames, share, share)[:, None]


def _speak(rng: np.random.Generator, curves: _Curves, moment: Moment, fps: float) -> None:
    """Adds speech: jaw and lips open and close three to five times a second, with lip and head movement."""
    frames = _frames(moment)
    seconds = curves.seconds[frames] - curves.seconds[moment.onset]
    ramp = min(0.3, 0.25 / seconds[-1])
    weight = _there_and_back(moment.num_frames, ramp, ramp)
    syllables = np.abs(wander(rng, seconds, rng.uniform(3.0, 5.0))) * (0.6 + 0.4 * np.abs(wander(rng, seconds, 0.8)))
    parts = {
        "26": rng.uniform(0.03, 0.06) * syllables,
        "25": rng.uniform(0.03, 0.07) * (0.3 + syllables),
        "20": rng.uniform(0.008, 0.02) * np.abs(wander(rng, seconds, 3.0)),
        "24": rng.uniform(0.005, 0.02) * np.abs(wander(rng, seconds, 3.0)),
        "10": rng.uniform(0.003, 0.01) * np.abs(wander(rng, seconds, 3.0)),
        "17": rng.uniform(0.003, 0.01) * np.abs(wander(rng, seconds, 3.0)),
    }
    if rng.random() < 0.3:  # brows underline what is said
        parts |= {unit: 0.02 * np.abs(wander(rng, seconds, 1.0)) for unit in ("1", "2")}
    for unit, movement in parts.items():
        for side in (RIGHT, LEFT):
            curves.move(unit, side, frames, weight * np.clip(movement, 0, 0.12))
    bob = np.stack([wander(rng, seconds, 1.5) for _ in range(6)], 1)
    curves.pose[frames] += weight[:, None] * bob * (0.008, 0.008, 0.6 * _DEGREE, 0.003, 1.5 * _DEGREE, 1.5 * _DEGREE)


def _move_head(rng: np.random.Generator, curves: _Curves, moment: Moment) -> None:
    """Adds a head movement and its return: a turn, nod, lean or look away."""
    way = rng.choice((-1.0, 1.0))
    to = np.zeros(6)
    if moment.label == NOD:
        cycles = rng.integers(1, 4)
        progress = np.arange(moment.num_frames) / (moment.num_frames - 1)
        path = np.sin(np.pi * progress) * np.sin(2 * np.pi * cycles * progress)
        to[_PITCH], to[_Y] = rng.uniform(4, 8) * _DEGREE, rng.uniform(0.02, 0.05)
    else:
        path = _there_and_back(moment.num_frames, *rng.uniform(0.2, 0.4, 2))
        if moment.label == SIDE:
            to[_YAW], to[_ROLL], to[_X] = way * np.array((rng.uniform(6, 13), rng.uniform(-2, 2), 0)) * _DEGREE
            to[_X] = way * rng.uniform(0.03, 0.08)
        elif moment.label == LEAN:
            to[_SCALE], to[_Y] = way * rng.uniform(0.03, 0.07), way * rng.uniform(0.03, 0.08)
        else:
            to[_YAW], to[_PITCH] = way * rng.uniform(10, 16) * _DEGREE, rng.uniform(-6, 6) * _DEGREE
            to[_X] = way * rng.uniform(0.05, 0.12)
    curves.pose[_frames(moment)] += path[:, None] * to
