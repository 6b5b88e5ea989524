"""The host's side of training: lanes go into slots, chunks of epochs run, results come out.

A program has some slots, each holding a lane; when a lane is done, its slot gets the next one.
What a lane computes depends on neither its slot nor its neighbours, nor on when it was resumed.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from mer_jax.errors import MemoryLimitError
from mer_jax.system.devices import FOLD, replicate, round_up
from mer_jax.training import lanes as compiled_lanes
from mer_jax.training.checkpoint import FoldCheckpoints
from mer_jax.training.program import Lane, Program
from mer_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class TestBest:
    """What choosing the epoch by its test accuracy would have shown: the diagnostic `test_best`."""

    __test__ = False  # not a test case

    probabilities: Float[np.ndarray, "m k"]
    epoch: int


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """The result of one fold under one seed.

    Attributes:
        item: Indices of the test items in the plan.
        probabilities: Class probabilities of each test item [m, k], from the weights of the chosen epoch; None where
            the loss was not finite.
        epochs: Epochs run.
        best_epoch: Epoch whose weights were tested, counted from 1; 0 for none.
        stop_reason: `early stopping`, `all epochs`, or `loss not finite` with its epoch.
        seconds: Time in its slot, in this call; lanes that share a program share the time.
        test_best: Of the diagnostic; None where that is off.
    """

    item: Int[np.ndarray, " m"]
    probabilities: Float[np.ndarray, "m k"] | None
    epochs: int
    best_epoch: int
    stop_reason: str
    seconds: float
    test_best: TestBest | None = None


class Callbacks:
    """Training callbacks. Every method may be left as it is; they are called from several threads."""

    def on_start(self, lane: Lane, epoch: int) -> None:
        """A lane starts after `epoch` epochs: those of its newest checkpoint, or 0."""

    def on_epochs(self, lane: Lane, rows: list[dict[str, float]]) -> None:
        """A chunk of epochs is done, its checkpoint not yet written.

        Args:
            lane: Which.
            rows: One for each epoch: `epoch` (from 1), `train_loss`, `train_accuracy`, `validation_loss`,
                `validation_accuracy`, with the diagnostic also `test_accuracy`.
        """

    def on_result(self, lane: Lane, result: FoldResult) -> None:
        """A lane is trained and tested."""

    def on_message(self, text: str) -> None:
        """Something that a user may want to know, such as how many folds are trained at once."""

    def after_chunk(self) -> contextlib.AbstractContextManager[None]:
        """Context of `on_epochs` and of saving checkpoints. An exception at its end ends the training."""
        return contextlib.nullcontext()


def fit_lanes(
    program: Program,
    lanes: Sequence[int],
    *,
    num_slots: int = 1,
    open_checkpoints: Callable[[Lane], FoldCheckpoints] | None = None,
    callbacks: Callbacks | None = None,
    may_shrink: bool = True,
) -> dict[int, FoldResult]:
    """Trains and tests lanes, each from its newest checkpoint if there is one.

    A lane whose loss is not finite ends with its reason; the others go on.

    Args:
        program: From `make_program`.
        lanes: Indices into `program.lanes`.
        num_slots: Lanes trained at once, a multiple of the devices along `fold`; see `choose_num_slots`.
        open_checkpoints: Opens the checkpoints of a lane; None keeps none.
        callbacks: None for nothing.
        may_shrink: Whether to halve `num_slots` and go on, instead of an error, where the device is out of memory.

    Returns:
        A result for each lane.

    Raises:
        MemoryLimitError: The device has no memory for that many lanes.
        CheckpointError: A checkpoint is of another experiment, or cannot be written.
    """
    callbacks = callbacks or Callbacks()
    results: dict[int, FoldResult] = {}
    while True:
        left = [lane for lane in lanes if lane not in results]
        try:
            with jax.set_mesh(program.settings.mesh):
                for lane, result in _fit_in_slots(program, left, num_slots, open_checkpoints, callbacks):
                    results[lane] = result
                    callbacks.on_result(program.lanes[lane], result)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            num_slots = _shrink(program, num_slots, may_shrink, error)
            continue
        return results


def _shrink(program: Program, num_slots: int, may_shrink: bool, error: Exception) -> int:
    devices = program.settings.mesh.shape[FOLD]
    # Of several processes one alone may be short of memory: they could not go on with different programs.
    if may_shrink and num_slots > devices and jax.process_count() == 1:
        return round_up(num_slots // 2, devices)
    raise MemoryLimitError(
        f"the device has no room for {num_slots // devices} folds at once, each of about "
        f"{program.lane_bytes() / 1e6:.0f} MB; use a lower --fold_parallel, then a lower --config.batch_size or "
        "--config.model.features; --resume continues from the checkpoints"
    ) from error


def _fit_in_slots(
    program: Program,
    lanes: Sequence[int],
    num_slots: int,
    open_checkpoints: Callable[[Lane], FoldCheckpoints] | None,
    callbacks: Callbacks,
) -> Iterator[tuple[int, FoldResult]]:
    mesh, settings = program.settings.mesh, program.settings
    arrays = program.lane_data, program.data
    waiting, slots = list(lanes), None
    holds: dict[int, int] = {}  # slot -> lane
    began: dict[int, float] = {}
    with contextlib.ExitStack() as stack:
        checkpoints: dict[int, FoldCheckpoints] = {}
        while True:
            for slot in sorted(set(range(num_slots)) - set(holds)):
                if waiting:
                    lane = holds[slot] = waiting.pop(0)
                    began[lane] = time.perf_counter()
                    if open_checkpoints is not None:
                        checkpoints[lane] = stack.enter_context(open_checkpoints(program.lanes[lane]))
                    one = _start(program, lane, checkpoints.get(lane), callbacks)
                    slots = compiled_lanes.make_slots(one, number=num_slots, mesh=mesh) if slots is None else slots
                    slots = compiled_lanes.put_slot(slots, jnp.asarray(slot), one, mesh=mesh)
            if not holds or slots is None:
                return
            which = jnp.asarray([holds.get(slot, 0) for slot in range(num_slots)], jnp.int32)
            if not np.asarray(compiled_lanes.read_stopped(slots, mesh=mesh))[list(holds)].all():
                slots, history = compiled_lanes.train_epochs(slots, which, *arrays, program.limits, settings=settings)
                history = {name: np.asarray(values) for name, values in history.items()}
                with callbacks.after_chunk():
                    _hand_over(program, slots, holds, history, checkpoints, callbacks)
            stopped = np.asarray(compiled_lanes.read_stopped(slots, mesh=mesh))
            done = [slot for slot in holds if stopped[slot]]
            if not done:
                continue
            probabilities = np.asarray(compiled_lanes.predict_lanes(slots, which, *arrays, settings=settings))
            for slot in done:
                lane = holds.pop(slot)
                if lane in checkpoints:
                    checkpoints.pop(lane).close()
                seconds = time.perf_counter() - began[lane]
                yield lane, _result(program, lane, _take(slots, slot, mesh), probabilities[slot], seconds)


def _hand_over(
    program: Program,
    slots: TrainState,
    holds: Mapping[int, int],
    history: Mapping[str, np.ndarray],
    checkpoints: Mapping[int, FoldCheckpoints],
    callbacks: Callbacks,
) -> None:
    """Gives the rows of a chunk to the callbacks, and its states to the checkpoints."""
    failure = None
    for slot, lane in holds.items():
        if rows := _rows(history, slot):
            # All processes take part, whatever one of them cannot write.
            state = _take(slots, slot, program.settings.mesh) if checkpoints else None
            try:
                if failure is None:
                    callbacks.on_epochs(program.lanes[lane], rows)
                    if state is not None and not state.failed_epoch:  # the last good one stays the newest
                        checkpoints[lane].save(int(state.epoch), state)
            except Exception as error:
                failure = error
    if failure is not None:
        raise failure


def _start(program: Program, lane: int, checkpoints: FoldCheckpoints | None, callbacks: Callbacks) -> TrainState:
    """The state of a lane from its newest checkpoint, or before its first epoch."""
    arrays = program.lane_data, program.data, program.limits, program.initial
    fresh = compiled_lanes.start_slot(jnp.asarray(lane), *arrays, settings=program.settings)
    kept = checkpoints.restore_newest(_on_host(fresh)) if checkpoints is not None else None
    callbacks.on_start(program.lanes[lane], 0 if kept is None else int(kept.epoch))
    if kept is None:
        return fresh
    return replicate(program.settings.mesh, jax.tree.map(lambda leaf: np.asarray(leaf)[None], kept))


def _take(slots: TrainState, slot: int, mesh: Mesh) -> TrainState:
    return _on_host(compiled_lanes.take_slot(slots, jnp.asarray(slot), mesh=mesh))


def _on_host(one: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], one)


def _result(
    program: Program, lane: int, state: TrainState, probabilities: Float[np.ndarray, "m k"], seconds: float
) -> FoldResult:
    item = program.test_items(lane)
    epochs, failed = int(state.epoch), int(state.failed_epoch)
    if failed:
        reason = f"loss not finite in epoch {failed}"
    else:
        reason = "all epochs" if epochs >= int(program.limits.last_epoch) else "early stopping"
    test_best = None
    if state.test_best is not None and not failed:
        test_best = TestBest(state.test_best["probabilities"][: len(item)], int(state.test_best["epoch"]))
    return FoldResult(
        item=item,
        probabilities=None if failed else probabilities[: len(item)],
        epochs=epochs,
        best_epoch=int(state.best_epoch),
        stop_reason=reason,
        seconds=round(seconds, 2),
        test_best=test_best,
    )


def _rows(history: Mapping[str, Any], slot: int) -> list[dict[str, float]]:
    columns = {name: values[slot].tolist() for name, values in history.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows if row["epoch"]]
