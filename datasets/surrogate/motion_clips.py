"""Motion features of rendered people, computed in memory: only the onset and apex frames are rendered.

Ten thousand clips take about a quarter of an hour on two cores. The frames go through JPEG, the face detector, the
crop from the eye corners, registration and TV-L1 flow, as frames of a corpus do.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from datasets.cached import sign, unwritable_as_corpus_error, verify
from datasets.processes import run_tasks
from datasets.schemes import THREE
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.laboratory import LABORATORIES, Laboratory
from datasets.surrogate.plan import RENDERER_VERSION, RICH_RENDERER_VERSION, CorpusOptions
from datasets.surrogate.renderer import FaceRenderer
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.data.clips import Clips
from mer_jax.data.motion import EYES_MOTION_VERSION, quantize
from mer_jax.errors import ConfigError, near_names
from mer_jax.sizes import FACE_SIZE, MOTION_SIZE
from mer_jax.system.files import write_atomically
from mer_jax.system.machine import count_processors
from mer_jax.vision.crop import EYES_BORDER, eyes_crop, warp_gray
from mer_jax.vision.flow import motion_features
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VISION_VERSION
from mer_jax.vision.registration import register_frames

STREAM_VERSION = 1  # raise it whenever the same recording would give other features


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainRandomization:
    """Domain randomisation: ranges of the random changes to a recording, one draw per clip; 0 turns a change off.

    Attributes:
        blur_px: Largest sigma of the lens's blur, pixels of a 640x480 frame.
        noise_spread: Standard deviation of the logarithm of the camera's noise.
        jpeg_drop: Largest loss of JPEG quality.
        resolution: Smallest size of the frames, share of the laboratory's.
        box_shift: Standard deviation of the box's position, cells of 28; a third of it varies by clip, the rest by
            person.
        box_scale: Standard deviation of the logarithm of its size, in the same way.
        box_turn_deg: Standard deviation of its angle.
        timing: Standard deviation of the apex, and largest delay of the onset, shares of the clip: what lower frame
            rates and other annotators do.
        flow_blur: Largest sigma of a blur of the flow, cells of 28.
        flow_noise: Largest standard deviation of rough noise in the flow, share of the flow's own.
        farneback: Probability of Farneback's flow instead of TV-L1's.
        coarse: Probability of TV-L1 at half the size, of what is left; it is what our own pipeline takes for the tight
            box, where published features have the full size.
    """

    blur_px: float = 0.0
    noise_spread: float = 0.0
    jpeg_drop: int = 0
    resolution: float = 1.0
    box_shift: float = 0.0
    box_scale: float = 0.0
    box_turn_deg: float = 0.0
    timing: float = 0.0
    flow_blur: float = 0.0
    flow_noise: float = 0.0
    farneback: float = 0.0
    coarse: float = 0.0


NONE = DomainRandomization()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
    """Specification of the rendered clips of one laboratory.

    Attributes:
        laboratory: A key of `LABORATORIES`.
        people: Number of people.
        clips_each: Clips of each person, below 1000. Classes take turns, so that all have equal shares.
        class_shares: Shares of negative, positive and surprise instead; None for equal ones.
        difficulty: A key of `datasets.surrogate.scenario.DIFFICULTIES`.
        version: Of the surrogate, 1 or 2.
        seed: 0 or more.
        randomization: See `DomainRandomization`.
    """

    laboratory: str
    people: int
    clips_each: int
    class_shares: tuple[float, float, float] | None = None
    difficulty: str = "real"
    version: int = 2
    seed: int = 0
    randomization: DomainRandomization = NONE

    def key(self) -> str:
        """Identifies the features that the recording gives."""
        renderer = RENDERER_VERSION if self.version == 1 else RICH_RENDERER_VERSION
        versions = (STREAM_VERSION, renderer, VISION_VERSION, EYES_MOTION_VERSION)
        content = json.dumps([versions, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def record_motion(
    recordings: Sequence[Recording],
    cache_dir: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Renders people and returns the motion features of their clips, in the tight box; caches them on disk.

    Args:
        recordings: At least one; no two of one laboratory and seed.
        cache_dir: Where features are kept; created if it is missing.
        workers: Processes; None takes the processors at hand.
        say: Called with a line on each recording.

    Returns:
        The clips, in the classes negative, positive and surprise, of provenance "surrogate".

    Raises:
        ConfigError: An unknown laboratory, difficulty or version, or people that are filmed twice.
        CorpusError: The disk is full.
        FaceModelError: The face model is not there.
    """
    if not recordings or len({(each.laboratory, each.seed) for each in recordings}) < len(recordings):
        raise ConfigError("expected recordings of different laboratories or seeds, at least one")
    parts = [_record(each, cache_dir, count_processors() if workers is None else workers, say) for each in recordings]
    named = [
        (f"{recording.laboratory}_{recording.seed}", recording.laboratory, part)
        for recording, part in zip(recordings, parts, strict=True)
    ]
    return Clips.from_arrays(
        np.concatenate([part.pictures for _, _, part in named]),
        np.concatenate([part.labels for _, _, part in named]).astype(np.int32),
        [f"{name}_p{person:04d}" for name, _, part in named for person in part.people],
        class_names=THREE,
        clip_ids=[
            f"{name}_p{person:04d}_{number:03d}"
            for name, _, part in named
            for person, number in zip(part.people, part.numbers, strict=True)
        ],
        corpora=[laboratory for _, laboratory, part in named for _ in part.people],
        corpus_name="surrogate_motion",
        provenance="surrogate",
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    pictures: UInt8[np.ndarray, "n 28 28 3"]
    labels: np.ndarray
    people: np.ndarray
    numbers: np.ndarray  # of the clip of its person


def _record(recording: Recording, cache_dir: Path, workers: int, say: Callable[[str], None]) -> _Part:
    if recording.laboratory not in LABORATORIES:
        raise ConfigError(f"no laboratory {recording.laboratory!r}; {near_names(recording.laboratory, LABORATORIES)}")
    num_clips = recording.people * recording.clips_each
    CorpusOptions(
        recording.difficulty, recording.people, num_clips, recording.seed, version=recording.version
    ).validate()
    path = cache_dir / f"surrogate_{recording.laboratory}_{recording.key()}.motion"
    content = verify(path)
    if content is not None:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _Part(*(arrays[field.name] for field in dataclasses.fields(_Part)))
    say(f"SURROGATE {recording.laboratory}: filming {num_clips} clips of {recording.people} people")
    found: dict[int, list[tuple[int, int, np.ndarray]]] = {}
    for person, clip in run_tasks(_Filming, (recording,), range(recording.people), workers):
        found.setdefault(person, []).append(clip)
    clips = [(person, *clip) for person in sorted(found) for clip in found[person]]
    if lost := num_clips - len(clips):
        say(f"SURROGATE {recording.laboratory}: no face was found in {lost} of {num_clips} clips; they are left out")
    part = _Part(
        np.stack([picture for *_, picture in clips]),
        np.array([label for _, _, label, _ in clips]),
        np.array([person for person, *_ in clips]),
        np.array([number for _, number, _, _ in clips]),
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{field.name: getattr(part, field.name) for field in dataclasses.fields(_Part)})
    with unwritable_as_corpus_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, sign(buffer.getvalue()))
    return part


