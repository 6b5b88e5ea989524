"""Stage one of every build: prepares each clip once and caches it, so that an interrupted build can continue.

Finding a face and registering its frames is the slow part of a build; `datasets.cached` keeps its result. A second
build, another scheme or corpus with the same clips, or a run after an interruption continues with what is there.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from datasets.cached import CachedClip, ClipPreparer, Outcome, cache_folder, unwritable_as_corpus_error
from datasets.processes import run_tasks
from datasets.records import ClipRecord, Reason, Unusable
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.system.machine import count_processors
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.verdict import Verdict, judge

PROCESSES = "processes"  # the runner that needs no Beam
_T = TypeVar("_T")
_STALE_AFTER_S = 3600  # a temporary file this old belongs to a process that is gone


@dataclasses.dataclass(frozen=True)
class CachedCorpus:
    """The result of stage one.

    Attributes:
        clips: Those that are prepared, in the order of the records.
        skipped: Those that cannot be used, by clip id.
        num_reused: How many of the clips were in the cache already.
        doubtful: What is doubtful about clips that are used, by clip id.
        kept: Whether clips whose preparation failed are among `clips`.
    """

    clips: tuple[CachedClip, ...]
    skipped: dict[str, Unusable]
    num_reused: int
    doubtful: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: bool = False


def prepare_corpus(
    records: Sequence[ClipRecord],
    options: VisionOptions,
    cache_dir: Path,
    *,
    workers: int | None = None,
    skip_unreadable: bool = False,
    keep: bool = False,
    runner: str = PROCESSES,
    beam_options: Sequence[str] = (),
) -> CachedCorpus:
    """Prepares every clip that is not in the cache yet, and shows progress on stderr.

    It can be interrupted at any time: the next call continues. Memory does not grow with the corpus, since a process
    holds one clip at a time.

    Args:
        records: The clips.
        options: How frames become clips.
        cache_dir: Folder of the cache; created if it is missing.
        workers: As in `datasets.build.build`; so are the following.
        skip_unreadable: Whether a frame that cannot be decoded costs only its clip.
        keep: Whether a clip is used although `mer_jax.vision.verdict` fails its preparation.
        runner: "processes", or the name of one of Apache Beam's runners.
        beam_options: Further flags for that runner.

    Returns:
        The prepared clips, and those that cannot be used with the reason.

    Raises:
        ConfigError: A runner of Apache Beam, and Beam is not installed or does not know it.
        CorpusError: A frame that cannot be decoded, a full disk, or a worker process that was killed.
        FaceModelError: The face model is needed and missing.
    """
    options.validate()
    workers = count_processors() if workers is None else workers
    with unwritable_as_corpus_error(cache_dir):
        for corpus in {record.corpus for record in records}:
            folder = cache_folder(cache_dir, corpus, options)
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)

    if runner != PROCESSES:
        _prepare_on_beam(records, options, cache_dir, workers, runner, beam_options)

    outcomes: dict[int, Outcome] = {}
    with contextlib.closing(run_tasks(ClipPreparer, (options, cache_dir), records, workers)) as results:
        for position, outcome in _with_progress(results, len(records)):
            failed = outcome.unusable
            if failed and failed.reason is Reason.UNREADABLE and not skip_unreadable:
                raise CorpusError(
                    f"clip {records[position].clip_id}: {failed.detail} "
                    "To leave such clips out, and have them named in the report, build with --skip-unreadable."
                )
            outcomes[position] = outcome

    clips, skipped, doubtful = [], {}, {}
    for position, record in enumerate(records):
        outcome = outcomes[position]
        told = "; ".join(str(finding) for finding in outcome.findings if finding.level != "note")
        if outcome.unusable:
            skipped[record.clip_id] = outcome.unusable
        elif judge(outcome.findings) is Verdict.FAIL and not keep:
            skipped[record.clip_id] = Unusable(Reason.UNFIT, told, record)
        elif outcome.path:
            clips.append(CachedClip(record, outcome.path))
            if told:
                doubtful[record.clip_id] = told
    reused = sum(outcome.was_cached for outcome in outcomes.values())
    return CachedCorpus(tuple(clips), skipped, reused, doubtful, kept=keep)


def _prepare_on_beam(
    records: Sequence[ClipRecord],
    options: VisionOptions,
    cache_dir: Path,
    workers: int,
    runner: str,
    beam_options: Sequence[str],
) -> None:
    """Fills the cache on Beam; the collection that follows does or reports what it left out."""
    try:
        from datasets.beam import fill_cache
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


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(".*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if time.time() - path.stat().st_mtime > _STALE_AFTER_S:
                path.unlink()


def _with_progress(results: Iterable[_T], total: int) -> Iterator[_T]:
    """Passes results on and counts them on stderr: a bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, desc="preparing", unit="clip", file=sys.stderr)
        return
    last = started = time.monotonic()
    for count, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            print(f"preparing: {count} of {total} clips, {last - started:.0f} s", file=sys.stderr, flush=True)
