"""Training on the host's side: lanes go into slots, chunks of epochs run, results come out.

A lane is one fold under one seed. A program has some slots, each holding a lane; when a lane
is done, its slot gets the next one. The compiled part is in `steps.py`. What a lane
computes depends on neither its slot nor its neighbours, nor on when it was resumed.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from mer_jax.blocks.conv_pool import compiler_options
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, MemoryLimitError
from mer_jax.protocols import Plan, refuse_copies
from mer_jax.sharding import DATA, FOLD, free_bytes, lanes_that_fit, make_mesh, replicate, round_up
from mer_jax.training import steps
from mer_jax.training.batches import Data, pad_items
from mer_jax.training.checkpoint import FoldCheckpoints
from mer_jax.training.losses import class_weights
from mer_jax.training.state import TrainState
from mer_jax.training.steps import LaneData, Limits, Settings


@dataclasses.dataclass(frozen=True)
class TestBest:
    """What choosing the epoch by its test accuracy would have shown: the diagnostic `test_best`."""

    __test__ = False  # no test case of pytest's

    probabilities: Float[np.ndarray, "m k"]
    epoch: int


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind.

    Attributes:
        item: indices of the test items in the plan.
        probabilities: of each test item [m, k], from the weights of the chosen epoch; None
            where the loss was not finite.
        epochs: epochs done.
        best_epoch: epoch whose weights were tested, counted from 1; 0 for none.
        stop_reason: `early stopping`, `all epochs`, or `loss not finite` with its epoch.
        test_best: of the diagnostic; None where that is off.
    """

    item: Int[np.ndarray, " m"]
    probabilities: Float[np.ndarray, "m k"] | None
    epochs: int
    best_epoch: int
    stop_reason: str
    test_best: TestBest | None = None


@runtime_checkable
class Listener(Protocol):
    """Who is told how training goes on; lanes are named by their index in the program."""

    def on_restore(self, lane: int, epoch: int) -> None:
        """A lane starts: with that many epochs in its newest checkpoint."""

    def on_chunk(self, lane: int, rows: list[dict[str, float]]) -> None:
        """A chunk of epochs is done, its checkpoint not yet written."""

    def on_result(self, lane: int, result: FoldResult) -> None:
        """A lane is trained and tested."""

    def after_chunk(self) -> contextlib.AbstractContextManager[None]:
        """Surrounds `on_chunk` and the saving of checkpoints. What it raises at the end, ends the training."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A protocol made ready for the device: shared by all its lanes, compiled once.

    Several threads may fit different lanes of it at the same time, on one device.

    Attributes:
        plans: one for each seed.
        seeds: theirs.
        folds: of every lane: which seed (index into `plans`), and which fold of its plan.
    """

    plans: tuple[Plan, ...]
    seeds: tuple[int, ...]
    folds: tuple[tuple[int, int], ...]
    settings: Settings
    limits: Limits
    data: Data
    lanes: LaneData
    compiling: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)
    compiled: set[int] = dataclasses.field(default_factory=set, repr=False)

    def train_epochs(self, slots: TrainState, which: Int[Array, " f"]) -> tuple[TrainState, dict[str, Array]]:
        """A chunk of epochs; of threads that come first together, one compiles."""
        width = which.shape[0]
        with self.compiling if width not in self.compiled else contextlib.nullcontext():
            result = steps.train_epochs(slots, which, self.lanes, self.data, self.limits, settings=self.settings)
            self.compiled.add(width)
        return result

    def lane_bytes(self) -> int:
        """Estimate of what one lane more takes on a device: its state twice, and its intermediates."""
        with jax.set_mesh(self.settings.mesh):
            one = jax.eval_shape(
                lambda: steps.start_slot(jnp.asarray(0), self.lanes, self.data, self.limits, settings=self.settings)
            )
            state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
            number = self.settings.mesh.shape[FOLD]
            slots = jax.eval_shape(lambda one: steps.make_slots(one, number=number, mesh=self.settings.mesh), one)
            lowered = steps.train_epochs.lower(
                slots, jnp.zeros(number, jnp.int32), self.lanes, self.data, self.limits, settings=self.settings
            )
            return 2 * state + lowered.compile().memory_analysis().temp_size_in_bytes


