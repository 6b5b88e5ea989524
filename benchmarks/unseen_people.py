"""Calibration and accuracy of a trained model on unseen rendered people.

    python -m benchmarks.unseen_people MODEL --config smic_ha.py [--seeds 1 2] [--json FILE]
        [--config.<field>=value ...]

Renders the surrogate corpus of the config with other seeds, so with other people, prepares it like the training data
(in a folder `unseen_people` of --data_dir), and lets the model answer. MODEL is what `mer_jax.load` takes, such as the
run folder of that config. For each seed: accuracy, UF1, the expected calibration error of the model, of the same
network with temperature 1 and, where MODEL is a run folder, with the temperature of the highest likelihood on the
answers of the run's folds; the share of clips that get an answer at the model's own threshold, and the accuracy of
these answers.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import make_parser, report
from datasets.build import default_data_dir
from datasets.load import load_corpus
from experiments.config_files import find_config, load_config, override, split_overrides
from mer_jax.cli.command import expand_path, run_command
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError
from mer_jax.evaluation import metrics
from mer_jax.evaluation.calibration import ece
from mer_jax.evaluation.predictions import read_predictions
from mer_jax.evaluation.temperature import apply_temperature, fit_temperature
from mer_jax.prediction.model import TrainedModel, load


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    plain, overrides = split_overrides(sys.argv[1:])
    parser = make_parser(__doc__)
    parser.add_argument("model", help="a model folder, a run folder, or the name of a shipped model")
    parser.add_argument("--config", required=True, help="config file of the model's training data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the rendered people (default: 1 2)")
    parser.add_argument("--data_dir", type=expand_path, default=default_data_dir(), help="where built corpora are kept")
    arguments = parser.parse_args(plain)
    experiment = load_config(find_config(arguments.config))
    for field, text in overrides:
        experiment = override(experiment, field, text)
    if experiment.surrogate_seed in arguments.seeds:
        raise ConfigError(
            f"got --seeds with {experiment.surrogate_seed}, the people that taught the model; expected other seeds"
        )
    model = load(arguments.model)
    likeliest = fit_likelihood(Path(arguments.model))
    rows, notes = [], []
    for seed in arguments.seeds:
        clips, _ = load_corpus(
            dataclasses.replace(experiment, surrogate_seed=seed),
            data_dir=arguments.data_dir / "unseen_people",
            say=lambda line: print(line, file=sys.stderr),
        )
        if clips.provenance != "surrogate":
            raise ConfigError("got MER_MANUAL_DIR; expected none: unseen people are rendered")
        rows.append({"name": f"SURROGATE people of seed {seed}", **measure(model, clips, likeliest)})
        notes.append(f"SURROGATE: seed {seed}: {len(clips)} clips of {clips.num_subjects} rendered people")
    report(rows, arguments.json, notes=notes, model=model.description.name, config=Path(arguments.config).name)


def fit_likelihood(run: Path) -> float | None:
    """Fits the maximum-likelihood temperature to the folds of a run; None if `run` is not a run folder."""
    if not (run / "predictions.csv").is_file():
        return None
    results = [each for each in read_predictions(run / "predictions.csv") if each.protocol == "subject"]
    return (
        fit_temperature(results[0].probabilities, np.asarray(results[0].true), loss="likelihood") if results else None
    )


def measure(model: TrainedModel, clips: Clips, likeliest: float | None) -> dict[str, Any]:
    """Scores of a model and of its confidences on labelled clips.

    Args:
        model: With the class names of the clips.
        clips: Of people that did not teach it.
        likeliest: A temperature to compare with.
    """
    if clips.class_names != model.class_names:
        raise ConfigError(
            f"the model answers {', '.join(model.class_names)} and the clips have {', '.join(clips.class_names)}; "
            "expected the config that the model was trained with"
        )
    calibrated = model.probabilities(clips.pictures)
    others = {"temperature 1": 1.0} | ({"highest likelihood": likeliest} if likeliest else {})
    raw = apply_temperature(calibrated, 1 / model.description.temperature)
    confusion = metrics.confusion_matrix(clips.label, calibrated.argmax(1), len(clips.class_names))
    is_right, is_answered = calibrated.argmax(1) == clips.label, calibrated.max(1) >= model.description.threshold
    scores = {
        "accuracy": np.mean(is_right),
        "UF1": metrics.uf1(confusion),
        "calibration error": ece(calibrated, clips.label),
        **{f"calibration error, {name}": ece(apply_temperature(raw, t), clips.label) for name, t in others.items()},
        "answered": np.mean(is_answered),
    }
    if is_answered.any():
        scores["accuracy of answers"] = np.mean(is_right[is_answered])
    return {name: round(float(value), 4) for name, value in scores.items()}


if __name__ == "__main__":
    sys.exit(run_command(main, on_interrupt="interrupted; nothing was written"))
