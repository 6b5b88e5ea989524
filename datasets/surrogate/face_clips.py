"""Preprocessed face clips of rendered people; only the frames that a network needs are rendered.

What differs from camera to camera is drawn anew for each clip: blur, noise, compression, size and frame rate. Place,
size and angle of the face box, light and speed are changed by the augmentation in training.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets.surrogate.recording import Recording, Studio, draw_moments, record
from mer_jax.data.clips import Clips
from mer_jax.errors import NoFaceError
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VISION_VERSION, VisionOptions
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.sampling import uniform_indices

FACES_VERSION = 1  # raise it whenever the same recording would give other faces


def record_faces(
    recordings: Sequence[Recording],
    cache_dir: Path,
    *,
    options: VisionOptions,
    slowest: float = 1.0,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Renders face clips of rendered people and preprocesses them; results are cached on disk.

    Args:
        recordings: See `datasets.surrogate.recording.record`. What `DomainRandomization` says of box and flow is not
            used.
        cache_dir: Where faces are kept; created if it is missing.
        options: How frames become clips; sampling is `uniform`.
        slowest: Lowest frame rate, share of the one that gives as many frames as the clip takes; 1 for no change.
        workers: Processes; None takes the processors at hand.
        say: Called with a line on each recording.

    Raises:
        ConfigError: See `record`.
        CorpusError: The disk is full.
        FaceModelError: The face model is not there.
    """

    def place(recording: Recording) -> Path:
        key = recording.key(FACES_VERSION, VISION_VERSION, options.fingerprint(), str(slowest))
        return cache_dir / f"surrogate_{recording.laboratory}_{key}.faces"

    filming = _Factory(options, slowest)
    return record(recordings, filming, place, corpus_name="surrogate_faces", workers=workers, say=say)


@dataclasses.dataclass(frozen=True)
class _Factory:
    options: VisionOptions
    slowest: float

    def __call__(self, recording: Recording) -> "_Filming":
        return _Filming(recording, self.options, self.slowest)


class _Filming:
    """Task of `run_tasks` that renders one person; yields (number, label, faces) of each clip."""

    def __init__(self, recording: Recording, options: VisionOptions, slowest: float):
        cv2.setNumThreads(1)
        self._recording, self._options, self._slowest = recording, options, slowest
        self._landmarker = FaceLandmarker()

    def __call__(self, person: int) -> Iterator[tuple[int, int, np.ndarray]]:
        studio, how = Studio(self._recording, person), self._recording.randomization
        for number, label in enumerate(studio.labels):
            spec, rng = studio.direct(number)
            onset, _ = draw_moments(spec, how, rng)
            available = spec.num_frames - onset
            rate = rng.uniform(self._slowest, 1.0) if self._slowest < 1 else 1.0
            most = min(available, self._options.num_frames)
            frames = onset + uniform_indices(available, max(2, round(rate * most)))
            filmed = np.stack(studio.film(spec, frames.tolist(), rng))
            with ArrayFrames(filmed) as source:
                try:
                    prepared = prepare_clip(source, self._options, self._landmarker)
                except NoFaceError:
                    continue  # counted by `record`
            yield number, int(label), prepared.faces

    def close(self) -> None:
        """Stops the face detector."""
        self._landmarker.close()
