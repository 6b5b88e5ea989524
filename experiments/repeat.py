"""A run folder once more: the experiment out of its config.json, and its predictions beside those of another run."""

import csv
import dataclasses
from pathlib import Path

from experiments.run_folder import read_config
from mer_jax import baselines, models
from mer_jax.config import Experiment, restore_fields
from mer_jax.errors import ConfigError, MerError, near_names
from mer_jax.vision.options import VisionOptions

SHOWN = 5  # rows that differ, in the message


class PredictionsDifferError(MerError):
    """Two runs of one experiment did not predict the same.

    Cause: another device, other versions, or code that changed in between; on one machine with one commit, a fault.
    """


@dataclasses.dataclass(frozen=True)
class Record:
    """What config.json says of a run."""

    experiment: Experiment
    fingerprint: str


def read_record(run: Path) -> Record:
    """Makes the experiment of a run folder again, from its config.json.

    Args:
        run: the folder.

    Returns:
        The experiment, with every field as it was.

    Raises:
        ConfigError: there is no such run, or it has a model or fields that this version does not know.
    """
    config = read_config(run)
    plain, fingerprint = config["experiment"], config["fingerprint"]
    if not (run / "predictions.csv").exists():
        raise ConfigError(f"{run} holds no predictions.csv to compare with; finish that run first, with --resume")
    known = {name: getattr(module, name) for module in (models, baselines) for name in module.__all__}
    name = plain["model"]["class"]
    if name not in known:
        raise ConfigError(
            f"{run} was made with the model {name}, which is in neither mer_jax.models nor mer_jax.baselines; "
            f"{near_names(name, known)}"
        )
    # In a dataclass of the right kind every field tells what it was before it became JSON.
    model = restore_fields(known[name](), plain["model"], run)
    blank = Experiment(name="x", corpus="x", model=model, vision=VisionOptions())
    experiment = restore_fields(blank, {name: value for name, value in plain.items() if name != "model"}, run)
    experiment.validate()
    if experiment.to_dict() != plain:
        differ = [name for name, value in experiment.to_dict().items() if plain.get(name) != value]
        raise ConfigError(
            f"{run} cannot be repeated from its config.json: {', '.join(differ)} would differ; this version has other "
            "fields. Use the commit that config.json names"
        )
    return Record(experiment, fingerprint)


def compare_predictions(first: Path, second: Path) -> str:
    """Compares what two runs predicted.

    Args:
        first: a run folder.
        second: another.

    Returns:
        One line that says that they are the same.

    Raises:
        PredictionsDifferError: they are not; the message says where, and how far apart.
    """
    texts = [(run / "predictions.csv").read_bytes() for run in (first, second)]
    if texts[0] == texts[1]:
        number = len(texts[0].splitlines()) - 1
        return f"repeated: predictions.csv is identical, {number} rows"
    rows = [{_key(row): row for row in csv.DictReader(text.decode().splitlines())} for text in texts]
    common = [key for key in rows[0] if key in rows[1]]
    differing = [key for key in common if rows[0][key] != rows[1][key]]
    answers = [key for key in differing if rows[0][key]["predicted"] != rows[1][key]["predicted"]]
    furthest = max((_distance(rows[0][key], rows[1][key]) for key in differing), default=0.0)
    alone = [len(each) - len(common) for each in rows]
    shown = "; ".join(
        f"{' '.join(key)}: {_shown(rows[0][key])}, then {_shown(rows[1][key])}" for key in differing[:SHOWN]
    )
    environments = [read_config(run)["environment"] for run in (first, second)]
    changed = [name for name in environments[0] if environments[0][name] != environments[1].get(name)]
    raise PredictionsDifferError(
        f"{second} does not repeat {first}: of {len(common)} rows that both have, {len(differing)} differ, "
        f"{len(answers)} of them in the predicted class, probabilities by {furthest:.3g} at most; {alone[0]} rows are "
        f"in the first alone, {alone[1]} in the second. {f'First: {shown}. ' if shown else ''}"
        + (f"Not the same: {', '.join(changed)}" if changed else "Versions, commit and device are the same")
    )


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("protocol", "seed", "fold", "clip_id", "copy"))


def _shown(row: dict[str, str]) -> str:
    return f"{row['predicted']} ({max(_probabilities(row)):.9g})"


def _probabilities(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("p_")]


def _distance(first: dict[str, str], second: dict[str, str]) -> float:
    return max(abs(a - b) for a, b in zip(_probabilities(first), _probabilities(second), strict=True))
