"""Pictures of motion of a built corpus: those that were prepared, or computed from its clips and kept on disk.

Which pictures a network takes is said by its view, see `mer_jax.data.views`. Each kind of `mer_jax.data.stored` that is
computed in advance has a recipe here.
"""

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from datasets.cached import sign, unwritable_as_corpus_error, verify
from datasets.read import load_clips
from mer_jax.data.clips import Clips
from mer_jax.data.flow_views import FlowMaps, FlowSet, Patches
from mer_jax.data.motion import DIFFERENCE_FULL_SCALE, EYES_FLOW, EYES_MOTION_VERSION, FULL_SCALE, quantize
from mer_jax.data.view import View
from mer_jax.data.views import VIEWS
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.sizes import PATCH_POINTS
from mer_jax.system.files import write_atomically
from mer_jax.system.machine import count_processors
from mer_jax.vision.crop import EYES_BORDER
from mer_jax.vision.flow import flow_maps, landmark_patches, motion_features, optical_flow
from mer_jax.vision.options import VisionOptions

MOTION_VERSION = 2  # raise it whenever the same clips would give other pictures

_Faces = UInt8[np.ndarray, "t h w"]
_Points = Float32[np.ndarray, "68 2"]


def check_source(view: View, options: VisionOptions, stored: str, corpus: str) -> None:
    """Refuses a view that a corpus cannot give, before anything is built.

    Args:
        view: Of the model.
        options: How clips are prepared.
        stored: What the corpus holds, see `Release.stored`.
        corpus: Its name, for messages.

    Raises:
        ConfigError: No apex at a known place, too few frames, or prepared pictures of another kind.
    """
    if stored != "faces" and stored != view.stored:
        raise ConfigError(
            f"the view {view.name} is made from {view.stored}, and this variant of {corpus} holds {stored} without "
            "frames; use a variant with frames, or a model that takes them"
        )
    if stored != "faces":
        return
    if view.needs_apex and options.sampling != "apex":
        free = ", ".join(name for name, each in VIEWS.items() if not each.needs_apex)
        raise ConfigError(
            f"the view {view.name} is of onset and apex, got vision.sampling={options.sampling!r}; expected "
            f"--config.vision.sampling=apex, which takes the annotated apex or spots it (views without one: {free})"
        )
    if options.num_frames < view.least_frames:
        raise ConfigError(
            f"the view {view.name} needs clips of at least {view.least_frames} frames, got "
            f"vision.num_frames={options.num_frames}; set --config.vision.num_frames={view.least_frames} or more"
        )


