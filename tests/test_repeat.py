"""Repeating a run folder; slow: a real run, twice."""

import json
import re

import pytest

from experiments.config_files import find_config, known_configs, load_config, override
from experiments.repeat import PredictionsDifferError, compare_predictions, read_record
from mer_jax.errors import ConfigError
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.system.files import seal
from tests.toy_results import make_result


def make_run(folder, experiment, **changes):
    folder.mkdir(exist_ok=True)
    write_predictions(folder / "predictions.csv", [make_result("loso", 0.7)])
    plain = {**experiment.to_dict(), **changes}
    config = {"experiment": plain, "fingerprint": "f", "environment": {"commit": "a", "python": "3.11"}}
    (folder / "config.json").write_text(json.dumps(seal(config)))
    return folder


@pytest.mark.parametrize("name", known_configs())
def test_every_config_comes_back_out_of_its_json(tmp_path, name):
    experiment = load_config(find_config(name))
    for field, text in (("protocols", "loso"), ("learning_rate", "3e-4"), ("shift", "0.01"), ("num_frames", "20")):
        experiment = override(experiment, field, text)
    record = read_record(make_run(tmp_path, experiment))
    assert record.experiment.to_dict() == experiment.to_dict()
    assert type(record.experiment.model) is type(experiment.model)
    assert record.experiment.model == experiment.model
    assert isinstance(record.experiment.protocols, tuple)


def test_what_cannot_be_repeated_is_told(tmp_path):
    experiment = load_config(find_config("smic_ha.py"))
    with pytest.raises(
        ConfigError, match=r"is not a run folder: No such file or directory: .*; expected its config.json"
    ):
        read_record(tmp_path / "none")
    with pytest.raises(ConfigError, match="has a field dropped, which Experiment lacks"):
        read_record(make_run(tmp_path, experiment, dropped=3))
    model = {**experiment.to_dict()["model"], "class": "HybridAtention3DNet"}
    with pytest.raises(
        ConfigError, match=r"HybridAtention3DNet, which is in neither .* did you mean 'HybridAttention3DNet'"
    ):
        read_record(make_run(tmp_path, experiment, model=model))
    (tmp_path / "predictions.csv").unlink()
    with pytest.raises(ConfigError, match=r"holds no predictions\.csv to compare with; finish that run"):
        read_record(tmp_path)


def test_predictions_are_compared_row_by_row(tmp_path):
    experiment = load_config(find_config("smic_ha.py"))
    first, second = (make_run(tmp_path / name, experiment) for name in "ab")
    assert compare_predictions(first, second) == "repeated: predictions.csv is identical, 164 rows"
    path = second / "predictions.csv"
    lines = path.read_text().splitlines()
    lines[3] = re.sub(r"0\.(\d)", r"0.0\1", lines[3], count=1)
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(PredictionsDifferError) as caught:
        compare_predictions(first, second)
    message = str(caught.value)
    assert "of 163 rows that both have, 1 differ, 0 of them in the predicted class" in message
    assert "1 rows are in the first alone, 0 in the second" in message
    assert "Versions, commit and device are the same" in message
