"""Clips that a report explains: one of each class, by the network that had not seen its person."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.examples import find_answers
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.prediction.classifier import flatten_members
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.result import Prediction
from mer_jax.training.checkpoint import read_weights

if TYPE_CHECKING:
    from mer_jax.explain.explanation import Explanation

FAMILY = "the paper's"  # of networks whose maps take a second; `mer explain` explains the others
DRAWS = 2  # random networks of the check


def pick_explained(
    experiment: Experiment,
    clips: Clips,
    result: ProtocolResult,
    checkpoint_folder: Callable[[str, int, int], Path],
    hidden: Collection[int] = (),
) -> "list[Explanation]":
    """Explains the recognised clip of median certainty of each class.

    Args:
        experiment: Validated.
        clips: The corpus.
        result: Result of a protocol that tests original clips, without copies.
        checkpoint_folder: Protocol, seed and fold -> folder of the checkpoints.
        hidden: Positions of clips whose faces must not be shown.

    Returns:
        The explanations; none for clips without faces, and for networks whose maps would hold up the report.
    """
    if clips.kind != "faces" or getattr(experiment.model, "family", None) != FAMILY:
        return []
    from mer_jax.explain.clip import explain_pictures, make_explained, make_inputs

    explanations, explained = [], None
    for label, class_name in enumerate(result.class_names):
        rows = find_answers(clips, result, label, label, hidden)
        if not len(rows):
            continue
        certainty = result.probabilities[rows, label]
        row = int(rows[np.argsort(certainty, kind="stable")[(len(rows) - 1) // 2]])
        weights = read_weights(checkpoint_folder(result.protocol, int(result.seed[row]), int(result.fold[row])))
        if weights is None:  # a checkpoint that cannot be read costs its picture, not the report
            continue
        model = _make_model(experiment, clips, weights)
        pictures = clips.pictures[clips.clip_id.index(result.clip_id[row])]
        own = make_explained(model, make_inputs(model, pictures))
        explained = own if explained is None else explained.with_members(own)
        explanations.append(
            explain_pictures(
                model,
                pictures,
                name=result.clip_id[row],
                prediction=Prediction(
                    label=class_name,
                    best_guess=class_name,
                    probabilities=dict(zip(result.class_names, result.probabilities[row].tolist(), strict=True)),
                    confidence=float(result.probabilities[row, label]),
                    provenance=clips.provenance,
                ),
                draws=DRAWS,
                depths=1,
                signed_only=True,
                explained=explained,
            )
        )
    return explanations


def _make_model(experiment: Experiment, clips: Clips, weights: dict) -> TrainedModel:
    """The network of one fold."""
    description = ModelDescription(
        name=experiment.name,
        kind="network",
        architecture=experiment.to_dict()["model"],
        class_names=clips.class_names,
        view=experiment.model.view,
        normalization=experiment.normalization,
        num_frames=clips.num_frames,
        vision=experiment.vision,
        provenance=clips.provenance,
        training={"corpus": clips.corpus_name},
    )
    return TrainedModel(description, flatten_members([weights]), network=experiment.model)
