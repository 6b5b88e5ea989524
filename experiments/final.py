"""The model of a run: weights to hand on, in `<run folder>/model`."""

import time
from collections.abc import Callable
from pathlib import Path

import jax

from experiments.progress import FoldProgress, RunProgress
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.gap import find_honest
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.prediction.classifier import flatten_members
from mer_jax.prediction.model_folder import write_model
from mer_jax.prediction.trained import describe_trained
from mer_jax.training.final import median_epoch, read_folds, train_on_all
from mer_jax.training.fit import Callbacks, FoldResult
from mer_jax.training.pretrained import Pretrained
from mer_jax.training.program import Lane
from mer_jax.training.train import Results, is_baseline

WAYS = ("all", "ensemble", "none")
FOLDER = "model"


def write_final(
    run: Path,
    checkpoints: Path,
    experiment: Experiment,
    clips: Clips,
    results: Results,
    *,
    way: str,
    pretrained: Pretrained | None = None,
    progress: RunProgress,
    say: Callable[[str], None],
) -> Path | None:
    """Trains the weights that are handed on, and writes the model folder of a run.

    Args:
        run: Run folder.
        checkpoints: Folder of the checkpoints of all folds; those of the training on all people are kept there too.
        experiment: Of the run.
        clips: The corpus.
        results: Of all folds.
        way: `all` trains on all people for the median of the epochs that the folds chose; `ensemble` takes the weights
            of the folds; `none` writes nothing.
        pretrained: What the folds started from.
        progress: Shows the training.
        say: Takes lines for the user.

    Returns:
        The model folder; None where none was written, with the reason in a line.
    """
    if way == "none":
        return None
    result = _find_result(results)
    if result is None:
        say("no model: no protocol of this run keeps people apart, so nothing says what to expect of one")
        return None
    folds = results.folds[result.protocol]
    baseline = is_baseline(experiment.model)
    epochs = 0 if baseline else median_epoch(folds)
    start = time.monotonic()
    if way == "ensemble" and not baseline:
        members = [] if jax.process_index() != 0 else read_folds(checkpoints, result.protocol, folds)
        method = f"the weights of the {len(members)} folds of protocol {result.protocol}"
    else:
        online = results.plans[result.protocol][0].online_augmentation
        shown = _FinalProgress(progress, clips.num_subjects)
        members = [
            train_on_all(
                experiment,
                clips,
                epochs=epochs,
                online_augmentation=online,
                checkpoints=checkpoints,
                callbacks=shown,
                pretrained=pretrained,
            )
        ]
        method = "trained on all people" + (
            "" if baseline else f" for the median of the epochs that the folds of protocol {result.protocol} chose"
        )
    if jax.process_index() != 0:  # the first process has the weights
        return None
    description = describe_trained(experiment, clips, result, method=method, epochs=epochs, members=len(members))
    folder = write_model(run / FOLDER, description, flatten_members(members))
    say(f"model: {folder} ({method}; {time.monotonic() - start:.0f} s)")
    return folder


def _find_result(results: Results) -> ProtocolResult | None:
    name = find_honest({result.protocol: result.scores() for result in results.values()})
    if name is None or len(set(results[name].people)) < 2:
        return None
    return results[name]


class _FinalProgress(Callbacks):
    """Shows the training on all people as one fold more."""

    def __init__(self, progress: RunProgress, num_people: int):
        self._progress, self._num_people = progress, num_people
        self._fold: FoldProgress | None = None

    def on_start(self, lane: Lane, epoch: int) -> None:
        del lane
        self._fold = self._progress.start_fold(f"model trained on all {self._num_people} people")
        self._fold.restore(epoch)

    def on_epochs(self, lane: Lane, rows: list[dict[str, float]]) -> None:
        del lane
        if self._fold is not None:
            self._fold.update(rows)

    def on_result(self, lane: Lane, result: FoldResult) -> None:
        del lane
        self._progress.say(
            f"{self._progress.prefix}model trained on all {self._num_people} people: {result.epochs} epochs"
        )

    def on_message(self, text: str) -> None:
        self._progress.say(text)
