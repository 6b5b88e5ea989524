"""Stage one of every builder: each clip is prepared once and kept, whatever happens to the process.

Finding a face and registering its frames is the slow part of a build. Its result, one small .npz per clip, is keyed by
what went in: the content of the frames that were looked at, the names of all of them, and the fingerprint of the
options. So a second build, another configuration with the same options, or a run after an interruption takes up what is
there; a frame that changed is prepared anew; and two processes side by side at worst do the same work twice, since each
file appears whole or not at all.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import multiprocessing
import os
import secrets
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from datasets.records import ClipRecord
from mer_jax.errors import ConfigError, CorpusError, DecodeError, MerError, NoFaceError
from mer_jax.vision.frames import FolderFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import PreparedClip, clip_weights, prepare_clip

# Counts up whenever the content of a cache file changes its form.
CACHE_VERSION = 1
PROCESSES = "processes"  # the runner that needs no Beam
_T = TypeVar("_T")
_STALE_AFTER_S = 3600  # a temporary file this old belongs to a process that is gone


@dataclasses.dataclass(frozen=True)
class CachedClip:
    """A clip that is ready, and where.

    Attributes:
        record: the clip.
        path: its cache file; `read_cached` opens it.
    """

    record: ClipRecord
    path: Path


@dataclasses.dataclass(frozen=True)
class CachedCorpus:
    """What stage one leaves behind.

    Attributes:
        clips: those that are ready, in the order of the records.
        skipped: clip id to the reason why it cannot be used.
        num_reused: how many of the clips were in the cache already.
    """

    clips: tuple[CachedClip, ...]
    skipped: dict[str, str]
    num_reused: int


@dataclasses.dataclass(frozen=True)
class _Outcome:
    path: Path
    was_cached: bool = False
    no_face: str | None = None
    unreadable: str | None = None


def default_workers() -> int:
    """Says how many processes may run here: the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_corpus(
    records: Sequence[ClipRecord],
    options: VisionOptions,
    cache_dir: Path,
    *,
    workers: int | None = None,
    skip_unreadable: bool = False,
    runner: str = PROCESSES,
    beam_options: Sequence[str] = (),
) -> CachedCorpus:
    """Prepares every clip that is not in the cache yet, and shows progress on stderr.

    Interrupt it at any time: what is ready stays, and the next call continues there. Memory does not grow with the
    corpus: a process holds one clip at a time.

    Args:
        records: the clips.
        options: what to do with their frames.
        cache_dir: folder of the cache; made if it is not there.
        workers: processes, 1 or more; 1 works in this process, None takes the processors at hand.
        skip_unreadable: whether a frame that cannot be decoded costs only its clip, with the reason in `skipped`;
            by default it is an error, since such data are damaged.
        runner: "processes" on this machine, or the name of one of Apache Beam's runners, such as "FnApiRunner".
        beam_options: further flags for that runner, such as "--flink_master=host:8081".

    Returns:
        the clips that are ready, and those without a face with their reason.

    Raises:
        ConfigError: a runner of Apache Beam is asked for, and Beam is not installed or does not know it.
        CorpusError: a frame that cannot be decoded, a full disk, or a worker process that was killed.
        FaceModelError: the face model is missing, and is needed.
    """
    options.validate()
    workers = default_workers() if workers is None else workers
    with _as_corpus_error(cache_dir):
        for corpus in {record.corpus for record in records}:
            folder = cache_dir / corpus / options.fingerprint()
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)

    if runner != PROCESSES:
        _prepare_on_beam(records, options, cache_dir, workers, runner, beam_options)

    outcomes: dict[int, _Outcome] = {}
    prepare = _prepare_here if workers == 1 or len(records) < 2 else _prepare_in_processes
    with contextlib.closing(prepare(records, options, cache_dir, min(workers, len(records)))) as results:
        for position, outcome in _with_progress(results, len(records)):
            if outcome.unreadable and not skip_unreadable:
                raise CorpusError(
                    f"clip {records[position].clip_id}: {outcome.unreadable} "
                    "To leave such clips out, and have them named in the report, build with --skip-unreadable."
                )
            outcomes[position] = outcome

    clips, skipped = [], {}
    for position, record in enumerate(records):
        outcome = outcomes[position]
        if reason := outcome.no_face or outcome.unreadable:
            skipped[record.clip_id] = reason
        else:
            clips.append(CachedClip(record, outcome.path))
    return CachedCorpus(tuple(clips), skipped, sum(outcome.was_cached for outcome in outcomes.values()))


