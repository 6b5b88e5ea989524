"""In-memory recordings of rendered people: specification, camera simulation and disk cache.

Only the frames that are needed are rendered. They go through the camera of the laboratory and JPEG.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from datasets.cached import sign, unwritable_as_corpus_error, verify
from datasets.processes import run_tasks
from datasets.schemes import THREE
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.laboratory import LABORATORIES
from datasets.surrogate.plan import RENDERER_VERSION, RICH_RENDERER_VERSION, CorpusOptions
from datasets.surrogate.scenario import ClipSpec
from datasets.surrogate.studio import make_renderer, render_clip
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, CorpusError, near_names
from mer_jax.system.files import write_atomically
from mer_jax.system.machine import count_processors
from mer_jax.vision.libraries import cv2


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

    def key(self, first: int, *versions: int | str) -> str:
        """Returns the cache key of data computed from the recording.

        Args:
            first: Version of what is made.
            versions: Further versions that it depends on.
        """
        renderer = RENDERER_VERSION if self.version == 1 else RICH_RENDERER_VERSION
        content = json.dumps([(first, renderer, *versions), dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def options(self) -> CorpusOptions:
        """Returns difficulty, seed and version for sampling the scenarios of clips."""
        return CorpusOptions(self.difficulty, seed=self.seed, version=self.version)


@dataclasses.dataclass(frozen=True)
class _Part:
    pictures: UInt8[np.ndarray, "n ..."]
    labels: np.ndarray
    people: np.ndarray
    numbers: np.ndarray  # of the clip of its person


def record(
    recordings: Sequence[Recording],
    filming: Callable[..., Any],
    place: Callable[[Recording], Path],
    *,
    corpus_name: str,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Renders clips of people, or loads them from the cache.

    Args:
        recordings: At least one; no two of one laboratory and seed.
        filming: Makes a task from a recording, see `datasets.processes.run_tasks`: called with a person, it yields the
            number, label and pictures of each clip.
        place: File of a recording in the cache.
        corpus_name: Of the clips.
        workers: Processes; None takes the processors at hand.
        say: Called with a line on each recording.

    Returns:
        The clips, in the classes negative, positive and surprise, of provenance "surrogate".

    Raises:
        ConfigError: An unknown laboratory, difficulty or version, or people that are filmed twice.
        CorpusError: The disk is full, or no clip of a recording has a face that is found.
        FaceModelError: The face model is not there.
    """
    if not recordings or len({(each.laboratory, each.seed) for each in recordings}) < len(recordings):
        raise ConfigError("expected recordings of different laboratories or seeds, at least one")
    workers = count_processors() if workers is None else workers
    parts = [_record(each, filming, place, workers, say) for each in recordings]
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
        corpus_name=corpus_name,
        provenance="surrogate",
    )


class Studio:
    """Renders the clips of one person in a simulated laboratory.

    Args:
        recording: What is asked for.
        person: 0-based.
    """

    def __init__(self, recording: Recording, person: int):
        self.recording, self._person = recording, person
        self._laboratory = LABORATORIES[recording.laboratory]
        geometry = self._laboratory.geometry
        self._camera, self._options = Camera(geometry.shape, 1.0), recording.options()
        self._subject = self._laboratory.film_person(recording.seed, person)
        variation = self._options.difficulty_preset.anatomy_variation
        self._renderer = make_renderer(self._subject, geometry, variation, version=recording.version)
        self.rng = np.random.default_rng([recording.seed, 23, self._laboratory.number, person])  # of the person
        self.labels = _deal_classes(self.rng, recording)  # of the person's clips

    def direct(self, number: int) -> tuple[ClipSpec, np.random.Generator]:
        """Samples the scenario of one clip, and returns it with the clip's random generator.

        Args:
            number: Of the clip, 0-based.
        """
        rng = np.random.default_rng([self.recording.seed, 29, self._laboratory.number, self._person, number])
        name = THREE[self.labels[number]]
        return self._laboratory.film_clip(self._options, self._subject, self._person, number, name), rng

    def film(self, spec: ClipSpec, frames: Sequence[int], rng: np.random.Generator) -> list[UInt8[np.ndarray, "h w 3"]]:
        """Renders selected frames of a clip with the corpus's camera and compression, RGB.

        Args:
            spec: From `direct`.
            frames: 0-based.
            rng: Draws blur, noise, compression and size.
        """
        geometry, how = self._laboratory.geometry, self.recording.randomization
        noise = geometry.noise * float(np.exp(how.noise_spread * rng.standard_normal()))
        sigma = rng.uniform(0, how.blur_px) * geometry.width / 640 if how.blur_px else 0.0
        quality = geometry.jpeg_quality - int(rng.integers(0, how.jpeg_drop + 1))
        scale = rng.uniform(how.resolution, 1.0) if how.resolution < 1 else 1.0
        camera, filmed = self._camera.with_noise(noise, blur=sigma), []
        for rendered in render_clip(self._renderer, camera, spec, frames=frames):
            image = rendered.image
            if scale < 1:
                image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            encoded = np.frombuffer(encode_frame(image, quality, is_gray=geometry.is_gray), np.uint8)
            filmed.append(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
        return filmed


def draw_moments(spec: ClipSpec, how: DomainRandomization, rng: np.random.Generator) -> tuple[int, int]:
    """Samples the annotated onset and apex frames."""
    onset = round(rng.uniform(0, how.timing) * spec.apex) if how.timing else 0
    apex = round(spec.apex + how.timing * spec.num_frames * rng.standard_normal()) if how.timing else spec.apex
    return onset, int(np.clip(apex, onset + 1, spec.num_frames - 1))


def _deal_classes(rng: np.random.Generator, recording: Recording) -> np.ndarray:
    if recording.class_shares is not None:
        return rng.choice(len(THREE), recording.clips_each, p=recording.class_shares)
    return rng.permutation(np.arange(recording.clips_each) + int(rng.integers(len(THREE)))) % len(THREE)


def _record(
    recording: Recording,
    filming: Callable[..., Any],
    place: Callable[[Recording], Path],
    workers: int,
    say: Callable[[str], None],
) -> _Part:
    if recording.laboratory not in LABORATORIES:
        raise ConfigError(f"no laboratory {recording.laboratory!r}; {near_names(recording.laboratory, LABORATORIES)}")
    num_clips = recording.people * recording.clips_each
    CorpusOptions(
        recording.difficulty, recording.people, num_clips, recording.seed, version=recording.version
    ).validate()
    path = place(recording)
    content = verify(path)
    if content is not None:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _Part(*(arrays[field.name] for field in dataclasses.fields(_Part)))
    say(f"SURROGATE {recording.laboratory}: filming {num_clips} clips of {recording.people} people")
    found: dict[int, list[tuple[int, int, np.ndarray]]] = {}
    for person, clip in run_tasks(filming, (recording,), range(recording.people), workers):
        found.setdefault(person, []).append(clip)
    clips = [(person, *clip) for person in sorted(found) for clip in found[person]]
    if lost := num_clips - len(clips):
        say(f"SURROGATE {recording.laboratory}: no face was found in {lost} of {num_clips} clips; they are left out")
    if not clips:
        raise CorpusError(
            f"SURROGATE {recording.laboratory}: no face was found in any of {num_clips} clips; expected faces in most: "
            "take another seed, or an easier difficulty"
        )
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
