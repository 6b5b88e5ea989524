"""Weights to hand on: trained on all people, for as many epochs as the folds chose."""

import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.errors import CheckpointError, ConfigError, NonFiniteLossError
from mer_jax.evaluation.results import FoldSummary
from mer_jax.protocols import Fold, Plan
from mer_jax.system.machine import one_blas_thread
from mer_jax.training.checkpoint import FoldCheckpoints, read_weights
from mer_jax.training.fit import Callbacks, fit_lanes
from mer_jax.training.pretrained import Pretrained, check_pretrained, make_fit, people_of, variables_of
from mer_jax.training.program import check_clips, make_program
from mer_jax.training.train import Stop, checkpoint_folder, fingerprint, is_baseline

PROTOCOL = "final"  # names the checkpoints


def median_epoch(folds: Sequence[FoldSummary]) -> int:
    """Returns the median of the epochs whose weights the folds tested; of an even number the lower middle one.

    Args:
        folds: Of one protocol under all seeds.

    Raises:
        ConfigError: No fold has a finite loss.
    """
    chosen = [fold.best_epoch for fold in folds if not fold.missing]
    if not chosen:
        raise ConfigError("no fold chose an epoch; expected one with a finite loss, to know how long to train")
    return max(1, statistics.median_low(chosen))


def train_on_all(
    experiment: Experiment,
    clips: Clips,
    *,
    epochs: int,
    online_augmentation: bool = True,
    checkpoints: str | Path | None = None,
    callbacks: Callbacks | None = None,
    pretrained: Pretrained | None = None,
) -> Any:
    """Trains on all clips, without validation or test.

    The learning-rate schedule is that of the folds, and is left after `epochs` epochs as they left it.

    Args:
        experiment: Validated; its protocols are not used, its first seed is.
        clips: The corpus.
        epochs: How long, see `median_epoch`; not used by a baseline, which has no epochs.
        online_augmentation: Whether every epoch augments anew, as in the plan of the folds.
        checkpoints: Folder of checkpoints, from which an interrupted training continues; None keeps none.
        callbacks: Training callbacks; the lane has the protocol `final`.
        pretrained: Model that training starts from, see `mer_jax.train`.

    Returns:
        Variables of the network as NumPy arrays; of a baseline a dict of `weights` and `bias`. None in processes other
        than the first.

    Raises:
        ConfigError: The experiment does not go with the clips.
        NonFiniteLossError: The loss was not finite.
        CheckpointError: A checkpoint is of another experiment, or cannot be written.
    """
    check_clips(experiment.model, clips)
    check_pretrained(experiment, clips, pretrained)
    if is_baseline(experiment.model):
        features = experiment.model.features(clips.pictures)
        with one_blas_thread():
            if pretrained is None:
                weights, bias = experiment.model.fit(features, clips.label, experiment.seed)
            else:
                (weights, bias), _ = make_fit(experiment.model, pretrained)(features, clips.label, people_of(clips))
        return {"weights": weights, "bias": bias}
    experiment = dataclasses.replace(experiment, selection="last", diagnostic="", validation_share=0.0, num_seeds=1)
    program = make_program(
        experiment,
        clips,
        [_plan_all(clips, online_augmentation)],
        last_epoch=epochs,
        initial=variables_of(pretrained),
    )
    identity = f"{fingerprint(experiment, clips)} {epochs}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = checkpoint_folder(Path(checkpoints or scratch).expanduser(), PROTOCOL, experiment.seed, 0)
        results = fit_lanes(
            program,
            [0],
            open_checkpoints=lambda lane: FoldCheckpoints(folder, identity),
            callbacks=Stop(callbacks or Callbacks()),
        )
        if results[0].probabilities is None:
            raise NonFiniteLossError(
                f"the training on all clips has no result, at learning rate {experiment.learning_rate:g}: "
                f"{results[0].stop_reason}. Lower --config.learning_rate, or take the weights of the folds with "
                "--final=ensemble"
            )
        return _read(folder) if jax.process_index() == 0 else None


def read_folds(checkpoints: Path, protocol: str, folds: Sequence[FoldSummary]) -> list[Any]:
    """Reads the weights that the folds of a protocol tested: the members of an ensemble.

    Args:
        checkpoints: Folder of the checkpoints of all folds.
        protocol: Name of the protocol.
        folds: Of this protocol under all seeds; those without a result are left out.

    Raises:
        CheckpointError: The weights of a fold cannot be read.
    """
    return [_read(checkpoint_folder(checkpoints, protocol, fold.seed, fold.fold)) for fold in folds if not fold.missing]


def _read(folder: Path) -> Any:
    weights = read_weights(folder)
    if weights is None:
        raise CheckpointError(f"the weights in {folder} cannot be read; the same command with --resume trains them")
    return weights


def _plan_all(clips: Clips, online_augmentation: bool) -> Plan:
    """One fold that trains on every clip. A fold tests something, so a copy of the first clip stands in; unused."""
    number = len(clips)
    is_train = np.arange(number + 1) < number
    return Plan(
        protocol=PROTOCOL,
        description="All clips train; nothing is tested.",
        clip=np.append(np.arange(number), 0),
        copy=np.zeros(number + 1, int),
        folds=(Fold("all", is_train, np.zeros(number + 1, bool), ~is_train),),
        online_augmentation=online_augmentation,
        disjoint_by="item",
    )
