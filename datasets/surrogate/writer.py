"""A corpus plan onto the disk: over several processes, atomic, and resumable by subject.

Everything is written into a hidden folder beside the final one. The folders of a subject, one in
each tree of the release, appear there only when its last frame is written; a subject counts as done
when the last of its folders is there. The whole gets its name when the last subject is done; so
whatever stands under the final name is whole.
"""

import collections
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.folders import locked
from datasets.processes import run_tasks
from datasets.surrogate.avi import AviWriter
from datasets.surrogate.camera import Camera, encode_frame
from datasets.surrogate.long_video import VIDEO_QUALITY
from datasets.surrogate.plan import MARKER_NAME, ClipPlan, CorpusPlan, SubjectPlan
from datasets.surrogate.renderer import FaceRenderer
from datasets.surrogate.studio import (
    CorpusGeometry,
    RenderedFrame,
    cut_face,
    make_renderer,
    place_face,
    render_clip,
    state_at,
)
from mer_jax.errors import CorpusError
from mer_jax.vision.libraries import cv2

JPEG_BYTES_PER_PIXEL = 0.27  # measured at quality 95 with camera noise on faces cut out, rounded up

_NOTE = """These are rendered faces, not {title}.

Every person, picture and movement in this folder was made by a program (python -m datasets.surrogate).
Only the folder layout and the counts are those of {title}. Results on these clips say whether software
works; they say nothing about people, and must not be reported as results on {title}.

What was rendered, and the truth of every clip, stands in {marker}.
"""


def write_corpus(plan: CorpusPlan, out: Path, *, workers: int, log: Callable[[str], None] = print) -> Path:
    """Renders a plan, unless that is already done.

    Args:
        plan: what to render.
        out: folder in which the corpus root is made.
        workers: processes; 1 renders in this one.
        log: takes the few lines that say what happens.

    Returns:
        The root folder of the corpus.

    Raises:
        CorpusError: if the folder holds something else, or cannot be written.
    """
    root = out / plan.root_name
    partial = out / f".{plan.root_name}.rendering"
    with _readable_errors(out), locked(out, "rendering into", log):
        if root.exists():
            _check_finished(root, plan)
            log(f"surrogate {plan.title}: already rendered in {root}")
            return root
        pending = _prepare(partial, plan, log)
        if pending:
            _check_space(partial, plan, pending)
            _render(plan, pending, partial, workers)
        shutil.rmtree(_staging(partial), ignore_errors=True)
        for path, content in plan.documents.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_bytes(content)
        _check_files(partial, plan)
        (partial / "SURROGATE.txt").write_text(_NOTE.format(title=plan.title, marker=MARKER_NAME))
        partial.rename(root)
    log(f"surrogate {plan.title}: {plan.num_frames} frames rendered into {root}")
    return root


@contextlib.contextmanager
def _readable_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(error, out) from error


def _unwritable(error: OSError, out: Path) -> CorpusError:
    return CorpusError(
        f"cannot write the surrogate corpus: {error.filename or out}: {error.strerror}. "
        f"Make room or choose another folder with --out; the same command then continues."
    )


