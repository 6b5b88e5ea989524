"""The description of a model that was trained here: what the folds say of it."""

from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError
from mer_jax.evaluation.calibration import ece
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.evaluation.temperature import (
    apply_temperature,
    calibrate_strangers,
    choose_threshold,
    fit_temperature,
    tabulate_answers,
)
from mer_jax.prediction.description import ModelDescription
from mer_jax.training.train import fingerprint, is_baseline

_SCORES = (
    "corpus", "provenance", "protocol", "accuracy", "uf1", "uar", "intervals", "chance", "majority", "per_class",
    "n_clips", "n_subjects",
)  # fmt: skip


def describe_trained(
    experiment: Experiment,
    clips: Clips,
    result: ProtocolResult,
    *,
    method: str,
    epochs: int,
    members: int = 1,
) -> ModelDescription:
    """Describes a model by what it was trained on and by the answers of the folds about people they had not seen.

    Args:
        experiment: What was trained.
        clips: The corpus.
        result: Of a protocol that keeps people apart, with probabilities.
        method: How the weights were made, in words.
        epochs: How long they were trained; 0 for a baseline.
        members: Sets of weights.

    Raises:
        ConfigError: The result has no probabilities, or is of a protocol that does not keep people apart.
    """
    true, probabilities = _answers_about_strangers(result)
    temperature = fit_temperature(probabilities, true)
    calibrated = apply_temperature(probabilities, temperature)
    return ModelDescription(
        name=experiment.name,
        kind="linear" if is_baseline(experiment.model) else "network",
        architecture=experiment.to_dict()["model"],
        members=members,
        class_names=clips.class_names,
        view=find_view(experiment.model).name,
        normalization=experiment.normalization,
        precision=experiment.precision,
        num_frames=experiment.vision.num_frames if clips.kind != "faces" and experiment.vision else clips.num_frames,
        vision=experiment.vision,
        temperature=temperature,
        threshold=choose_threshold(tabulate_answers(calibrated, true)),
        provenance=clips.provenance,
        training={
            "corpus": result.corpus,
            "corpora": sorted(set(clips.corpus)),
            "clips": len(clips),
            "people": clips.num_subjects,
            "class_counts": dict(zip(clips.class_names, clips.class_counts().tolist(), strict=True)),
            "method": method,
            **_describe_pretraining(experiment),
            "epochs": epochs,
            "seed": experiment.seed,
            "fingerprint": clips.fingerprint,
            "experiment": fingerprint(experiment, clips),
        },
        expected=[expected_scores(result)],
    )


def expected_scores(result: ProtocolResult) -> dict[str, Any]:
    """What to expect of a model on people that it has not seen, from the folds, as an entry of `model.json`.

    Args:
        result: As in `describe_trained`.

    Returns:
        The scores of `metrics.json` that a card shows; `calibration`, with `ece_calibrated` of answers that were
        calibrated by the temperature of all other people; `answers`: share and accuracy of what is answered at each
        threshold of that confidence.

    Raises:
        ConfigError: See `describe_trained`.
    """
    true, probabilities = _answers_about_strangers(result)
    calibrated = calibrate_strangers(probabilities, true, result.people)
    entry: dict[str, Any] = {name: value for name, value in result.scores().items() if name in _SCORES}
    entry["note"] = (
        "Each person was tested by weights that were trained without them; the weights of this model may differ from "
        "each of those, and saw all of these people."
    )
    entry["calibration"] = {"ece": ece(probabilities, true), "ece_calibrated": ece(calibrated, true)}
    entry["answers"] = [vars(row) for row in tabulate_answers(calibrated, true)]
    return entry


def _describe_pretraining(experiment: Experiment) -> dict[str, str]:
    start = experiment.pretraining
    if not start.model:
        return {}
    what = {"weights": "weights of", "clips": "clips that taught"}[start.way]
    folder = Path(start.model)  # a card is handed on: places on this machine stay out of it
    name = folder.parent.name if folder.name == "model" else folder.name
    return {"pretrained": f"with the {what} {name}, checksum {start.checksum}"}


def _answers_about_strangers(result: ProtocolResult) -> tuple[np.ndarray, np.ndarray]:
    if result.probabilities is None or len(set(result.people)) < 2:
        raise ConfigError(
            f"protocol {result.protocol} has no probabilities or knows fewer than two people; expected both, to "
            "calibrate a model"
        )
    if result.audit.get("test_subject_in_train"):
        raise ConfigError(
            f"protocol {result.protocol} trains on the people that it tests; expected one that keeps people apart"
        )
    return np.asarray(result.true), np.asarray(result.probabilities, np.float64)