class _Filming:
    """Renders one person after another; yields (number, label, features) of each clip. See `run_tasks`."""

    def __init__(self, recording: Recording):
        cv2.setNumThreads(1)
        self._recording, self._laboratory = recording, LABORATORIES[recording.laboratory]
        self._landmarker = FaceLandmarker()
        self._camera = Camera(self._laboratory.geometry.shape, 1.0)

    def __call__(self, person: int) -> Iterator[tuple[int, int, np.ndarray]]:
        recording, laboratory = self._recording, self._laboratory
        options = CorpusOptions(recording.difficulty, seed=recording.seed, version=recording.version)
        subject = laboratory.film_person(recording.seed, person)
        variation = options.difficulty_preset.anatomy_variation
        renderer = make_renderer(subject, laboratory.geometry, variation, version=recording.version)
        own = np.random.default_rng([recording.seed, 23, laboratory.number, person])
        labels = _deal_classes(own, recording)
        persons_box = _draw_box(own, recording.randomization, 1.0)
        for number, label in enumerate(labels):
            rng = np.random.default_rng([recording.seed, 29, laboratory.number, person, number])
            spec = laboratory.film_clip(options, subject, person, number, THREE[label])
            frames = _film(renderer, self._camera, spec, laboratory, recording.randomization, rng)
            box = persons_box + _draw_box(rng, recording.randomization, 0.35)
            features = self._measure(frames, box, rng)
            if features is not None:
                yield number, int(label), quantize(features)

    def _measure(
        self, frames: list[UInt8[np.ndarray, "h w 3"]], box: Float[np.ndarray, "4"], rng: np.random.Generator
    ) -> Float[np.ndarray, "28 28 3"] | None:
        """Motion features between two frames in the tight box, which is moved by `box`; None without a face."""
        found = self._landmarker.detect(frames[0])
        if found is None:
            return None
        grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        corrections = register_frames(grays, found.ibug, 0).corrections
        crop = _move_box(box) @ eyes_crop(found.ibug)
        onset, apex = (warp_gray(gray, crop @ matrix) for gray, matrix in zip(grays, corrections, strict=True))
        how = self._recording.randomization
        method = "farneback" if rng.random() < how.farneback else "tvl1"
        if how.coarse and rng.random() < how.coarse and method == "tvl1":
            method = "tvl1_half"
        return _roughen_flow(motion_features(onset, apex, method, border=EYES_BORDER), how, rng)

    def close(self) -> None:
        """Stops the face detector."""
        self._landmarker.close()