def _read_marker(folder: Path) -> dict | None:
    try:
        marker = json.loads((folder / MARKER_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return marker if isinstance(marker, dict) else None


def _is_same(marker: dict | None, plan: CorpusPlan) -> bool:
    return marker is not None and {**marker, "clips": None} == {**plan.identity(), "clips": None}


def _check_finished(root: Path, plan: CorpusPlan) -> None:
    marker = _read_marker(root)
    if marker is None:
        raise CorpusError(
            f"{root} exists and is no surrogate corpus (it has no readable {MARKER_NAME}). "
            f"Nothing was touched; choose another folder with --out."
        )
    if not _is_same(marker, plan):
        found, wanted = ({**each, "quirks": bool(each.get("quirks"))} for each in (marker, plan.identity()))
        keys = sorted((found.keys() | wanted.keys()) - {"difficulty_values", "clips"})
        differing = [key for key in keys if found.get(key) != wanted.get(key)]
        told = ", ".join(f"{key} {found.get(key)!r} instead of {wanted.get(key)!r}" for key in differing)
        raise CorpusError(
            f"{root} holds a surrogate corpus with other options ({told or 'changed difficulty presets'}). "
            f"Delete that folder, or choose another one with --out."
        )
    _check_files(root, plan)


def _check_files(root: Path, plan: CorpusPlan) -> None:
    """Compares the files that are there, and that they are not empty, with the plan."""
    expected = collections.defaultdict(dict)  # an ordered set of names by folder
    for place, name in plan.files():
        expected[place][name] = None
    clip_folders = {place.folder for subject in plan.subjects for clip in subject.clips for place in clip.folders}
    for place, names in expected.items():
        folder, found = root / place, set()
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found = {entry.name for entry in entries if entry.is_file() and entry.stat().st_size > 0}
        if place in clip_folders and found != set(names):
            raise CorpusError(
                f"{folder} holds {len(found)} frames that are not empty; expected the {len(names)} "
                f"from {next(iter(names))} on. Delete {root} and render it again."
            )
        if missing := [name for name in names if name not in found]:
            raise CorpusError(f"{folder / missing[0]} is missing or empty. Delete {root} and render it again.")


def _prepare(partial: Path, plan: CorpusPlan, log: Callable[[str], None]) -> list[SubjectPlan]:
    """Clears what cannot be continued and returns the subjects that are still to be rendered."""
    if partial.exists() and not _is_same(_read_marker(partial), plan):
        log(f"surrogate {plan.title}: discarding an unfinished corpus of other options in {partial}")
        shutil.rmtree(partial)
    partial.mkdir(exist_ok=True)
    marker = partial / MARKER_NAME
    if not marker.exists():
        draft = marker.with_suffix(".tmp")
        draft.write_text(json.dumps(plan.marker(), indent=1))
        draft.rename(marker)
    shutil.rmtree(_staging(partial), ignore_errors=True)
    _staging(partial).mkdir()
    pending = [subject for subject in plan.subjects if not (partial / subject.folders[-1]).exists()]
    done = len(plan.subjects) - len(pending)
    continuing = f", continuing after {done} finished subjects" if done else ""
    log(
        f"surrogate {plan.title}: rendering {plan.options.num_clips} clips of {len(plan.subjects)} subjects, "
        f"difficulty {plan.options.difficulty}, seed {plan.options.seed}{continuing}"
    )
    return sorted(pending, key=lambda subject: -subject.num_frames)  # so that no long one is left at the end


def _staging(partial: Path) -> Path:
    return partial / ".staging"


def _check_space(partial: Path, plan: CorpusPlan, pending: list[SubjectPlan]) -> None:
    clips = (clip for subject in pending for clip in subject.clips)
    shapes = ((clip, place.face_shape or plan.geometry.shape) for clip in clips for place in clip.folders)
    pixels = sum(clip.spec.num_frames * height * width for clip, (height, width) in shapes)
    whole = plan.geometry.height * plan.geometry.width
    pixels += sum(clip.spec.num_frames * whole for subject in pending for clip in subject.clips if clip.video)
    needed = pixels * (3 if plan.options.exact else JPEG_BYTES_PER_PIXEL)
    free = shutil.disk_usage(partial).free
    if free < needed:
        raise CorpusError(
            f"not enough room in {partial.parent}: the frames still to be rendered need about {needed / 1e9:.2f} GB, "
            f"and {free / 1e9:.2f} GB are free. Make room, choose another folder with --out, or render fewer --clips."
        )


def _render(plan: CorpusPlan, pending: list[SubjectPlan], partial: Path, workers: int) -> None:
    total = sum(len(subject.clips) for subject in pending)
    quality = None if plan.options.exact else plan.geometry.jpeg_quality
    variation = plan.options.difficulty_preset.anatomy_variation
    settings = (plan.geometry, variation, quality, partial, plan.options.version)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with (
            tqdm(total=total, unit="clip", disable=not sys.stderr.isatty()) as bar,
            contextlib.closing(run_tasks(_SubjectRenderer, settings, pending, workers)) as finished,
        ):
            for _ in finished:
                bar.update()
    finally:
        cv2.setNumThreads(threads)
        shutil.rmtree(_staging(partial), ignore_errors=True)  # what an ended worker left takes room


class _SubjectRenderer:
    """Renders all clips of a subject; yields after each. See `datasets.processes.run_tasks`."""

    def __init__(
        self,
        geometry: CorpusGeometry,
        anatomy_variation: float,
        jpeg_quality: int | None,
        partial: Path,
        version: int = 1,
    ):
        self._geometry, self._variation, self._version = geometry, anatomy_variation, version
        self._quality, self._partial = jpeg_quality, partial

    def __call__(self, subject: SubjectPlan) -> Iterator[None]:
        staging = _staging(self._partial) / f"{subject.name}-{os.getpid()}"  # the corpus root as this subject sees it
        renderer = make_renderer(subject.subject, self._geometry, self._variation, version=self._version)
        camera = Camera(self._geometry.shape, self._geometry.noise)
        try:
            for clip in subject.clips:
                self._render_clip(clip, renderer, camera, staging)
                yield
            for path, source in subject.copies.items():
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(staging / source, staging / path)
            for place in subject.folders:
                final = self._partial / place
                if final.exists():  # from a run that was killed between two of these
                    shutil.rmtree(final)
                final.parent.mkdir(parents=True, exist_ok=True)
                (staging / place).rename(final)
            shutil.rmtree(staging)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)  # gives back the room that the next attempt needs
            raise _unwritable(error, self._partial.parent) from error

    def _render_clip(self, clip: ClipPlan, renderer: FaceRenderer, camera: Camera, staging: Path) -> None:
        for place in clip.folders:
            (staging / place.folder).mkdir(parents=True)
        onset = state_at(clip.spec, 0)
        shapes = {place.face_shape for place in clip.folders if place.face_shape}
        transforms = {shape: place_face(renderer, onset, shape) for shape in shapes}
        with self._open_video(clip, staging) as video:
            for frame in render_clip(renderer, camera, clip.spec):
                if video is not None:
                    video.write(frame.image)
                self._write_frame(clip, frame, transforms, staging)

    def _open_video(self, clip: ClipPlan, staging: Path) -> contextlib.AbstractContextManager[AviWriter | None]:
        if not clip.video:
            return contextlib.nullcontext()
        path = staging / clip.video
        path.parent.mkdir(parents=True, exist_ok=True)
        return AviWriter(path, self._geometry.shape, self._geometry.fps, VIDEO_QUALITY)

    def _write_frame(
        self, clip: ClipPlan, frame: RenderedFrame, transforms: Mapping[tuple[int, int], np.ndarray], staging: Path
    ) -> None:
        for place in clip.folders:
            if (name := place.file_names[frame.index]) is None:
                continue
            image = frame.image
            if place.face_shape is not None:
                image = cut_face(image, transforms[place.face_shape], place.face_shape)
            content = encode_frame(image, self._quality, is_gray=self._geometry.is_gray)
            (staging / place.folder / name).write_bytes(content)

    def close(self) -> None:
        """Nothing is held between subjects."""


def _link_or_copy(source: Path, path: Path) -> None:
    """A second name for a file costs no room; where the file system knows no such thing, it is copied."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
