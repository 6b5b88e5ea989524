"""Trains every fold of every protocol of a run, from checkpoints where there are any."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import jax

from datasets.cache import default_workers
from experiments.processes import in_any_process
from experiments.progress import FoldProgress, RunProgress
from experiments.run_folder import RunFolder
from experiments.tensorboard import Curves
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError
from mer_jax.evaluation.results import FoldSummary
from mer_jax.protocols import Plan
from mer_jax.sharding import DATA, FOLD, make_mesh
from mer_jax.training.checkpoint import FoldCheckpoints
from mer_jax.training.train import FoldResult, Program, choose_width, fit, load_data, make_program


@dataclasses.dataclass(frozen=True)
class Fit:
    """One fold under one seed, trained and tested."""

    protocol: str
    result: FoldResult
    summary: FoldSummary


@dataclasses.dataclass(frozen=True)
class Parallel:
    """What is trained at the same time. Results do not depend on it.

    Attributes:
        jobs: threads, each with a fold; on one CPU only.
        folds: folds as an axis of one program; None chooses by memory.
    """

    jobs: int
    folds: int | None

    @staticmethod
    def from_flags(jobs: int | None, fold_parallel: str) -> "Parallel":
        """Reads the two flags; None and `auto` choose by the devices.

        Raises:
            ConfigError: neither a number nor `auto`.
        """
        if fold_parallel != "auto" and not (fold_parallel.isdecimal() and int(fold_parallel)):
            raise ConfigError(f"got --fold_parallel={fold_parallel}, expected auto or a whole number from 1")
        folds = None if fold_parallel == "auto" else int(fold_parallel)
        # One clip after another keeps one processor of a CPU busy; other folds keep the others. Several devices are
        # one program's: threads of them would wait for each other for ever.
        threads = jax.default_backend() == "cpu" and jax.device_count() == 1 and (folds or 1) == 1
        return Parallel(jobs=(jobs or default_workers()) if threads else 1, folds=folds)


class _Recorder:
    """Writes down how the lanes of one program go on: history, progress, summaries."""

    def __init__(
        self, labels, folder: RunFolder, progress: RunProgress, curves: Curves | None, program: Program,
        stop: threading.Event,
    ):  # fmt: skip
        self._labels, self._folder, self._progress, self._curves = labels, folder, progress, curves
        self._program, self._stop = program, stop
        self._folds: dict[int, FoldProgress] = {}
        self._clocks: dict[int, float] = {}
        self.fits: dict[int, Fit] = {}

    def where(self, lane: int) -> tuple[str, int, int]:
        """Protocol, seed and fold."""
        seed, fold = self._program.folds[lane]
        return self._program.plans[seed].protocol, self._program.seeds[seed], fold

    def checkpoints(self, lane: int) -> FoldCheckpoints:
        return FoldCheckpoints(self._folder.checkpoint_folder(*self.where(lane)), self._folder.fingerprint)

    def on_restore(self, lane: int, epoch: int) -> None:
        protocol, seed, fold = self.where(lane)
        if lane not in self._folds:
            number = len(self._program.plans[0].folds)
            under = f" seed {seed}" if len(self._program.seeds) > 1 else ""
            self._folds[lane] = self._progress.start_fold(f"{protocol}{under} fold {fold + 1}/{number}")
        self._folder.forget_history(protocol, seed, fold, after_epoch=epoch)
        self._folds[lane].restore(epoch)
        if self._curves:
            self._curves.restore(protocol, seed, fold, epoch)
        self._clocks[lane] = time.perf_counter()

    def on_chunk(self, lane: int, rows: list[dict[str, float]]) -> None:
        protocol, seed, fold = self.where(lane)
        before, self._clocks[lane] = self._clocks[lane], time.perf_counter()
        seconds = round((self._clocks[lane] - before) / len(rows), 4)
        place = {"protocol": protocol, "fold": fold, "seed": seed}
        self._folder.append_history([{**place, **row, "seconds": seconds} for row in rows])
        self._folds[lane].update(rows)
        if self._curves:
            self._curves.add(protocol, seed, fold, rows)

    @contextlib.contextmanager
    def after_chunk(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            in_any_process(True)
            raise
        self.stop_together(self._stop.is_set())

    def stop_together(self, stop: bool) -> None:
        """Raises KeyboardInterrupt where this process, or another, has to stop; all have to ask at the same place."""
        if in_any_process(stop):
            if not self._stop.is_set():
                self._progress.say("another process stops, so this one does")
            raise KeyboardInterrupt

    def on_result(self, lane: int, result: FoldResult) -> None:
        protocol, seed, fold = self.where(lane)
        plan = self._program.plans[self._program.folds[lane][0]]
        if result.probabilities is None:
            self._folds[lane].fail(result.stop_reason)
        else:
            true = self._labels[plan.clip[result.item]]
            accuracy = float((result.probabilities.argmax(1) == true).mean())
            self._folds[lane].finish(result.epochs, accuracy, len(true))
        if self._curves:
            self._curves.finish(protocol, seed, fold)
        rows = self._folder.read_history(protocol, seed, fold)
        summary = FoldSummary(
            fold=fold,
            name=plan.folds[fold].name,
            seed=seed,
            epochs_run=result.epochs,
            best_epoch=result.best_epoch,
            seconds=round(float(sum(row["seconds"] for row in rows)), 2),
            stop_reason=result.stop_reason,
            missing=result.probabilities is None,
            test_best_epoch=result.test_best and result.test_best.epoch,
        )
        self.fits[lane] = Fit(protocol, result, summary)


def fit_all(
    experiment: Experiment,
    clips: Clips,
    folder: RunFolder,
    plans: Mapping[str, Sequence[Plan]],
    parallel: Parallel,
    curves: Curves | None = None,
) -> dict[str, list[Fit]]:
    """Trains and tests every fold of every protocol under every seed.

    Args:
        experiment: validated.
        clips: the corpus.
        folder: of the run.
        plans: by protocol, one for each seed.
        parallel: what is trained at the same time.
        curves: also get the history; None for nothing.

    Returns:
        By protocol, in the order of seeds and folds. A fold whose loss was not finite is among them.
    """
    stop = threading.Event()
    counts = {name: sum(len(plan.folds) for plan in each) for name, each in plans.items()}
    meshes = {name: make_mesh(count) for name, count in counts.items()}
    data = load_data(clips, next(iter(meshes.values())))
    with RunProgress(sum(counts.values()), experiment.epochs, clips.provenance) as progress:
        recorders, tasks = {}, []
        for name, each in plans.items():
            program = make_program(experiment, clips, each, mesh=meshes[name], data=data)
            recorder = recorders[name] = _Recorder(clips.label, folder, progress, curves, program, stop)
            width = choose_width(program, parallel.folds)
            _say_layout(progress, name, program, width)
            lanes = list(range(len(program.folds)))
            # Threads share the folds; else the program itself has all of them.
            shares = [[lane] for lane in lanes] if parallel.jobs > 1 else [lanes]
            tasks.extend((program, share, width, recorder) for share in shares)
        _run_tasks(tasks, parallel, stop, progress)
        return {name: [each.fits[lane] for lane in sorted(each.fits)] for name, each in recorders.items()}


def _run_tasks(tasks, parallel: Parallel, stop: threading.Event, progress: RunProgress) -> None:
    ended = threading.Event()  # of this process; a `stop` that the others do not know of yet ends nothing

    def run(program: Program, lanes: list[int], width: int, recorder: _Recorder) -> None:
        if ended.is_set():
            return
        try:
            recorder.stop_together(stop.is_set())
            fit(
                program, lanes, width=width, open_checkpoints=recorder.checkpoints, listener=recorder,
                may_shrink=parallel.folds is None,
            )  # fmt: skip
        except BaseException:
            ended.set()  # before this thread takes the next task
            stop.set()
            raise

    with ThreadPoolExecutor(parallel.jobs) as pool:
        try:
            futures = [pool.submit(run, *task) for task in tasks]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            errors = [error for future in done if (error := future.exception())]
            if errors:  # what stopped the others, before what the others say to it
                raise min(errors, key=lambda error: isinstance(error, KeyboardInterrupt))
        except BaseException as error:
            stop.set()  # tasks that wait are not cancelled: where each begins, processes ask each other
            if isinstance(error, KeyboardInterrupt):
                progress.say("stopping when the chunks in hand are saved")
            raise


def _say_layout(progress: RunProgress, name: str, program: Program, width: int) -> None:
    """What several devices do, and what their number costs."""
    mesh, settings = program.settings.mesh, program.settings
    if width > 1:
        progress.say(f"{name}: {min(width, len(program.folds))} of {len(program.folds)} folds at once")
    if mesh.size > 1:
        progress.say(f"{name}: {mesh.shape[FOLD]} devices along folds, {mesh.shape[DATA]} share each batch")
    largest = max(int(fold.train.sum()) for plan in program.plans for fold in plan.folds)
    full = -(-largest // settings.steps)
    if settings.width != full:
        progress.say(f"{name}: batches of {full} clips are padded to {settings.width}, as many on each device")
