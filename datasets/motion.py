"""Motion features of a built corpus: those that were prepared, or computed from its clips and kept on disk."""

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from datasets.cached import sign, unwritable_as_corpus_error, verify
from datasets.read import load_clips
from mer_jax.data.clips import Clips
from mer_jax.data.motion import quantize
from mer_jax.errors import ConfigError
from mer_jax.system.files import write_atomically
from mer_jax.system.machine import count_processors
from mer_jax.vision.flow import motion_features
from mer_jax.vision.options import VisionOptions

MOTION_VERSION = 2  # raise it whenever the same clips would give other features


def load_motion(
    builder_dir: str | os.PathLike[str],
    options: VisionOptions,
    cache_dir: Path,
    *,
    scheme: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Loads motion features where those were built, and computes them from clips otherwise.

    Args:
        builder_dir: Result of `datasets.build.build`.
        options: How its clips were prepared; not used for prepared features.
        cache_dir: Where computed features are kept; created if it is missing.
        scheme: A class scheme of the corpus; None takes the default.
        workers: Threads; None takes the processors at hand.
        say: Called with a line on what is done.

    Raises:
        ConfigError: The clips have no apex at a known place.
        CorpusError: Nothing is built there, or the disk is full.
    """
    clips = load_clips(builder_dir, scheme=scheme)
    if clips.kind == "motion":
        return clips
    if options.sampling != "apex":
        raise ConfigError(
            f"motion features are those between onset and apex, got vision.sampling={options.sampling!r}; expected "
            "--config.vision.sampling=apex, which takes the annotated apex or spots it"
        )
    return compute_motion(clips, options.num_frames // 2, cache_dir, workers=workers, say=say)


def compute_motion(
    clips: Clips, apex: int, cache_dir: Path, *, workers: int | None = None, say: Callable[[str], None] = print
) -> Clips:
    """Computes the motion features of clips, or finds them computed.

    Args:
        clips: Frame 0 is the onset. Best without a mask, whose edges seem to hold still.
        apex: Frame of the apex in each of them, 0-based.
        cache_dir: As in `load_motion`.
        workers: As in `load_motion`.
        say: As in `load_motion`.

    Source: as `mer_jax.vision.flow.motion_features`.
    Differs: 8 bits with one scale for all clips (`mer_jax.data.motion.FULL_SCALE`), so that large motion stays
    larger than small. The pictures that authors publish are stretched to 0 to 255 one by one.
    """
    key = hashlib.sha256(f"motion {MOTION_VERSION} {apex} {clips.fingerprint}".encode()).hexdigest()[:32]
    path = cache_dir / f"{clips.corpus_name}_{key}.motion"
    flow = _read(path)
    if flow is None:
        say(f"optical flow from onset to apex of {len(clips)} clips")
        with ThreadPoolExecutor(workers or count_processors()) as pool:  # OpenCV works outside of Python's lock
            flow = np.stack(list(pool.map(lambda clip: quantize(motion_features(clip[0], clip[apex])), clips.pictures)))
        content = io.BytesIO()
        np.save(content, flow)
        with unwritable_as_corpus_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, sign(content.getvalue()))
    return dataclasses.replace(clips, pictures=flow, fingerprint=key)


def _read(path: Path) -> UInt8[np.ndarray, "n h w 3"] | None:
    content = verify(path)
    return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)
