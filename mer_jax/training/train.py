"""Training a whole experiment: every fold of every protocol under every seed."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, NonFiniteLossError
from mer_jax.evaluation.results import FoldSummary, ProtocolResult
from mer_jax.protocols import Plan, make_plan, refuse_copies
from mer_jax.system.devices import DATA, FOLD, in_any_process, make_mesh
from mer_jax.system.futures import wait_for_first_error
from mer_jax.system.machine import count_processors
from mer_jax.training.baseline import fit_baseline
from mer_jax.training.checkpoint import FoldCheckpoints
from mer_jax.training.collect import collect_folds, summarize_folds
from mer_jax.training.fit import Callbacks, FoldResult, fit_lanes
from mer_jax.training.pretrained import Pretrained, check_pretrained, variables_of
from mer_jax.training.program import (
    Lane,
    Program,
    check_clips,
    check_model,
    choose_num_slots,
    load_data,
    make_program,
)


class Results(Mapping[str, ProtocolResult]):
    """Results by protocol: `results["loso"].scores()`.

    Attributes:
        experiment: What was trained.
        plans: Plans of each protocol, one for each seed: which clips train, validate and test.
        folds: How the training of each fold went, by protocol; folds without a result too.
    """

    def __init__(
        self,
        experiment: Experiment,
        plans: Mapping[str, Sequence[Plan]],
        folds: Mapping[str, Sequence[FoldSummary]],
        protocols: Mapping[str, ProtocolResult],
    ):
        self.experiment, self.plans, self.folds = experiment, plans, folds
        self._protocols = dict(protocols)

    def __getitem__(self, protocol: str) -> ProtocolResult:
        """The result of one protocol."""
        return self._protocols[protocol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._protocols)

    def __len__(self) -> int:
        return len(self._protocols)

    def __repr__(self) -> str:
        return f"Results({', '.join(self._protocols)})"

    @property
    def failed(self) -> list[tuple[str, FoldSummary]]:
        """Protocol and fold of every loss that was not finite."""
        return [(name, fold) for name, folds in self.folds.items() for fold in folds if fold.missing]


class _OnEpochs(Callbacks):
    """Callbacks of one function."""

    def __init__(self, function: Callable[[Lane, list[dict[str, float]]], None]):
        self._function = function

    def on_epochs(self, lane: Lane, rows: list[dict[str, float]]) -> None:
        self._function(lane, rows)


def train(
    experiment: Experiment,
    clips: Clips,
    *,
    checkpoints: str | Path | None = None,
    on_epochs: Callable[[Lane, list[dict[str, float]]], None] | None = None,
    callbacks: Callbacks | None = None,
    jobs: int | None = None,
    fold_parallel: int | None = None,
    pretrained: Pretrained | None = None,
) -> Results:
    """Trains and tests a model under every protocol of an experiment. Writes nothing unless `checkpoints` is given.

    Args:
        experiment: Model, protocols and training; `vision` and the surrogate's fields are not used.
        clips: The corpus, of the kind that the model takes.
        checkpoints: Folder of checkpoints. Called again with the same experiment and clips, training continues from
            the newest of them, bit for bit on the same CPU.
        on_epochs: Called after every chunk of epochs with the lane (protocol, seed, fold) and a row for each epoch;
            short for `callbacks` with this one method.
        callbacks: All callbacks.
        jobs: Folds trained at the same time on one CPU, each in a thread; None takes the processors at hand. Results
            do not depend on it.
        fold_parallel: Folds trained at the same time as an axis of one compiled program; None chooses by the memory
            of the device, and is 1 on a CPU.
        pretrained: Model that every fold starts from, or whose clips are added to the training clips of each; the
            experiment has its record, `pretrained.apply_to(experiment)`.

    Returns:
        Results by protocol.

    Raises:
        ConfigError: The experiment is not valid, or does not go with the clips.
        CorpusError: Too few people or clips for a protocol.
        NonFiniteLossError: A fold's loss was not finite; raised after all others are trained, with their `results`.
        CheckpointError: A checkpoint is of another experiment, or cannot be written.

    Example:
        >>> import numpy as np
        >>> from mer_jax.models.ststnet import STSTNet
        >>> flow = np.random.default_rng(0).integers(0, 255, (12, 28, 28, 3), np.uint8)
        >>> clips = Clips.from_arrays(flow, labels=[0, 1, 2] * 4, subjects=list("aaabbbcccddd"))
        >>> experiment = Experiment(model=STSTNet(), protocols=("loso",), epochs=2, min_epochs=1)
        >>> results = train(experiment, clips)
        >>> results["loso"].probabilities.shape
        (12, 3)
    """
    experiment.validate()
    check_clips(experiment.model, clips)
    check_pretrained(experiment, clips, pretrained)
    plans = make_plans(experiment, clips)
    results = {}
    if is_baseline(experiment.model):
        results = {name: fit_baseline(experiment, clips, each, pretrained) for name, each in plans.items()}
    else:
        check_model(experiment.model, clips.num_frames)
        callbacks = callbacks or (_OnEpochs(on_epochs) if on_epochs else Callbacks())
        open_checkpoints = _checkpoint_opener(checkpoints, fingerprint(experiment, clips))
        initial = variables_of(pretrained)
        results = _fit_networks(experiment, clips, plans, initial, open_checkpoints, callbacks, jobs, fold_parallel)
    folds = {name: summarize_folds(experiment, plans[name], each) for name, each in results.items()}
    collected = {name: collect_folds(experiment, clips, plans[name], results[name], folds[name]) for name in results}
    trained = Results(experiment, plans, folds, {name: each for name, each in collected.items() if each is not None})
    if trained.failed:
        where = "; ".join(f"{name} fold {fold.name!r}: {fold.stop_reason}" for name, fold in trained.failed)
        raise NonFiniteLossError(
            f"{len(trained.failed)} of {sum(map(len, folds.values()))} folds have no result, at learning rate "
            f"{experiment.learning_rate:g}: {where}. Lower --config.learning_rate, or set "
            "--config.class_weights=normalized or --config.optimization.clip_norm=1, in another --workdir",
            results=trained,
        )
    return trained


def make_plans(experiment: Experiment, clips: Clips) -> dict[str, list[Plan]]:
    """Draws the folds of every protocol under every seed.

    Raises:
        ConfigError: An unknown protocol, one of augmented copies for a model that takes clips as they are, or a choice
            of the epoch without validation.
        CorpusError: Too few people or clips.
    """
    if not (experiment.validation_share or experiment.selection == "last" or is_baseline(experiment.model)):
        raise ConfigError(
            f"got validation_share=0 with selection={experiment.selection!r}: without validation clips no epoch can be "
            "chosen; set --config.selection=last"
        )
    plans = {
        name: [
            make_plan(
                name,
                subjects=clips.subject,
                corpora=clips.corpus,
                labels=clips.label,
                seed=experiment.seed + number,
                num_folds=experiment.num_folds,
                num_copies=experiment.num_copies,
                validation_share=experiment.validation_share,
            )
            for number in range(experiment.num_seeds)
        ]
        for name in experiment.protocols
    }
    if is_baseline(experiment.model) or not find_view(experiment.model).has_copies:
        for each in plans.values():
            refuse_copies(each[0], type(experiment.model).__name__)
    return plans


def is_baseline(model: Any) -> bool:
    """Whether a model is no network but one of `mer_jax.baselines`."""
    return not isinstance(model, nn.Module)


def fingerprint(experiment: Experiment, clips: Clips) -> str:
    """Identifies everything that decides a result: all fields of the experiment but its name, and the clips."""
    content = {**experiment.to_dict(), "data": clips.fingerprint}
    del content["name"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def checkpoint_folder(checkpoints: Path, protocol: str, seed: int, fold: int) -> Path:
    """Folder of the checkpoints of one fold."""
    return checkpoints / protocol / f"seed_{seed}" / f"fold_{fold:02d}"


def _checkpoint_opener(folder: str | Path | None, identity: str) -> Callable[[Lane], FoldCheckpoints] | None:
    if folder is None:
        return None
    root = Path(folder).expanduser()
    return lambda lane: FoldCheckpoints(checkpoint_folder(root, lane.protocol, lane.seed, lane.fold), identity)


def _fit_networks(
    experiment: Experiment,
    clips: Clips,
    plans: Mapping[str, Sequence[Plan]],
    initial: Any,
    open_checkpoints: Callable[[Lane], FoldCheckpoints] | None,
    callbacks: Callbacks,
    jobs: int | None,
    fold_parallel: int | None,
) -> dict[str, list[FoldResult]]:
    """Trains the folds of all protocols, in threads on a CPU and as an axis of one program elsewhere."""
    meshes = {name: make_mesh(sum(len(plan.folds) for plan in each)) for name, each in plans.items()}
    data = load_data(clips, next(iter(meshes.values())))
    programs = {
        name: make_program(experiment, clips, each, mesh=meshes[name], data=data, initial=initial)
        for name, each in plans.items()
    }
    jobs, excess = _num_threads(jobs, fold_parallel), _describe_excess(jobs)
    if excess and jobs > 1:
        callbacks.on_message(excess)
    stop = Stop(callbacks)
    tasks = []
    for name, program in programs.items():
        num_slots = choose_num_slots(program, fold_parallel)
        for line in _describe_layout(name, program, num_slots):
            callbacks.on_message(line)
        lanes = list(range(len(program.lanes)))
        # Threads share the folds; else the program itself has all of them.
        tasks += [(name, share, num_slots) for share in ([[lane] for lane in lanes] if jobs > 1 else [lanes])]
    results: dict[str, dict[int, FoldResult]] = {name: {} for name in programs}

    def work(name: str, lanes: list[int], num_slots: int) -> None:
        results[name].update(
            fit_lanes(
                programs[name],
                lanes,
                num_slots=num_slots,
                open_checkpoints=open_checkpoints,
                callbacks=stop,
                may_shrink=fold_parallel is None,
            )
        )

    _run_tasks([lambda task=task: work(*task) for task in tasks], jobs, stop)
    return {name: [each[lane] for lane in sorted(each)] for name, each in results.items()}


def _num_threads(jobs: int | None, fold_parallel: int | None) -> int:
    # One clip after another keeps one processor of a CPU busy; other folds keep the others. Several devices are one
    # program's: threads of them would wait for each other for ever.
    in_threads = jax.default_backend() == "cpu" and jax.device_count() == 1 and (fold_parallel or 1) == 1
    return (jobs or count_processors()) if in_threads else 1


def _describe_excess(jobs: int | None) -> str:
    """One line where more threads are asked for than there are processors: results are the same, nothing is gained."""
    if (jobs or 1) <= (processors := count_processors()):
        return ""
    return f"got jobs={jobs}, and this process may use {processors} processors: more jobs than that gain nothing"


class Stop(Callbacks):
    """Passes callbacks on, and ends all lanes, in all processes, after the chunk in which one is interrupted."""

    def __init__(self, callbacks: Callbacks):
        self._callbacks = callbacks
        self.on_start, self.on_epochs = callbacks.on_start, callbacks.on_epochs
        self.on_result, self.on_message = callbacks.on_result, callbacks.on_message
        self.asked = threading.Event()  # by this process
        self.ended = threading.Event()  # in this process; `asked`, which the others do not know of yet, ends nothing

    @contextlib.contextmanager
    def after_chunk(self) -> Iterator[None]:
        """Stops all processes if the chunk, or its callbacks, raised."""
        try:
            with self._callbacks.after_chunk():
                yield
        except BaseException:
            in_any_process(True)
            raise
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt where this process, or another, has to stop; all have to ask at the same place."""
        if in_any_process(self.asked.is_set()):
            if not self.asked.is_set():
                self.on_message("another process stops, so this one does")
            raise KeyboardInterrupt


