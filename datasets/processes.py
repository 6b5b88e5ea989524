"""Runs tasks in worker processes of this machine; preparing clips and rendering surrogates share it."""

import contextlib
import itertools
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from mer_jax.errors import CorpusError, MerError
from mer_jax.system.futures import SIGNAL_S
from mer_jax.system.machine import use_blas_threads
from mer_jax.vision.libraries import cv2

_DONE = None  # sent after the last result of an item; results themselves are tuples of one


def run_tasks(
    factory: Callable[..., Any], arguments: tuple, items: Sequence[Any], workers: int
) -> Iterator[tuple[int, Any]]:
    """Runs a task over items; yields the position of an item and each of its results, as they are ready.

    Args:
        factory: Makes the task, once in each worker; importable by name. A task is called with an item, yields its
            results, one or more, and has a method `close`.
        arguments: Of the factory.
        items: Given to the task one by one.
        workers: Processes; 1 runs in this process.

    Raises:
        CorpusError: A worker was killed.
        MerError: As the task raised it.
    """
    workers = min(workers, len(items))
    if workers < 2:
        with contextlib.closing(factory(*arguments)) as task:
            for position, item in enumerate(items):
                for result in task(item):
                    yield position, result
        return
    # Not concurrent.futures: its workers outlive a parent that is killed, and in Python 3.11.2 it can hang forever when
    # they are ended. Here each worker has a pipe of its own, and ends when the other side of it is closed.
    context = multiprocessing.get_context("spawn")  # landmarkers and OpenCV's threads do not survive a fork
    processes, at_work = {}, {}
    waiting = iter(enumerate(items))

    def give_work(connection: Connection) -> None:
        for position, item in itertools.islice(waiting, 1):
            connection.send(item)
            at_work[connection] = position

    try:
        with _bare_children():
            for _ in range(workers):
                connection, their_end = context.Pipe()
                process = context.Process(target=_serve, args=(their_end, factory, arguments), daemon=True)
                process.start()
                their_end.close()
                processes[connection] = process
        for connection in processes:
            give_work(connection)
        while at_work:
            for connection in wait(list(at_work), SIGNAL_S):
                message = connection.recv()
                if isinstance(message, Exception):
                    raise message
                if message is _DONE:
                    del at_work[connection]
                    give_work(connection)
                else:
                    yield at_work[connection], message[0]
    except (EOFError, ConnectionError) as error:
        raise CorpusError(
            "a worker process ended by itself; most likely the system killed it for lack of memory. "
            "What is finished stays: run the same command again, with fewer --workers."
        ) from error
    finally:
        for connection, process in processes.items():
            connection.close()
            process.terminate()
        for process in processes.values():
            process.join()


def _serve(connection: Connection, factory: Callable[..., Any], arguments: tuple) -> None:
    """Works on the items that come through a pipe until it is closed."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    use_blas_threads(1)
    with contextlib.closing(factory(*arguments)) as task, contextlib.suppress(EOFError, ConnectionError):
        while True:
            item = connection.recv()
            try:
                for result in task(item):
                    connection.send((result,))
            except ConnectionError:
                raise
            except MerError as error:
                connection.send(error)
            except Exception:
                connection.send(RuntimeError(f"in a worker process:\n{traceback.format_exc()}"))
            connection.send(_DONE)


@contextlib.contextmanager
def _bare_children() -> Iterator[None]:
    """Lets processes that are started inside inherit neither the interrupt nor the main module.

    Ctrl-C reaches every process of a terminal; workers keep the signal blocked, so that this process alone handles it
    and ends them. And a spawned process imports the main module again, which may be a script without a guard, or one
    that imports JAX for seconds; the workers need nothing of it.
    """
    resource_tracker.ensure_running()  # it unblocks the interrupt where it starts, which the first child would inherit
    main_module = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
