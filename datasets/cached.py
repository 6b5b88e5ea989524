"""One prepared clip on disk: a small .npz whose name depends on everything that went in.

The key covers the content of the frames that were looked at, the names of all frames, and the vision options. So a
frame that changed is prepared again, and a file appears complete or not at all.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.records import ClipRecord, Reason, Unusable
from mer_jax.errors import CorpusError, DecodeError, NoFaceError
from mer_jax.system.files import write_atomically
from mer_jax.vision.frames import FolderFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import PreparedClip, clip_weights, prepare_clip
from mer_jax.vision.verdict import Finding, judge_preparation

CACHE_VERSION = 2  # raise it whenever the content of a cache file changes its form


@dataclasses.dataclass(frozen=True)
class CachedClip:
    """A prepared clip.

    Attributes:
        record: The clip.
        path: Its cache file; `read_cached` opens it.
    """

    record: ClipRecord
    path: Path


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of preparing one clip.

    Attributes:
        path: Its cache file; None if it could not be prepared.
        was_cached: Whether the file was there before.
        unusable: Why it could not be prepared.
        findings: What is wrong with the prepared clip, see `mer_jax.vision.verdict`.
    """

    path: Path | None = None
    was_cached: bool = False
    unusable: Unusable | None = None
    findings: tuple[Finding, ...] = ()


class ClipPreparer:
    """Prepares one clip after another; starts its landmarker at the first clip that needs one.

    Args:
        options: How frames become clips.
        cache_dir: Folder of the cache; `cache_folder` of corpus and options must exist in it.
    """

    def __init__(self, options: VisionOptions, cache_dir: Path):
        self._options = options
        self._cache_dir = cache_dir
        self._landmarker: FaceLandmarker | None = None

    def __call__(self, record: ClipRecord) -> Iterator[Outcome]:
        """Yields the outcome of `prepare`, for `datasets.processes.run_tasks`."""
        yield self.prepare(record)

    def prepare(self, record: ClipRecord) -> Outcome:
        """Prepares a clip unless that is done already."""
        try:
            folder = cache_folder(self._cache_dir, record.corpus, self._options)
            path = folder / f"{_key(record, self._options)}.npz"
            if (cached := _read(path)) is not None:
                return Outcome(path, was_cached=True, findings=tuple(judge_preparation(cached)))
            if self._landmarker is None:
                self._landmarker = FaceLandmarker()
            prepared = prepare_clip(FolderFrames(record.frames), self._options, self._landmarker, apex=record.apex)
        except NoFaceError as error:
            return Outcome(unusable=Unusable(Reason.NO_FACE, str(error), record))
        except DecodeError as error:
            return Outcome(unusable=Unusable(Reason.UNREADABLE, str(error), record))
        with unwritable_as_corpus_error(path):
            write_atomically(path, _encode(prepared))
        return Outcome(path, findings=tuple(judge_preparation(prepared)))

    def close(self) -> None:
        """Releases the landmarker."""
        if self._landmarker is not None:
            self._landmarker.close()


def cache_folder(cache_dir: Path, corpus: str, options: VisionOptions) -> Path:
    """Returns the folder of the clips of one corpus and one choice of options."""
    return cache_dir / corpus / options.fingerprint()


def read_cached(clip: CachedClip) -> PreparedClip:
    """Reads a prepared clip.

    Raises:
        CorpusError: The file vanished or was damaged since.
    """
    prepared = _read(clip.path)
    if prepared is None:
        raise CorpusError(f"cache file {clip.path} vanished or was damaged meanwhile. Run the build again.")
    return prepared


@contextlib.contextmanager
def unwritable_as_corpus_error(path: Path) -> Iterator[None]:
    """Turns an OSError inside into a CorpusError that names the cache."""
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"cannot write {path}: {error.strerror or error}. Make room there, or name another --cache_dir or "
            "--data_dir; clips that are prepared stay prepared."
        ) from error


def _key(record: ClipRecord, options: VisionOptions) -> str:
    digest = hashlib.sha256(f"{CACHE_VERSION} {options.fingerprint()}\n".encode())
    for path in record.frames:
        digest.update(os.fsencode(path.name) + b"\n")
    weights = clip_weights(len(record.frames), options, record.apex)
    if options.sampling == "apex":
        digest.update(f"apex {record.apex}\n".encode())
    # Exactly the frames that prepare_clip decodes; to spot an apex it takes all of them.
    for index in range(len(record.frames)) if weights is None else np.flatnonzero(weights.any(axis=0)):
        try:
            digest.update(hashlib.sha256(record.frames[index].read_bytes()).digest())
        except OSError as error:
            raise DecodeError(f"{record.frames[index]} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:40]


def _encode(prepared: PreparedClip) -> bytes:
    quality = sorted(prepared.quality.items())
    file = io.BytesIO()
    np.savez(
        file,
        faces=prepared.faces,
        landmarks=prepared.landmarks,
        frame_indices=prepared.frame_indices,
        quality_names=np.array([name for name, _ in quality]),
        quality_values=np.array([value for _, value in quality], np.float64),
    )
    return sign(file.getvalue())


def sign(content: bytes) -> bytes:
    """Puts a checksum in front of the content of a cache file; `verify` reads it."""
    return hashlib.sha256(content).digest() + content


def verify(path: Path) -> bytes | None:
    """Reads a signed cache file; None if it is missing or damaged.

    A damaged file is set aside beside its name, so that it is computed again and can be looked at.
    """
    try:
        signed = path.read_bytes()
    except OSError:
        return None
    content = signed[hashlib.sha256().digest_size :]
    if signed == sign(content):
        return content
    print(f"cache file {path} is damaged; it is set aside and computed again", file=sys.stderr)
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))
    return None


def _read(path: Path) -> PreparedClip | None:
    """Reads a cache file; None if it is not there or damaged, so that the clip is prepared again."""
    content = verify(path)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names, values = arrays["quality_names"].tolist(), arrays["quality_values"].tolist()
        return PreparedClip(
            faces=arrays["faces"],
            landmarks=arrays["landmarks"],
            frame_indices=arrays["frame_indices"],
            quality=dict(zip(names, values, strict=True)),
        )
