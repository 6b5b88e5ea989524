"""Writes down how the folds of a run go on: history, progress and TensorBoard curves."""

import time
from collections.abc import Sequence

import numpy as np

from experiments.progress import FoldProgress, RunProgress
from experiments.run_folder import RunFolder
from experiments.tensorboard import Curves
from mer_jax.data.clips import Clips
from mer_jax.protocols import Plan
from mer_jax.training.fit import Callbacks, FoldResult
from mer_jax.training.program import Lane


class Recorder(Callbacks):
    """Training callbacks of a run folder.

    Args:
        folder: Takes the history.
        progress: Shows it.
        clips: The corpus; its labels give the test accuracy that is shown.
        plans: Plans of each protocol, one for each seed from the first on.
        curves: Take the history too; None for nothing.
    """

    def __init__(
        self,
        folder: RunFolder,
        progress: RunProgress,
        clips: Clips,
        plans: dict[str, list[Plan]],
        first_seed: int,
        curves: Curves | None = None,
    ):
        self._folder, self._progress, self._clips = folder, progress, clips
        self._plans, self._first_seed, self._curves = plans, first_seed, curves
        self._folds: dict[Lane, FoldProgress] = {}
        self._clocks: dict[Lane, float] = {}

    def on_start(self, lane: Lane, epoch: int) -> None:
        """Drops what was trained after the checkpoint, and begins the fold's line."""
        if lane not in self._folds:
            under = f" seed {lane.seed}" if len(self._plans[lane.protocol]) > 1 else ""
            title = f"{lane.protocol}{under} fold {lane.fold + 1}/{lane.num_folds}"
            self._folds[lane] = self._progress.start_fold(title)
        self._folder.forget_history(*_place(lane), after_epoch=epoch)
        self._folds[lane].restore(epoch)
        if self._curves:
            self._curves.restore(*_place(lane), epoch)
        self._clocks[lane] = time.perf_counter()

    def on_epochs(self, lane: Lane, rows: list[dict[str, float]]) -> None:
        """Adds the epochs to the history."""
        before, self._clocks[lane] = self._clocks[lane], time.perf_counter()
        seconds = round((self._clocks[lane] - before) / len(rows), 4)
        place = {"protocol": lane.protocol, "fold": lane.fold, "seed": lane.seed}
        self._folder.append_history([{**place, **row, "seconds": seconds} for row in rows])
        self._folds[lane].update(rows)
        if self._curves:
            self._curves.add(*_place(lane), rows)

    def on_result(self, lane: Lane, result: FoldResult) -> None:
        """Ends the fold's line with its test accuracy."""
        if result.probabilities is None:
            self._folds[lane].fail(result.stop_reason)
        else:
            plan = self._plans[lane.protocol][lane.seed - self._first_seed]
            true = self._clips.label[plan.clip[result.item]]
            accuracy = float(np.mean(result.probabilities.argmax(1) == true))
            self._folds[lane].finish(result.epochs, accuracy, len(true))
        if self._curves:
            self._curves.finish(*_place(lane))

    def on_message(self, text: str) -> None:
        """Shows a line."""
        self._progress.say(text)


def _place(lane: Lane) -> tuple[str, int, int]:
    return lane.protocol, lane.seed, lane.fold


def count_folds(plans: dict[str, list[Plan]]) -> int:
    """Folds of all protocols under all seeds."""
    return sum(len(plan.folds) for each in plans.values() for plan in each)


def seconds_by_fold(rows: Sequence[dict]) -> dict[tuple[str, int, int], float]:
    """Seconds of training of each protocol, seed and fold, over all calls that the history is of."""
    seconds: dict[tuple[str, int, int], float] = {}
    for row in rows:
        place = row["protocol"], row["seed"], row["fold"]
        seconds[place] = seconds.get(place, 0.0) + float(row["seconds"])
    return seconds