def load_data(clips: Clips, mesh: Mesh) -> Data:
    """Puts a corpus onto every device, once for all protocols."""
    return replicate(mesh, Data(pictures=clips.pictures, label=clips.label))


def make_program(
    experiment: Experiment,
    clips: Clips,
    plans: Sequence[Plan],
    *,
    mesh: Mesh | None = None,
    data: Data | None = None,
) -> Program:
    """Pads every fold of a protocol to one shape and makes it ready for the device.

    Args:
        experiment: validated.
        clips: the corpus, of the kind that the model takes.
        plans: of the protocol over these clips, one for each seed from `experiment.seed` on. The largest fold of all
            of them decides how many batches an epoch has.
        mesh: from `make_mesh`; one for this number of lanes by default.
        data: from `load_data`; loaded by default.

    Raises:
        ConfigError: the model takes another kind or answers another number of classes; or
            copies of motion features, which are not augmented, would be tested.
    """
    view = find_view(experiment.model)
    if view.stored != clips.kind:
        raise ConfigError(
            f"the model {type(experiment.model).__name__} takes {view.name}, made from {view.stored}; the clips are "
            f"{clips.kind}; choose another --config"
        )
    check_classes(experiment.model, clips.class_names)
    if not view.is_augmented:
        refuse_copies(plans[0], type(experiment.model).__name__)
    folds = [(seed, index) for seed, plan in enumerate(plans) for index in range(len(plan.folds))]
    mesh = mesh or make_mesh(len(folds))
    longest = {
        side: max(int(getattr(fold, side).sum()) for plan in plans for fold in plan.folds)
        for side in ("train", "validation", "test")
    }
    # The paper's batch of 80 would leave a remainder: we make batches of at most that size, all as full as each other,
    # and as many clips on each device.
    num_steps = -(-longest["train"] // experiment.batch_size)
    width = round_up(-(-longest["train"] // num_steps), mesh.shape[DATA])
    model = experiment.model
    half_precision = experiment.precision == "bfloat16"
    settings = Settings(
        model=model.clone(dtype=jnp.bfloat16) if half_precision else model,
        view=view,
        normalization=experiment.normalization,
        augment=tuple(sorted(dataclasses.asdict(experiment.augment).items())),
        online_augmentation=plans[0].online_augmentation and view.is_augmented,
        optimization=tuple(sorted(dataclasses.asdict(experiment.optimization).items())),
        half_precision=half_precision,
        select_last=experiment.selection == "last",
        watch_test=experiment.diagnostic == "test_best",
        steps=num_steps,
        width=width,
        epochs_per_chunk=experiment.epochs_per_chunk,
        mesh=mesh,
        compiler_options=compiler_options(getattr(model, "implementation", None)),
    )
    limits = Limits(
        learning_rate=jnp.asarray(experiment.learning_rate, jnp.float32),
        epochs=jnp.asarray(experiment.epochs),
        min_epochs=jnp.asarray(experiment.min_epochs),
        patience=jnp.asarray(0 if settings.select_last else experiment.patience),
    )
    lanes = []
    for seed, index in folds:
        plan, fold = plans[seed], plans[seed].folds[index]
        copy_key, fold_key = jax.random.split(jax.random.key(experiment.seed + seed))
        init_key, train_key = jax.random.split(jax.random.fold_in(fold_key, index))
        labels = clips.label[plan.clip[fold.train]]
        lanes.append(
            LaneData(
                **{side: pad_items(plan, getattr(fold, side), longest[side]) for side in longest},
                class_weights=jnp.asarray(class_weights(labels, len(clips.class_names), experiment.class_weights)),
                init_key=init_key,
                train_key=train_key,
                copy_key=copy_key,
            )
        )
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *lanes)
    return Program(
        plans=tuple(plans),
        seeds=tuple(experiment.seed + seed for seed in range(len(plans))),
        folds=tuple(folds),
        settings=settings,
        limits=replicate(mesh, limits),
        data=data if data is not None else load_data(clips, mesh),
        lanes=replicate(mesh, stacked),
    )


def choose_width(program: Program, asked: int | None) -> int:
    """How many lanes are trained at once: a multiple of the devices along `fold`, at most what there is to do.

    Args:
        program: from `make_program`.
        asked: by the user; None chooses: on a CPU one a device, since XLA has no fast
            convolution there for several sets of filters at once; elsewhere as many as
            the memory holds by `Program.lane_bytes`.
    """
    devices = program.settings.mesh.shape[FOLD]
    most = round_up(len(program.folds), devices)
    if asked is not None:
        return min(round_up(asked, devices), most)
    free = free_bytes(program.settings.mesh)
    if free is None or len(program.folds) <= devices:
        return devices
    return min(devices * lanes_that_fit(free, program.lane_bytes()), most)


def fit(
    program: Program,
    lanes: Sequence[int],
    *,
    width: int,
    open_checkpoints: Callable[[int], FoldCheckpoints],
    listener: Listener,
    may_shrink: bool = True,
) -> dict[int, FoldResult]:
    """Trains and tests lanes, each from its newest checkpoint if there is one.

    A lane whose loss is not finite ends with its reason; the others go on.

    Args:
        program: from `make_program`.
        lanes: indices into `program.folds`.
        width: slots, a multiple of the devices along `fold`; see `choose_width`.
        open_checkpoints: of a lane.
        listener: is told of everything.
        may_shrink: halve `width` and go on from the checkpoints where the device has no
            room, instead of an error.

    Returns:
        A result for each lane.

    Raises:
        MemoryLimitError: the device has no room for that many lanes.
        CheckpointError: a checkpoint is of another experiment, or cannot be written.
    """
    results: dict[int, FoldResult] = {}
    while True:
        left = [lane for lane in lanes if lane not in results]
        try:
            with jax.set_mesh(program.settings.mesh):
                for lane, result in _fit_in_slots(program, left, width, open_checkpoints, listener):
                    results[lane] = result
                    listener.on_result(lane, result)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            width = _shrink(program, width, may_shrink, error)
            continue
        return results


def _shrink(program: Program, width: int, may_shrink: bool, error: Exception) -> int:
    devices = program.settings.mesh.shape[FOLD]
    # Of several processes one alone may be short of memory: they could not go on with different programs.
    if may_shrink and width > devices and jax.process_count() == 1:
        return round_up(width // 2, devices)
    raise MemoryLimitError(
        f"the device has no room for {width // devices} folds at once, each of about {program.lane_bytes() / 1e6:.0f} "
        "MB; use a lower --fold_parallel, then a lower --config.batch_size or --config.model.features; --resume goes "
        "on from the checkpoints"
    ) from error


def _fit_in_slots(
    program: Program,
    lanes: Sequence[int],
    width: int,
    open_checkpoints: Callable[[int], FoldCheckpoints],
    listener: Listener,
) -> Iterator[tuple[int, FoldResult]]:
    mesh, settings = program.settings.mesh, program.settings
    waiting, slots = list(lanes), None
    holds: dict[int, int] = {}  # slot -> lane
    with contextlib.ExitStack() as stack:
        checkpoints: dict[int, FoldCheckpoints] = {}
        while True:
            for slot in sorted(set(range(width)) - set(holds)):
                if waiting:
                    lane = holds[slot] = waiting.pop(0)
                    checkpoints[lane] = stack.enter_context(open_checkpoints(lane))
                    one = _start(program, lane, checkpoints[lane], listener)
                    slots = steps.make_slots(one, number=width, mesh=mesh) if slots is None else slots
                    slots = steps.put_slot(slots, jnp.asarray(slot), one, mesh=mesh)
            if not holds:
                return
            which = jnp.asarray([holds.get(slot, 0) for slot in range(width)], jnp.int32)
            if not np.asarray(steps.read_stopped(slots, mesh=mesh))[list(holds)].all():
                slots, history = program.train_epochs(slots, which)
                history = {name: np.asarray(values) for name, values in history.items()}
                with listener.after_chunk():
                    _hand_over(slots, holds, history, checkpoints, listener, mesh)
            stopped = np.asarray(steps.read_stopped(slots, mesh=mesh))
            done = [slot for slot in holds if stopped[slot]]
            if done:
                probabilities = np.asarray(
                    steps.predict_lanes(slots, which, program.lanes, program.data, settings=settings)
                )
            for slot in done:
                lane = holds.pop(slot)
                checkpoints.pop(lane).close()
                yield lane, _result(program, lane, _take(slots, slot, mesh), probabilities[slot])


def _hand_over(
    slots: TrainState,
    holds: Mapping[int, int],
    history: Mapping[str, np.ndarray],
    checkpoints: Mapping[int, FoldCheckpoints],
    listener: Listener,
    mesh: Mesh,
) -> None:
    """What a chunk gave, to the listener and the checkpoints."""
    failure = None
    for slot, lane in holds.items():
        if rows := _rows(history, slot):
            state = _take(slots, slot, mesh)  # all processes take part, whatever one of them cannot write
            try:
                if failure is None:
                    listener.on_chunk(lane, rows)
                    if not state.failed_epoch:  # the last good one stays the newest
                        checkpoints[lane].save(int(state.epoch), state)
            except Exception as error:
                failure = error
    if failure is not None:
        raise failure


def _start(program: Program, lane: int, checkpoints: FoldCheckpoints, listener: Listener) -> TrainState:
    """The state of a lane from its newest checkpoint, or before its first epoch."""
    index = jnp.asarray(lane)
    fresh = steps.start_slot(index, program.lanes, program.data, program.limits, settings=program.settings)
    kept = checkpoints.restore_newest(_on_host(fresh))
    listener.on_restore(lane, 0 if kept is None else int(kept.epoch))
    if kept is None:
        return fresh
    return replicate(program.settings.mesh, jax.tree.map(lambda leaf: np.asarray(leaf)[None], kept))


def _take(slots: TrainState, slot: int, mesh: Mesh) -> TrainState:
    return _on_host(steps.take_slot(slots, jnp.asarray(slot), mesh=mesh))


def _on_host(one: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], one)


def _result(program: Program, lane: int, state: TrainState, probabilities: Float[np.ndarray, "m k"]) -> FoldResult:
    seed, index = program.folds[lane]
    item = np.flatnonzero(program.plans[seed].folds[index].test)
    epochs, failed = int(state.epoch), int(state.failed_epoch)
    if failed:
        reason = f"loss not finite in epoch {failed}"
    else:
        reason = "all epochs" if epochs >= int(program.limits.epochs) else "early stopping"
    test_best = None
    if state.test_best is not None and not failed:
        test_best = TestBest(state.test_best["probabilities"][: len(item)], int(state.test_best["epoch"]))
    return FoldResult(
        item=item,
        probabilities=None if failed else probabilities[: len(item)],
        epochs=epochs,
        best_epoch=int(state.best_epoch),
        stop_reason=reason,
        test_best=test_best,
    )


def _rows(history: dict[str, Any], slot: int) -> list[dict[str, float]]:
    columns = {name: values[slot].tolist() for name, values in history.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows if row["epoch"]]


def check_classes(model: Any, class_names: Sequence[str]) -> None:
    """Validates that a model's number of classes is that of a corpus.

    Args:
        model: a network or a baseline.
        class_names: of the corpus.

    Raises:
        ConfigError: Saying what to set.
    """
    if model.num_classes != len(class_names):
        raise ConfigError(
            f"the corpus has the classes {', '.join(class_names)}, the model answers {model.num_classes}; "
            f"set --config.model.num_classes={len(class_names)}"
        )