def _run_tasks(tasks: Sequence[Callable[[], None]], jobs: int, stop: Stop) -> None:
    def run(task: Callable[[], None]) -> None:
        if stop.ended.is_set():
            return
        try:
            stop.check()
            task()
        except BaseException:
            stop.ended.set()  # before this thread takes the next task
            stop.asked.set()
            raise

    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [pool.submit(run, task) for task in tasks]
            if errors := wait_for_first_error(futures):  # what stopped the others, before what the others say to it
                raise min(errors, key=lambda error: isinstance(error, KeyboardInterrupt))
        except BaseException as error:
            stop.asked.set()  # tasks that wait are not cancelled: where each begins, processes ask each other
            if isinstance(error, KeyboardInterrupt):
                stop.on_message("stopping when the chunks in hand are saved")
            raise


def _describe_layout(name: str, program: Program, num_slots: int) -> list[str]:
    """What several devices do, and what their number costs."""
    mesh, settings, lines = program.settings.mesh, program.settings, []
    if num_slots > 1:
        lines.append(f"{name}: {min(num_slots, len(program.lanes))} of {len(program.lanes)} folds at once")
    if mesh.size > 1:
        lines.append(f"{name}: {mesh.shape[FOLD]} devices along folds, {mesh.shape[DATA]} share each batch")
    largest = max(int(fold.train.sum()) for plan in program.plans for fold in plan.folds)
    full = -(-largest // settings.steps_per_epoch)
    if settings.batch_size != full:
        lines.append(f"{name}: batches of {full} clips are padded to {settings.batch_size}, as many on each device")
    return lines