def read_cached(clip: CachedClip) -> PreparedClip:
    """Opens a clip that stage one left ready.

    Raises:
        CorpusError: the file vanished or was damaged since.
    """
    prepared = _read(clip.path)
    if prepared is None:
        raise CorpusError(f"cache file {clip.path} vanished or was damaged meanwhile. Run the build again.")
    return prepared


class ClipPreparer:
    """Prepares one clip after another; creates its landmarker at the first clip that needs one.

    Args:
        options: what to do with the frames.
        cache_dir: folder of the cache; there has to be one for the corpus and the options in it.
    """

    def __init__(self, options: VisionOptions, cache_dir: Path):
        self._options = options
        self._cache_dir = cache_dir
        self._landmarker: FaceLandmarker | None = None

    def __call__(self, record: ClipRecord) -> _Outcome:
        """Prepares a clip, unless that is done; says how it went."""
        folder = self._cache_dir / record.corpus / self._options.fingerprint()
        try:
            path = folder / f"{_key(record, self._options)}.npz"
            if _read(path) is not None:
                return _Outcome(path, was_cached=True)
            if self._landmarker is None:
                self._landmarker = FaceLandmarker()
            prepared = prepare_clip(FolderFrames(record.frames), self._options, self._landmarker, apex=record.apex)
        except NoFaceError as error:
            return _Outcome(folder, no_face=str(error))
        except DecodeError as error:
            return _Outcome(folder, unreadable=str(error))
        _write(path, prepared)
        return _Outcome(path)

    def close(self) -> None:
        """Gives the landmarker back."""
        if self._landmarker is not None:
            self._landmarker.close()


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


