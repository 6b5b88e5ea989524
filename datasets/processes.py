"""Prepares clips in worker processes of this machine."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType

from datasets.cached import ClipPreparer, Outcome
from datasets.records import ClipRecord
from mer_jax.errors import CorpusError, MerError
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VisionOptions


def default_workers() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_here(
    records: Sequence[ClipRecord], options: VisionOptions, cache_dir: Path
) -> Iterator[tuple[int, Outcome]]:
    """Prepares clips in this process; yields the position of each and its outcome."""
    with contextlib.closing(ClipPreparer(options, cache_dir)) as prepare:
        for position, record in enumerate(records):
            yield position, prepare(record)


def prepare_in_processes(
    records: Sequence[ClipRecord], options: VisionOptions, cache_dir: Path, workers: int
) -> Iterator[tuple[int, Outcome]]:
    """Prepares clips in worker processes; yields the position of each and its outcome as they are ready.

    Raises:
        CorpusError: A worker was killed.
    """
    # Not concurrent.futures: its workers outlive a parent that is killed, and in Python 3.11.2 it can hang forever when
    # they are ended. Here each worker has a pipe of its own, and ends when the other side of it is closed.
    context = multiprocessing.get_context("spawn")  # a process with a live landmarker does not survive a fork
    processes, at_work = {}, {}
    waiting = iter(enumerate(records))

    def give_work(connection: Connection) -> None:
        for position, record in itertools.islice(waiting, 1):
            connection.send(record)
            at_work[connection] = position

    try:
        with bare_children():
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
            "a worker process ended by itself; most likely the system killed it for lack of memory. "
            "Clips that are prepared stay prepared: run the build again, with fewer --workers."
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
def bare_children() -> Iterator[None]:
    """Lets processes that are started inside inherit neither the interrupt nor the main module.

    Ctrl-C reaches every process of a terminal; workers keep the signal blocked, so that this process alone handles it
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
