"""From what folds tested to the result of a protocol."""

from collections.abc import Sequence

import numpy as np

from experiments.fit_all import Fit
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.protocols import Plan, audit


def collect(experiment: Experiment, clips: Clips, plans: Sequence[Plan], fits: Sequence[Fit]) -> ProtocolResult | None:
    """Joins the folds of one protocol over all seeds; None where none has a finite loss.

    Args:
        experiment: validated.
        clips: the corpus.
        plans: of the protocol, one for each seed.
        fits: of its folds; those whose loss was not finite tested nothing, and are in `folds` with their reason.
    """
    tested = [fit for fit in fits if fit.result.probabilities is not None]
    if not tested:
        return None
    parts = [(plans[fit.summary.seed - experiment.seed], fit.result.item) for fit in tested]
    clip = np.concatenate([plan.clip[item] for plan, item in parts])
    sizes = [len(item) for _, item in parts]
    best = [fit.result.test_best for fit in tested]
    return ProtocolResult(
        protocol=plans[0].protocol,
        corpus=experiment.corpus,
        provenance=clips.provenance,
        clip_id=tuple(clips.clip_id[i] for i in clip),
        subject=tuple(clips.subject[i] for i in clip),
        fold=np.repeat([fit.summary.fold for fit in tested], sizes),
        copy=np.concatenate([plan.copy[item] for plan, item in parts]),
        seed=np.repeat([fit.summary.seed for fit in tested], sizes),
        true=clips.label[clip].astype(int),
        probabilities=np.concatenate([fit.result.probabilities for fit in tested]).astype(np.float64),
        class_names=clips.class_names,
        model=type(experiment.model).__name__,
        description=plans[0].description,
        corpora=tuple(clips.corpus[i] for i in clip) if len(set(clips.corpus)) > 1 else (),
        audit=_mean_audit([audit(plan, clips.subject) for plan in plans]),
        folds=tuple(fit.summary for fit in fits),
        test_best=None if any(each is None for each in best) else np.concatenate([each.probabilities for each in best]),
    )


def _mean_audit(audits: Sequence[dict[str, float | int | str]]) -> dict[str, float | int | str]:
    """Shares as means over the seeds' plans, which differ where folds are drawn."""
    mean = {key: float(np.mean([each[key] for each in audits])) for key in audits[0] if "_in_" in key}
    return {**audits[0], **mean, "test_items": sum(each["test_items"] for each in audits)}
