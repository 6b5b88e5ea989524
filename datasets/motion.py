"""Motion features of a built corpus: prepared ones as they are, or computed from its clips and kept on disk."""

import contextlib
import hashlib
import os
import secrets
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from datasets.cache import default_workers
from datasets.read import FLOW, load_clips, load_flow_features, read_metadata
from mer_jax.data.clips import Clips
from mer_jax.data.motion import quantize
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.vision.flow import motion_features
from mer_jax.vision.options import VisionOptions

# Counts up whenever the same clips would give other features.
MOTION_VERSION = 1


def load_motion(
    builder_dir: str | os.PathLike[str],
    options: VisionOptions,
    cache_dir: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Reads motion features where they were built, and computes them from clips where those were.

    Args:
        builder_dir: what `datasets.build.build` returned.
        options: how its clips were prepared; prepared features are not concerned.
        cache_dir: where computed features are kept; made if it is not there.
        workers: threads; None takes the processors at hand.
        say: takes a line on what is done.

    Raises:
        ConfigError: the clips have no apex at a known place.
        CorpusError: nothing is built there, or the disk is full.
    """
    if FLOW in read_metadata(builder_dir):
        return load_flow_features(builder_dir)
    if options.sampling != "apex":
        raise ConfigError(
            f"motion features are those between onset and apex, got vision.sampling={options.sampling!r}; expected "
            "--config.vision.sampling=apex, which takes the annotated apex or spots it"
        )
    return compute_motion(load_clips(builder_dir), options.num_frames // 2, cache_dir, workers=workers, say=say)


def compute_motion(
    clips: Clips, apex: int, cache_dir: Path, *, workers: int | None = None, say: Callable[[str], None] = print
) -> Clips:
    """Computes the motion features of clips, or finds them computed.

    Args:
        clips: frame 0 is the onset. Best without a mask, whose edges seem to hold still.
        apex: frame of the apex in each of them, 0-based.
        cache_dir: where the features are kept.
        workers: threads; None takes the processors at hand.
        say: takes a line on what is done.

    Raises:
        CorpusError: the features cannot be written.

    Source: as `mer_jax.vision.flow.motion_features`.
    Differs: 8 bits with one scale for all clips (`mer_jax.data.motion.FULL_SCALE`), so that large motion stays
    larger than small. The pictures that authors publish are stretched to 0 to 255 one by one.
    """
    key = hashlib.sha256(f"motion {MOTION_VERSION} {apex} {clips.fingerprint}".encode()).hexdigest()[:32]
    path = cache_dir / f"{clips.corpus_name}_{key}.npy"
    flow = _read(path, len(clips))
    if flow is None:
        say(f"optical flow from onset to apex of {len(clips)} clips")
        with ThreadPoolExecutor(workers or default_workers()) as pool:  # OpenCV works outside of Python's lock
            flow = np.stack(list(pool.map(lambda clip: quantize(motion_features(clip[0], clip[apex])), clips.pictures)))
        _write(path, flow)
    return Clips(
        pictures=flow,
        label=clips.label,
        subject=clips.subject,
        clip_id=clips.clip_id,
        corpus=clips.corpus,
        class_names=clips.class_names,
        provenance=clips.provenance,
        fingerprint=key,
        corpus_name=clips.corpus_name,
    )


def _read(path: Path, length: int) -> UInt8[np.ndarray, "n h w 3"] | None:
    try:
        flow = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    return flow if len(flow) == length else None


def _write(path: Path, flow: UInt8[np.ndarray, "n h w 3"]) -> None:
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, flow)
        os.replace(temporary, path)
    except OSError as error:
        raise CorpusError(
            f"cannot write {path}: {error.strerror}. Make room there, or name another folder with --data_dir."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