def _deal_classes(rng: np.random.Generator, recording: Recording) -> np.ndarray:
    if recording.class_shares is not None:
        return rng.choice(len(THREE), recording.clips_each, p=recording.class_shares)
    return rng.permutation(np.arange(recording.clips_each) + int(rng.integers(len(THREE)))) % len(THREE)


def _draw_box(rng: np.random.Generator, how: DomainRandomization, share: float) -> Float[np.ndarray, "4"]:
    """Draws a change of the face box: shift in cells (right, down), log of the scale, angle in radians."""
    spread = (how.box_shift, how.box_shift, how.box_scale, np.deg2rad(how.box_turn_deg))
    return share * np.multiply(spread, rng.standard_normal(4))


def _move_box(box: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    """The similarity about the middle of the crop that moves what it shows."""
    right, down, log_scale, angle = box
    cell, middle = (FACE_SIZE - 2 * EYES_BORDER) / MOTION_SIZE, (FACE_SIZE - 1) / 2
    cos, sin = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = middle + np.array([right, down]) * cell - matrix[:2, :2] @ (middle, middle)
    return matrix


def _film(
    renderer: FaceRenderer,
    camera: Camera,
    spec: ClipSpec,
    laboratory: Laboratory,
    how: DomainRandomization,
    rng: np.random.Generator,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The frames of onset and apex as a corpus would hold them, RGB."""
    geometry, last = laboratory.geometry, spec.num_frames - 1
    onset = round(rng.uniform(0, how.timing) * spec.apex) if how.timing else 0
    apex = round(spec.apex + how.timing * spec.num_frames * rng.standard_normal()) if how.timing else spec.apex
    apex = int(np.clip(apex, onset + 1, last))
    noise = geometry.noise * float(np.exp(how.noise_spread * rng.standard_normal()))
    sigma = rng.uniform(0, how.blur_px) * geometry.width / 640 if how.blur_px else 0.0
    quality = geometry.jpeg_quality - int(rng.integers(0, how.jpeg_drop + 1))
    scale = rng.uniform(how.resolution, 1.0) if how.resolution < 1 else 1.0
    frames = []
    for rendered in render_clip(renderer, camera.with_noise(noise, blur=sigma), spec, frames=(onset, apex)):
        image = rendered.image
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        encoded = np.frombuffer(encode_frame(image, quality, is_gray=geometry.is_gray), np.uint8)
        frames.append(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    return frames


def _roughen_flow(
    features: Float[np.ndarray, "28 28 3"], how: DomainRandomization, rng: np.random.Generator
) -> Float[np.ndarray, "28 28 3"]:
    """Blurs the features, and adds noise with a grain of one to three cells to each channel."""
    if how.flow_blur and (sigma := rng.uniform(0, how.flow_blur)) > 0.3:
        features = cv2.GaussianBlur(features, (0, 0), sigma)
    if how.flow_noise:
        amount, grain = rng.uniform(0, how.flow_noise), rng.uniform(0.3, 1.2)
        noise = cv2.GaussianBlur(rng.standard_normal(features.shape, np.float32), (0, 0), grain)
        features = features + amount * features.std((0, 1)) * noise / noise.std((0, 1))
        features[..., 2] = np.abs(features[..., 2])  # strain has no sign
    return features.astype(np.float32)
