"""From the results of folds to the result of a protocol."""

from collections.abc import Sequence

import numpy as np

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.results import FoldSummary, ProtocolResult
from mer_jax.protocols import Plan, audit
from mer_jax.training.fit import FoldResult


def summarize_folds(
    experiment: Experiment, plans: Sequence[Plan], results: Sequence[FoldResult]
) -> tuple[FoldSummary, ...]:
    """How the training of each fold went, in the order of seeds and folds."""
    places = [(number, index) for number, plan in enumerate(plans) for index in range(len(plan.folds))]
    return tuple(
        FoldSummary(
            fold=index,
            name=plans[number].folds[index].name,
            seed=experiment.seed + number,
            epochs_run=result.epochs,
            best_epoch=result.best_epoch,
            seconds=result.seconds,
            stop_reason=result.stop_reason,
            missing=result.probabilities is None,
            test_best_epoch=result.test_best.epoch if result.test_best else None,
        )
        for (number, index), result in zip(places, results, strict=True)
    )


def collect_folds(
    experiment: Experiment,
    clips: Clips,
    plans: Sequence[Plan],
    results: Sequence[FoldResult],
    folds: Sequence[FoldSummary],
) -> ProtocolResult | None:
    """Joins the folds of one protocol over all seeds; None where none has a finite loss.

    Args:
        experiment: Validated.
        clips: The corpus.
        plans: Plans of the protocol, one for each seed.
        results: Results of all folds; those whose loss was not finite have no predictions.
        folds: From `summarize_folds`.
    """
    tested = [
        (result, result.probabilities, summary)
        for result, summary in zip(results, folds, strict=True)
        if result.probabilities is not None
    ]
    if not tested:
        return None
    parts = [(plans[summary.seed - experiment.seed], result.item) for result, _, summary in tested]
    clip = np.concatenate([plan.clip[item] for plan, item in parts])
    sizes = [len(item) for _, item in parts]
    watched = [result.test_best.probabilities for result, *_ in tested if result.test_best is not None]
    return ProtocolResult(
        protocol=plans[0].protocol,
        corpus=experiment.corpus or clips.corpus_name,
        provenance=clips.provenance,
        clip_id=tuple(clips.clip_id[i] for i in clip),
        subject=tuple(clips.subject[i] for i in clip),
        fold=np.repeat([summary.fold for *_, summary in tested], sizes),
        copy=np.concatenate([plan.copy[item] for plan, item in parts]),
        seed=np.repeat([summary.seed for *_, summary in tested], sizes),
        true=clips.label[clip].astype(int),
        probabilities=np.concatenate([probabilities for _, probabilities, _ in tested]).astype(np.float64),
        class_names=clips.class_names,
        model=type(experiment.model).__name__,
        description=plans[0].description,
        corpora=tuple(clips.corpus[i] for i in clip) if len(set(clips.corpus)) > 1 else (),
        audit=_mean_audit([audit(plan, clips.subject) for plan in plans]),
        folds=tuple(folds),
        test_best=np.concatenate(watched) if len(watched) == len(tested) else None,
    )


def _mean_audit(audits: Sequence[dict[str, float | int | str]]) -> dict[str, float | int | str]:
    """Shares as means over the seeds' plans, which differ where folds are drawn."""
    mean = {key: float(np.mean([float(each[key]) for each in audits])) for key in audits[0] if "_in_" in key}
    return {**audits[0], **mean, "test_items": sum(int(each["test_items"]) for each in audits)}
