"""Baselines in a protocol: features and a classifier, fitted in seconds, without epochs or checkpoints."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mer_jax.baselines.logistic import predict_logistic
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.protocols import Plan, refuse_copies
from mer_jax.system.machine import one_blas_thread
from mer_jax.training.fit import FoldResult
from mer_jax.training.pretrained import Pretrained, make_fit, people_of
from mer_jax.training.program import check_clips


def check_baseline(model: Any, num_frames: int) -> None:
    """Validates a baseline by computing the features of one black clip, before the corpus is read.

    Args:
        model: One of `mer_jax.baselines`.
        num_frames: Frames of a clip.

    Raises:
        ConfigError: A field of the baseline is out of range.
        ShapeError: It cannot take clips of that many frames.
    """
    dims = (num_frames if isinstance(size, str) else size for size in find_view(model).stored_dims())
    model.features(np.zeros((1, *dims), np.uint8))


def fit_baseline(
    experiment: Experiment, clips: Clips, plans: Sequence[Plan], pretrained: Pretrained | None = None
) -> list[FoldResult]:
    """Fits and tests every fold of a protocol under every seed.

    The validation clips of a fold are not used: a baseline is trained on the same clips as the networks beside it.
    `validation_share=0` gives both all others.

    Args:
        experiment: Validated; its model is one of `mer_jax.baselines`.
        clips: The corpus, of the kind that the baseline takes.
        plans: Plans of the protocol, one for each seed.
        pretrained: Model that helps, see `mer_jax.training.pretrained`; None for none.

    Returns:
        Results in the order of seeds and folds.

    Raises:
        ConfigError: A protocol of augmented copies, which baselines do not take; see also `check_clips`.
    """
    check_clips(experiment.model, clips)
    refuse_copies(plans[0], type(experiment.model).__name__)
    features, people = experiment.model.features(clips.pictures), people_of(clips)
    helped = None if pretrained is None else make_fit(experiment.model, pretrained)
    results = []
    for number, plan in enumerate(plans):
        for fold in plan.folds:
            start = time.perf_counter()
            train, item = plan.clip[fold.train], np.flatnonzero(fold.test)
            test, reason = features[plan.clip[item]], "no epochs"
            with one_blas_thread():
                if helped is None:
                    probabilities = experiment.model.fit_predict(
                        features[train], clips.label[train], test, experiment.seed + number
                    )
                else:
                    linear, reason = helped(features[train], clips.label[train], [people[clip] for clip in train])
                    probabilities = predict_logistic(test, *linear)
            results.append(
                FoldResult(
                    item=item,
                    probabilities=probabilities.astype(np.float32),
                    epochs=0,
                    best_epoch=0,
                    stop_reason=reason,
                    seconds=round(time.perf_counter() - start, 2),
                )
            )
    return results