def _write(path: Path, prepared: PreparedClip) -> None:
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
    quality = sorted(prepared.quality.items())
    try:
        with _as_corpus_error(path):
            with temporary.open("wb") as file:
                np.savez(
                    file,
                    faces=prepared.faces,
                    landmarks=prepared.landmarks,
                    frame_indices=prepared.frame_indices,
                    quality_names=np.array([name for name, _ in quality]),
                    quality_values=np.array([value for _, value in quality], np.float64),
                )
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read(path: Path) -> PreparedClip | None:
    """Opens a cache file; None if it is not there or not whole, so that the clip is prepared again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names, values = arrays["quality_names"].tolist(), arrays["quality_values"].tolist()
            return PreparedClip(
                faces=arrays["faces"],
                landmarks=arrays["landmarks"],
                frame_indices=arrays["frame_indices"],
                quality=dict(zip(names, values, strict=True)),
            )
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


@contextlib.contextmanager
def _as_corpus_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"cannot write {path}: {error.strerror}. Make room there, or name another folder with --cache_dir; "
            "clips that are ready stay ready."
        ) from error


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - path.stat().st_mtime > _STALE_AFTER_S:
                path.unlink()


# ---- where the work is done


def _prepare_here(
    records: Sequence[ClipRecord], options: VisionOptions, cache_dir: Path, workers: int
) -> Iterator[tuple[int, _Outcome]]:
    del workers
    with contextlib.closing(ClipPreparer(options, cache_dir)) as prepare:
        for position, record in enumerate(records):
            yield position, prepare(record)


def _prepare_on_beam(
    records: Sequence[ClipRecord],
    options: VisionOptions,
    cache_dir: Path,
    workers: int,
    runner: str,
    beam_options: Sequence[str],
) -> None:
    """Fills the cache on Beam; whatever it left out is done, or said, by the collection that follows."""
    try:
        from datasets.beam_cache import fill_cache
    except ImportError as error:
        raise ConfigError(
            f"runner {runner!r} is one of Apache Beam's, which is not installed ({error}); install "
            f"`apache-beam`, or build with --runner={PROCESSES}."
        ) from error
    flags = [f"--runner={runner}", *beam_options]
    if runner == "FnApiRunner" and workers > 1 and not beam_options:
        flags += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    try:
        fill_cache(records, options, cache_dir.absolute(), flags)
    except (ValueError, AttributeError) as error:  # how Beam says that it knows no such runner or flag
        raise ConfigError(f"Apache Beam does not take {' '.join(flags)}: {error}") from error


def _prepare_in_processes(
    records: Sequence[ClipRecord], options: VisionOptions, cache_dir: Path, workers: int
) -> Iterator[tuple[int, _Outcome]]:
    # Not concurrent.futures: its workers outlive a parent that is killed, and in Python 3.11.2 it can hang for ever
    # when they are ended. Here each worker has a pipe of its own, and ends when the other side of it is closed.
    context = multiprocessing.get_context("spawn")  # a process with a live landmarker does not survive a fork
    processes, at_work = {}, {}
    waiting = iter(enumerate(records))

    def give_work(connection: Connection) -> None:
        for position, record in itertools.islice(waiting, 1):
            connection.send(record)
            at_work[connection] = position

    try:
        with _bare_children():
            for _ in range(workers):
                connection, their_end = context.Pipe()
                process = context.Process(target=_serve, args=(their_end, options, cache_dir), daemon=True)
                process.start()
                their_end.close()
                processes[connection] = process
        for connection in processes:
            give_work(connection)
        while at_work:
            for connection in wait(list(at_work)):
                result = connection.recv()
                if isinstance(result, Exception):
                    raise result
                position = at_work.pop(connection)
                give_work(connection)
                yield position, result
    except (EOFError, ConnectionError) as error:
        raise CorpusError(
            "a worker process ended by itself; most likely the system killed it for want of memory. "
            "Clips that are ready stay ready: run the build again, with fewer --workers."
        ) from error
    finally:
        for connection, process in processes.items():
            connection.close()
            process.terminate()
        for process in processes.values():
            process.join()


def _serve(connection: Connection, options: VisionOptions, cache_dir: Path) -> None:
    """Prepares the clips that come through a pipe until it is closed."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    with (
        contextlib.closing(ClipPreparer(options, cache_dir)) as prepare,
        contextlib.suppress(EOFError, ConnectionError),
    ):
        while True:
            record = connection.recv()
            try:
                result = prepare(record)
            except MerError as error:
                result = error
            except Exception:
                result = RuntimeError(f"in a worker process, on clip {record.clip_id}:\n{traceback.format_exc()}")
            connection.send(result)


@contextlib.contextmanager
def _bare_children() -> Iterator[None]:
    """Lets processes that are started inside inherit neither the interrupt nor the main module.

    Ctrl-C reaches every process of a terminal; the workers keep the signal blocked, so that this process alone hears it
    and ends them. And a spawned process imports the main module again, which may be a script without a guard, or one
    that imports JAX for seconds; the workers need nothing of it.
    """
    main_module = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _with_progress(results: Iterable[_T], total: int) -> Iterator[_T]:
    """Passes results on and counts them on stderr: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, desc="preparing", unit="clip", file=sys.stderr)
        return
    said = started = time.monotonic()
    for count, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - said >= 10:
            said = time.monotonic()
            print(f"preparing: {count} of {total} clips, {said - started:.0f} s", file=sys.stderr, flush=True)
