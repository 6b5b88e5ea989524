"""What happens in a clip: which action units move, how far and when, and all that disturbs them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from datasets.surrogate.action_units import LEFT as LEFT
from datasets.surrogate.action_units import MIDLINE_UNITS
from datasets.surrogate.action_units import RIGHT as RIGHT
from datasets.surrogate.curves import ease, wander
from datasets.surrogate.identity import Subject
from datasets.surrogate.repertoire import move_units, unit_sets_of

POSE = ("x_iod", "y_iod", "roll_rad", "scale", "yaw_rad", "pitch_rad")  # columns of ClipSpec.pose


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """How visible the expressions are, and how much else moves.

    One percent of the inter-ocular distance (IOD, between the centres of the eyes) is about 0.8
    pixels in a 640x480 SMIC frame and 0.4 pixels in the 128x128 crop that a network sees.

    Attributes:
        amplitude: median displacement of an action unit at the apex, % IOD.
        amplitude_spread: standard deviation of its logarithm over clips.
        anatomy_variation: 0: a unit moves every face alike; 1: centre, extent and direction vary by subject.
        label_noise: share of clips whose face shows another class than their label, as happens
            where labels are what subjects said they felt.
        distractor_probability: of a slow movement of any unit that says nothing of the class.
        distractor_amplitude: its median size, and that of restless lips, % IOD.
        mouth_probability: of restless lips.
        drift: size of the head movement (1: rms of about 1 % IOD a second).
        blink_probability, gaze_probability: of a blink and of a saccade within the clip.
        flicker: relative change of exposure.
    """

    amplitude: float
    amplitude_spread: float
    anatomy_variation: float
    label_noise: float
    distractor_probability: float
    distractor_amplitude: float
    mouth_probability: float
    drift: float
    blink_probability: float
    gaze_probability: float
    flicker: float


# Accuracy of a linear classifier on difference images, truly aligned, subjects disjoint, 180 clips, two seeds:
# easy .84 .85, medium .81 .72, real .72 .64, hard .64 .53, null .40 .34 (1080 clips: .35; chance is .33, standard
# error .035). On real SMIC, simple motion features reach about .5 to .65: "real" and "hard" are the neighbourhood.
# 0.5 to 3 pixels of movement at the scale of CASME II would be 0.4 to 2.5 % IOD: hard to medium.
DIFFICULTIES: dict[str, Difficulty] = {
    # 2.9 px at SMIC scale: visible to the eye when the clip is played.
    "easy": Difficulty(3.5, 0.25, 0.0, 0.00, 0.2, 1.05, 0.1, 0.5, 0.05, 0.1, 0.004),
    # 1.7 px: the default; honest work for a network, and learnable from 164 clips.
    "medium": Difficulty(2.0, 0.35, 0.0, 0.03, 0.5, 0.80, 0.3, 1.0, 0.15, 0.3, 0.008),
    # 1.2 px, and faces differ in how they move: the neighbourhood of the licensed corpora.
    "real": Difficulty(1.5, 0.35, 1.0, 0.08, 0.5, 1.20, 0.3, 1.0, 0.15, 0.3, 0.008),
    # 0.85 px, less than the restless lips of the same clip.
    "hard": Difficulty(1.0, 0.45, 1.0, 0.08, 0.8, 0.60, 0.5, 1.5, 0.25, 0.4, 0.012),
    # Nothing but nuisances: whoever beats chance here has found a fault of the renderer or of the protocol.
    "null": Difficulty(0.0, 0.35, 1.0, 0.00, 0.5, 0.80, 0.3, 1.0, 0.15, 0.3, 0.008),
}

# Action units of a class with their probabilities, after EMFACS: what happiness, the negative
# emotions (anger, disgust, sadness, contempt) and surprise are coded with in the real corpora.
UnitSets = tuple[tuple[tuple[str, ...], float], ...]
UNIT_SETS: dict[str, UnitSets] = {
    "positive": ((("6", "12"), 0.42), (("12",), 0.30), (("6",), 0.10), (("12", "25"), 0.08), (("6", "12", "25"), 0.10)),
    "negative": (
        (("4",), 0.22),
        (("4", "7"), 0.20),
        (("9",), 0.06),
        (("4", "9"), 0.09),
        (("10",), 0.07),
        (("15",), 0.08),
        (("17",), 0.05),
        (("15", "17"), 0.10),
        (("14",), 0.06),
        (("1", "4"), 0.07),
    ),
    "surprise": (
        (("1", "2"), 0.35),
        (("1", "2", "5"), 0.25),
        (("5",), 0.06),
        (("2",), 0.08),
        (("1", "2", "25"), 0.12),
        (("1", "2", "5", "26"), 0.14),
    ),
}
DISTRACTORS = ("1", "2", "4", "6", "7", "10", "12", "14", "15", "17", "20", "24")
RESTLESS_LIPS = ("24", "25", "14", "20", "17")
UNILATERAL_PROBABILITY = 0.15


@dataclasses.dataclass(frozen=True, eq=False)
class ClipSpec:
    """One clip before it is rendered, with its truth.

    Attributes:
        class_name: the label that the corpus gives.
        shown_class: the class whose action units move; differs from the label by label noise.
        action_units: the true set.
        apex: 0-based; onset is frame 0 and offset the last frame.
        peaks: by true action unit, the largest displacement in the clip, % IOD.
        activations: by (action unit, side), true ones and disturbances together, fraction of the IOD.
        lid_closure: of the right and left eye, 0 open to 1 closed.
        gaze: (x, y) movement of the eyeballs, fraction of the IOD.
        pose: columns as in `POSE`.
        exposure: factor on the brightness.
        seed: of the camera noise.
        tilt: change of the light across the face, (right, down), share over 10 cm; None for even light.
    """

    class_name: str
    shown_class: str
    action_units: tuple[str, ...]
    apex: int
    peaks: dict[str, float]
    activations: dict[tuple[str, int], Float[np.ndarray, "t"]]
    lid_closure: Float[np.ndarray, "t 2"]
    gaze: Float[np.ndarray, "t 2"]
    pose: Float[np.ndarray, "t 6"]
    exposure: Float[np.ndarray, "t"]
    seed: int
    tilt: Float[np.ndarray, "t 2"] | None = None

    @property
    def num_frames(self) -> int:
        """Length of the clip."""
        return len(self.exposure)


def sample_clip(
    rng: np.random.Generator,
    subject: Subject,
    class_name: str,
    difficulty: Difficulty,
    *,
    fps: float,
    duration_s: tuple[float, float, float],
    unit_sets: Mapping[str, UnitSets] = UNIT_SETS,
    version: int = 1,
) -> ClipSpec:
    """Draws a clip.

    Args:
        rng: of this clip alone.
        subject: whose expressivity scales the movements.
        class_name: a key of `unit_sets`.
        difficulty: how far things move.
        fps: frames per second.
        duration_s: shortest, typical and longest duration.
        unit_sets: what each class of the corpus moves.
        version: 1, or 2 for the richer movements of `repertoire` and uneven changes of light.
    """
    shortest, typical, longest = duration_s
    duration = np.clip(typical * np.exp(0.35 * rng.standard_normal()), shortest, longest)
    num_frames = max(6, round(duration * fps))
    seconds = np.arange(num_frames) / fps
    progress = np.arange(num_frames) / num_frames

    shown_class = class_name
    if rng.random() < difficulty.label_noise:
        shown_class = str(rng.choice([each for each in unit_sets if each != class_name]))
    if version > 1:
        unit_sets = unit_sets_of(unit_sets)
    sets, probabilities = zip(*unit_sets[shown_class], strict=True)
    units = sets[rng.choice(len(sets), p=probabilities)]
    activations: dict[tuple[str, int], np.ndarray] = {}

    def add(unit: str, side: int, movement: np.ndarray) -> None:
        activations[unit, side] = activations.get((unit, side), 0.0) + movement

    if version == 1:
        movements, apex = _move_together(rng, units, subject, difficulty, num_frames)
    else:
        scale = np.exp(difficulty.amplitude_spread * rng.standard_normal()) / 100
        movements, apex = move_units(rng, units, subject, difficulty.amplitude * scale, num_frames)
    peaks = {unit: 100 * max(float(movements[unit, side].max()) for side in (RIGHT, LEFT)) for unit in units}
    for (unit, side), movement in movements.items():
        add(unit, side, movement)

    disturbance = difficulty.distractor_amplitude * np.exp(difficulty.amplitude_spread * rng.standard_normal()) / 100
    if rng.random() < difficulty.distractor_probability:  # slow, and it does not come back
        unit = str(rng.choice(DISTRACTORS))
        movement = ease((progress - rng.uniform(-0.5, 0.5)) / rng.uniform(0.5, 1.2))
        movement = movement * disturbance * rng.uniform(0.3, 1.3)
        for side in (RIGHT, LEFT):
            add(unit, side, movement * rng.uniform(0.5, 1.0))
    if rng.random() < difficulty.mouth_probability:
        for unit in rng.choice(RESTLESS_LIPS, 2, replace=False):
            movement = np.abs(wander(rng, seconds, 2.0)) * disturbance
            for side in (RIGHT, LEFT):
                add(str(unit), side, movement * rng.uniform(0.6, 1.0))

    return ClipSpec(
        class_name=class_name,
        shown_class=shown_class,
        action_units=units,
        apex=apex,
        peaks=peaks,
        activations=activations,
        lid_closure=_sample_blink(rng, seconds, difficulty.blink_probability),
        gaze=_sample_gaze(rng, seconds, difficulty.gaze_probability),
        pose=sample_pose(rng, seconds, difficulty.drift),
        exposure=sample_exposure(rng, seconds, difficulty.flicker),
        seed=int(rng.integers(1 << 31)),
        tilt=None if version == 1 else sample_tilt(rng, seconds, difficulty.flicker),
    )


def _move_together(
    rng: np.random.Generator, units: tuple[str, ...], subject: Subject, difficulty: Difficulty, num_frames: int
) -> tuple[dict[tuple[str, int], np.ndarray], int]:
    """Version 1: all units of the set rise and fall on one curve."""
    apex = int(np.clip(round(num_frames * rng.uniform(0.3, 0.6)), 2, num_frames - 2))
    envelope = _rise_and_fall(num_frames, apex, remaining=1 - rng.uniform(0.6, 1.0))
    scale = np.exp(difficulty.amplitude_spread * rng.standard_normal()) / 100
    weak_side = rng.integers(2) if rng.random() < UNILATERAL_PROBABILITY else None
    movements = {}
    for unit in units:
        size = difficulty.amplitude * scale * subject.expressivity[unit] * rng.uniform(0.65, 1.1)
        sizes = size * np.exp(0.15 * rng.standard_normal(2))
        if weak_side is not None and unit not in MIDLINE_UNITS:
            sizes[weak_side] *= rng.uniform(0.05, 0.4)
        for side in (RIGHT, LEFT):
            movements[unit, side] = sizes[side] * envelope
    return movements, apex


def _rise_and_fall(num_frames: int, apex: int, remaining: float) -> np.ndarray:
    """0 at the first frame, 1 at the apex, `remaining` at the last."""
    frames = np.arange(num_frames)
    fall = 1 - (1 - remaining) * ease((frames - apex) / max(1, num_frames - 1 - apex))
    return np.where(frames <= apex, ease(frames / apex), fall)


def _sample_blink(rng: np.random.Generator, seconds: np.ndarray, probability: float) -> np.ndarray:
    if rng.random() >= probability:
        return np.zeros((len(seconds), 2))
    middle, width = rng.uniform(-0.1, 1.1) * seconds[-1], rng.uniform(0.08, 0.13)
    closure = rng.uniform(0.5, 1.0) * np.exp(-0.5 * ((seconds - middle) / width) ** 2)
    return np.stack([closure, closure], 1)


def _sample_gaze(rng: np.random.Generator, seconds: np.ndarray, probability: float) -> np.ndarray:
    if rng.random() >= probability:
        return np.zeros((len(seconds), 2))
    jump = ease((seconds - rng.uniform(0, seconds[-1])) / 0.03)
    return jump[:, None] * rng.normal(0, (0.03, 0.012))


def sample_pose(rng: np.random.Generator, seconds: np.ndarray, drift: float) -> np.ndarray:
    """Where the head is and how it drifts: posture, heart beat and tremor."""
    degree = np.deg2rad(1)
    paths = [
        wander(rng, seconds, 1.2) * 0.010 + wander(rng, seconds, 5.0) * 0.0008,
        wander(rng, seconds, 1.2) * 0.008 + wander(rng, seconds, 5.0) * 0.0008,
        wander(rng, seconds, 1.0) * 0.25 * degree,
        wander(rng, seconds, 1.0) * 0.0015,
        wander(rng, seconds, 1.0) * 0.5 * degree,
        wander(rng, seconds, 1.0) * 0.5 * degree,
    ]
    path = drift * np.stack(paths, 1)
    start = rng.normal(0, (0.10, 0.06, 2 * degree, 0.03, 2 * degree, 2 * degree))
    return path - path[:1] + start


def sample_exposure(rng: np.random.Generator, seconds: np.ndarray, flicker: float) -> np.ndarray:
    """Returns the relative exposure of each frame."""
    lamp = np.sin(2 * np.pi * rng.uniform(0.3, 3) * seconds + rng.uniform(0, 6))
    return rng.uniform(0.9, 1.1) * (1 + flicker * (0.6 * lamp + 0.5 * wander(rng, seconds, 2.0)))


def sample_tilt(rng: np.random.Generator, seconds: np.ndarray, flicker: float) -> np.ndarray:
    """Lamps that flicker out of step brighten one side of the face more than the other."""
    return flicker * np.stack([wander(rng, seconds, 2.0), wander(rng, seconds, 2.0)], 1)
