"""Fits a baseline on every fold of every protocol of a run: seconds each, without epochs or checkpoints."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.fit_all import Fit
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.results import FoldSummary
from mer_jax.protocols import Plan, refuse_copies
from mer_jax.training.train import FoldResult


def fit_baselines(experiment: Experiment, clips: Clips, plans: Mapping[str, Sequence[Plan]]) -> dict[str, list[Fit]]:
    """Fits and tests every fold of every protocol under every seed.

    A baseline chooses no epoch, so the validation clips of a fold are trained on, too.

    Args:
        experiment: validated; its model is one of `mer_jax.baselines`.
        clips: the corpus, of the kind that the baseline takes.
        plans: by protocol, one for each seed.

    Returns:
        By protocol, in the order of seeds and folds.

    Raises:
        ConfigError: a protocol of augmented copies, which baselines are not made of.
    """
    for each in plans.values():
        refuse_copies(each[0], type(experiment.model).__name__)
    features = experiment.model.features(clips.pictures)
    return {
        name: [
            _fit_fold(experiment, clips.label, features, plan, experiment.seed + number, fold)
            for number, plan in enumerate(each)
            for fold in range(len(plan.folds))
        ]
        for name, each in plans.items()
    }


def _fit_fold(experiment: Experiment, labels, features, plan: Plan, seed: int, number: int) -> Fit:
    fold, start = plan.folds[number], time.perf_counter()
    train = plan.clip[fold.train | fold.validation]
    item = np.flatnonzero(fold.test)
    probabilities = experiment.model.fit_predict(features[train], labels[train], features[plan.clip[item]], seed)
    summary = FoldSummary(
        fold=number,
        name=fold.name,
        seed=seed,
        epochs_run=0,
        best_epoch=0,
        seconds=round(time.perf_counter() - start, 2),
        stop_reason="no epochs",
    )
    return Fit(plan.protocol, FoldResult(item, probabilities.astype(np.float32), 0, 0, summary.stop_reason), summary)
