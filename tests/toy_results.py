"""Toy results of a network on a corpus like SMIC, for tests of evaluation and reports."""

import numpy as np

from mer_jax.evaluation.results import FoldSummary, ProtocolResult
from mer_jax.protocols import audit, make_plan
from mer_jax.report.figures import FaceExample
from mer_jax.report.mistakes import ShownClip

NAMES = ("negative", "positive", "surprise")


def smic_like():
    """164 clips of 16 subjects, 70/51/43, as SMIC HS has them."""
    sizes = [6, 6, 39, 19, 2, 4, 13, 4, 7, 9, 10, 9, 10, 5, 4, 17]
    subjects = np.repeat([f"s{i}" for i in range(1, 17)], sizes).tolist()
    return subjects, np.random.default_rng(7).permutation(np.repeat([0, 1, 2], [70, 51, 43]))


def make_result(protocol, skill, provenance="surrogate", seed=0) -> ProtocolResult:
    """What a net that is right with probability `skill`, differently for each person, might predict."""
    subjects, labels = smic_like()
    plan = make_plan(protocol, subjects=subjects, labels=labels, seed=seed, num_copies=4)
    rng = np.random.default_rng(seed + 1)
    tested = [(number, item) for number, fold in enumerate(plan.folds) for item in np.flatnonzero(fold.test)]
    fold, item = np.array(tested).T
    clip = plan.clip[item]
    of_subject = dict(zip(sorted(set(subjects)), rng.normal(skill, 0.1, 16), strict=True))
    right = rng.random(len(clip)) < np.array([of_subject[subjects[each]] for each in clip])
    answer = np.where(right, labels[clip], (labels[clip] + rng.integers(1, 3, len(clip))) % 3)
    logits = rng.normal(0, 0.5, (len(clip), 3))
    logits[np.arange(len(clip)), answer] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return ProtocolResult(
        protocol=protocol,
        corpus="smic",
        provenance=provenance,
        clip_id=tuple(f"{subjects[each]}_clip_{each:03d}" for each in clip),
        subject=tuple(subjects[each] for each in clip),
        fold=fold,
        copy=plan.copy[item],
        seed=np.full(len(clip), seed),
        true=labels[clip],
        probabilities=probabilities.astype(np.float32),
        class_names=NAMES,
        model="HybridAttention3DNet",
        description=plan.description,
        audit=audit(plan, subjects),
        folds=tuple(
            FoldSummary(number, each.name, seed, 60, 42 - number, 31.5, "no lower validation loss for 15 epochs")
            for number, each in enumerate(plan.folds)
        ),
    )


def make_results(provenance="surrogate"):
    return [make_result("paper", 0.88, provenance), make_result("subject", 0.7, provenance)]


def make_history(results):
    rng = np.random.default_rng(0)
    for result in results:
        for fold in result.folds:
            for epoch in range(1, fold.epochs_run + 1):
                train, reach = 1.1 * np.exp(-epoch / 18), 0.9 if result.protocol == "paper" else 0.7
                gap = 0.1 if result.protocol == "paper" else 0.25 + 0.004 * epoch
                yield {
                    "protocol": result.protocol,
                    "fold": fold.fold,
                    "epoch": epoch,
                    "train_loss": train + rng.normal(0, 0.01),
                    "train_accuracy": 1 - 0.66 * np.exp(-epoch / 15),
                    "validation_loss": train + gap + rng.normal(0, 0.03),
                    "validation_accuracy": np.clip(reach - 0.4 * np.exp(-epoch / 12) + rng.normal(0, 0.03), 0, 1),
                }


def make_faces():
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    face = 150 - 60 * (x**2 + y**2) - 70 * (np.hypot(np.abs(x) - 0.4, y + 0.3) < 0.13)
    examples = []
    for number, name in enumerate(NAMES):
        wave = np.sin(np.linspace(0, np.pi, 18))[:, None, None]
        mouth = np.exp(-(((y - 0.5 + 0.1 * number) / 0.1) ** 2) - (x / 0.4) ** 2)
        clip = np.clip(face + (number - 1.2) * 40 * wave * mouth, 0, 255).astype(np.uint8)
        fed = (clip - clip[:1].astype(np.float32)) / 20
        examples.append(FaceExample(name, f"s{number}_{name[:2]}_01", f"s{number}", clip, fed))
    return examples


CONFIG = {"name": "smic_ha", "learning_rate": 1e-3, "model": {"class": "HybridAttention3DNet", "features": 16}}
ENVIRONMENT = {
    "command": "python -m experiments.run --config smic_ha.py --config.seed=0",
    "python": "3.11.9",
    "jax": "0.10.2 on 2 CPU cores",
    "data_fingerprint": "sha256:" + 8 * "0123abcd",
}


def make_shown_clip(spatial=True):
    face = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    attention = np.random.default_rng(0).random((42, 42)), np.ones(6)
    return ShownClip("s1_x", "a", "b", 0.9, face, 7, *(attention if spatial else (None, None)))
