"""Runs in processes of their own: finished ones are skipped, interrupted ones continue, failures are collected."""

import contextlib
import hashlib
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from experiments.run_folder import FINISHED, locked
from mer_jax.errors import ConfigError
from mer_jax.system.files import write_atomically
from mer_jax.system.futures import wait_for_first_error

POLL_S = 5.0  # between two looks at a run that another process executes
FAILURE = "failure.txt"
LOG = "log.txt"
# Of the log, as the reason of a run that was killed.
LAST_LINES = 5


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: As it is printed.
        folder: Its run folder.
        command: Command line; started again, it continues.
    """

    name: str
    folder: Path
    command: Sequence[str]


class Runner:
    """Executes runs, several at a time, and collects their failures.

    Args:
        runs: All of them; finished ones are skipped.
        jobs: How many at the same time.
    """

    def __init__(self, runs: Sequence[Job], jobs: int):
        self._runs, self._jobs = runs, jobs
        self._children: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._done = 0
        self.seconds = 0.0  # of the runs themselves, summed

    def execute(self) -> None:
        """Executes all runs that are not finished, and waits for them."""
        left = [run for run in self._runs if not self._is_finished(run)]
        if self._runs and len(left) < len(self._runs):
            print(f"{len(self._runs) - len(left)} of {len(self._runs)} runs are finished", flush=True)
        self._total = len(left)
        try:
            with ThreadPoolExecutor(self._jobs) as pool:
                try:
                    for error in wait_for_first_error([pool.submit(self._execute, run) for run in left]):
                        raise error
                except BaseException:
                    self._stop()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            self._stop()

    def failures(self) -> dict[str, str]:
        """Returns the reason of every failed run of this call, by name."""
        paths = {run.name: run.folder / FAILURE for run in self._runs}
        return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}

    def _is_finished(self, run: Job) -> bool:
        return (run.folder / FINISHED).exists()

    def _execute(self, run: Job) -> None:
        folder = run.folder
        self._wait_for_others(folder, run.name)
        if self._stopping or self._is_finished(run):
            return
        failure = folder / FAILURE
        failure.unlink(missing_ok=True)
        start = time.perf_counter()
        with (folder / LOG).open("ab") as log:
            with self._lock:
                if self._stopping:
                    return
                child = subprocess.Popen(
                    run.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches this process only, which passes it on once
                )
                self._children.add(child)
            code = child.wait()
        with self._lock:
            self._children.discard(child)
            seconds = time.perf_counter() - start
            self.seconds += seconds
            self._done += 1
            if not self._stopping:
                if code:
                    write_atomically(failure, f"{_find_reason(folder / LOG, code)}\n")
                word = "FAILED" if code else "done"
                print(f"[{self._done}/{self._total}] {run.name}: {word} after {seconds / 60:.1f} minutes", flush=True)

    def _wait_for_others(self, folder: Path, name: str) -> None:
        """Waits until no other process executes the run: of another part, or the child of a killed call."""
        told = False
        while not self._stopping:
            try:
                with locked(folder):
                    return
            except ConfigError:
                if not told:
                    print(f"{name}: another process is in it; waiting for that one", flush=True)
                told = True
                time.sleep(POLL_S)

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            children = list(self._children)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGINT)  # the run saves what it has
        for child in children:
            child.wait()


def select_share(names: Sequence[str], index: int, number: int) -> list[str]:
    """Selects one of several shares of the runs, in their order; long and short runs are spread over the shares.

    Args:
        names: Of all runs.
        index: Of the share, from 0.
        number: Shares in all.

    Example:
        >>> sorted(select_share(["a", "b", "c"], 0, 2) + select_share(["a", "b", "c"], 1, 2))
        ['a', 'b', 'c']
    """
    mixed = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    mine = {*mixed[index::number]}
    return [name for name in names if name in mine]


def _find_reason(log: Path, code: int) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if code > 0 and errors:
        return errors[-1].removeprefix("error: ")
    ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{ended}; the log ends with: {' | '.join(lines[-LAST_LINES:])}"