def load_view(
    builder_dir: str | os.PathLike[str],
    view: View,
    options: VisionOptions,
    cache_dir: Path,
    *,
    scheme: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Loads what a view is made from: as it was built, or computed from whole faces.

    Args:
        builder_dir: Result of `datasets.build.build`.
        view: Of the model.
        options: How its clips were prepared; not used for prepared pictures.
        cache_dir: Where computed pictures are kept; created if it is missing.
        scheme: A class scheme of the corpus; None takes the default.
        workers: Threads; None takes the processors at hand.
        say: Called with a line on what is done.

    Raises:
        ConfigError: See `check_source`.
        CorpusError: Nothing is built there, or the disk is full.
    """
    clips = load_clips(builder_dir, scheme=scheme)
    check_source(view, options, clips.kind, clips.corpus_name)
    if clips.kind == view.stored:
        return clips
    return compute_pictures(clips, view, cache_dir, crop=options.crop, workers=workers, say=say)


def compute_pictures(
    clips: Clips,
    view: View,
    cache_dir: Path,
    *,
    crop: str = "onset",
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Clips:
    """Loads the cached pictures that a view is made from, or computes and caches them.

    Args:
        clips: Whole faces; frame 0 is the onset, frame t // 2 the apex where the view needs one. Best without a mask,
            whose edges seem to hold still.
        view: One whose pictures are computed in advance.
        cache_dir: As in `load_view`.
        crop: That the faces were prepared with. Motion features of `eyes` are those of the tight box inside its border.
        workers: As in `load_view`.
        say: As in `load_view`.

    Raises:
        CorpusError: The landmarks of the clips are not known and the view needs them, or the disk is full.

    Source: as `mer_jax.vision.flow.motion_features`.
    Differs: 8 bits with one scale for all clips (`mer_jax.data.motion.FULL_SCALE`), so that large motion stays
    larger than small. The pictures that authors publish are stretched to 0 to 255 one by one.
    """
    is_tight = crop == "eyes" and view.stored == "motion"
    recipe = _TIGHT if is_tight else _RECIPES[view.stored]
    if recipe.needs_landmarks and np.isnan(clips.landmarks).any():
        raise CorpusError(
            f"the view {view.name} is cut around landmarks, and those of {clips.corpus_name} are not known; build it "
            "again with `python -m datasets.build`"
        )
    content = f"{view.stored} {MOTION_VERSION} {view} {clips.num_frames} {clips.fingerprint}"
    if is_tight:
        content = f"eyes {EYES_MOTION_VERSION} {clips.num_frames} {clips.fingerprint}"
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    path = cache_dir / f"{clips.corpus_name}_{key}.{view.stored}"
    pictures = _read(path)
    if pictures is None:
        say(f"optical flow of {len(clips)} clips for the view {view.name}")
        with ThreadPoolExecutor(workers or count_processors()) as pool:  # OpenCV works outside of Python's lock
            computed = pool.map(
                lambda faces, points: recipe.compute(faces, points, view), clips.pictures, clips.landmarks
            )
            pictures = np.stack(list(computed))
        buffer = io.BytesIO()
        np.save(buffer, pictures)
        with unwritable_as_corpus_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, sign(buffer.getvalue()))
    return dataclasses.replace(clips, pictures=pictures, fingerprint=key)


def _compute_motion(faces: _Faces, points: _Points, view: Any) -> UInt8[np.ndarray, "h w 3"]:
    del points, view
    return quantize(motion_features(faces[0], faces[len(faces) // 2]))


def _compute_tight(faces: _Faces, points: _Points, view: Any) -> UInt8[np.ndarray, "h w 3"]:
    del points, view
    return quantize(motion_features(faces[0], faces[len(faces) // 2], EYES_FLOW, border=EYES_BORDER))


def _compute_maps(faces: _Faces, points: _Points, view: FlowMaps) -> UInt8[np.ndarray, "h w 4"]:
    del points
    return quantize(flow_maps(faces[0], faces[len(faces) // 2], view.picture_size))


def _compute_set(faces: _Faces, points: _Points, view: FlowSet) -> UInt8[np.ndarray, "n h w 3"]:
    del points
    later = np.round(np.linspace(0, len(faces) - 1, view.num_flows + 2)).astype(int)[1:-1]
    return quantize(np.stack([motion_features(faces[0], faces[index], size=view.picture_size) for index in later]))


def _compute_patches(faces: _Faces, points: _Points, view: Patches) -> UInt8[np.ndarray, "p n"]:
    points = points[list(PATCH_POINTS[view.patch_points])]
    if view.patch_frames == 1:
        later = np.array([len(faces) // 2])
    else:
        later = np.round(np.linspace(0, len(faces) - 1, view.patch_frames + 1)).astype(int)[1:]
    place = np.clip(np.round(2 * points), 0, 255).astype(np.uint8)
    rows = []
    for index in later:
        if view.patch_values == "flow":
            flow = optical_flow(faces[0], faces[index])
            values, full_scale = np.hypot(flow[..., 0], flow[..., 1]), FULL_SCALE[3]
        else:
            onset = faces[0].astype(np.float32)
            values = 8 * (faces[index].astype(np.float32) - onset) / (onset.std() + 5)
            full_scale = DIFFERENCE_FULL_SCALE
        patches = landmark_patches(values.astype(np.float32), points)
        rows.append(np.concatenate([quantize(patches.reshape(len(points), -1), full_scale), place], axis=1))
    return np.concatenate(rows)


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """How one kind of stored pictures is computed from the faces and landmarks of a clip."""

    compute: Callable[[np.ndarray, np.ndarray, Any], np.ndarray]
    needs_landmarks: bool = False


_TIGHT = _Recipe(_compute_tight)
_RECIPES = {
    "motion": _Recipe(_compute_motion),
    "flow_maps": _Recipe(_compute_maps),
    "flow_set": _Recipe(_compute_set),
    "patches": _Recipe(_compute_patches, needs_landmarks=True),
}


def _read(path: Path) -> UInt8[np.ndarray, "..."] | None:
    content = verify(path)
    return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)
