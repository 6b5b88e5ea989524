"""Motion features of rendered people; only the onset and apex frames are rendered.

Ten thousand clips take about 45 minutes of one core (benchmarks.one_clip). The frames go through JPEG, the face
detector, the crop from the eye corners, registration and TV-L1 flow, as frames of a corpus do.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from datasets.surrogate.recording import DomainRandomization, Recording, Studio, draw_moments, record
from mer_jax.data.clips import Clips
from mer_jax.data.motion import EYES_MOTION_VERSION, quantize
from mer_jax.sizes import FACE_SIZE, MOTION_SIZE
from mer_jax.vision.crop import EYES_BORDER, eyes_crop, warp_gray
from mer_jax.vision.flow import motion_features
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VISION_VERSION
from mer_jax.vision.registration import register_frames

STREAM_VERSION = 1  # raise it whenever the same recording would give other features


def record_motion(
    recordings: Sequence[Recording],
    cache_dir: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Computes motion features of rendered people in the tight face box; results are cached on disk.

    Args:
        recordings: See `datasets.surrogate.recording.record`.
        cache_dir: Where features are kept; created if it is missing.
        workers: Processes; None takes the processors at hand.
        say: Called with a line on each recording.

    Raises:
        ConfigError: See `record`.
        CorpusError: The disk is full.
        FaceModelError: The face model is not there.
    """

    def place(recording: Recording) -> Path:
        key = recording.key(STREAM_VERSION, VISION_VERSION, EYES_MOTION_VERSION)
        return cache_dir / f"surrogate_{recording.laboratory}_{key}.motion"

    return record(recordings, _Filming, place, corpus_name="surrogate_motion", workers=workers, say=say)


class _Filming:
    """Task of `run_tasks` that renders one person; yields (number, label, features) of each clip."""

    def __init__(self, recording: Recording):
        cv2.setNumThreads(1)
        self._recording = recording
        self._landmarker = FaceLandmarker()

    def __call__(self, person: int) -> Iterator[tuple[int, int, np.ndarray]]:
        studio, how = Studio(self._recording, person), self._recording.randomization
        persons_box = _draw_box(studio.rng, how, 1.0)
        for number, label in enumerate(studio.labels):
            spec, rng = studio.direct(number)
            frames = studio.film(spec, draw_moments(spec, how, rng), rng)
            features = self._measure(frames, persons_box + _draw_box(rng, how, 0.35), rng)
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


def _draw_box(rng: np.random.Generator, how: DomainRandomization, share: float) -> Float[np.ndarray, "4"]:
    """Samples a jitter of the face box: shift in cells (right, down), log of the scale, angle in radians."""
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
