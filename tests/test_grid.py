"""The grid's bookkeeping; what a run does is in test_run.py. Slow: a grid that is killed, and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import grid
from experiments.tables import write_tables
from mer_jax.errors import ConfigError

pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method is deprecated:DeprecationWarning")

ROOT = Path(__file__).parents[1]
TINY = [
    "--config.surrogate_clips=18", "--config.surrogate_subjects=6", "--config.surrogate_difficulty=easy",
    "--config.num_copies=1", "--config.batch_size=16", "--config.epochs=2", "--config.min_epochs=1",
    "--config.epochs_per_chunk=1", "--config.model.features=2", "--config.model.path_dense=8",
    "--config.model.fusion_dense=8",
]  # fmt: skip


def make(*arguments):
    return grid.make_grid(*grid.parse(arguments))


def test_the_grid_is_table_1():
    runs = grid.list_runs({})
    assert len(runs) == len({run.name for run in runs}) == 64
    assert len([run for run in runs if run.corpus == "smic"]) == 16
    assert {dict(run.settings)["epochs"] for run in runs} == {"200", "250"}
    assert len(grid.list_runs({}, baseline=True)) == 80
    assert grid.describe_grid({}, baseline=False)["as_published"]


def test_an_overridden_axis_is_one_value_and_everything_says_so():
    runs = grid.list_runs({"epochs": "3"})
    assert len(runs) == 32
    assert runs[0].name == "casme_squared_dp_b80_e3"
    described = grid.describe_grid({"epochs": "3", "seed": "1"}, baseline=False)
    assert described["changed"] == {"epochs": "3 instead of 200 and 250", "seed": "1"}
    assert not described["as_published"]


def test_every_run_is_published_settings_by_an_ordinary_command(tmp_path):
    made = make("--out", str(tmp_path), "--only", "^smic_ha_b100_e250$", "--config.seed=3")
    (run,) = made.runs
    command = made.command(run)
    assert command[1:5] == ["-m", "experiments.run", "--config", "smic_ha.py"]
    fields = ["batch_size=100", "epochs=250", "seed=3", "patience=0", "protocols=('paper','loso')"]
    assert {f"--config.{field}" for field in fields} <= set(command)
    assert command[-3:] == ["--workdir", str(tmp_path / "smic_ha_b100_e250"), "--resume"]


@pytest.mark.parametrize("shards", [1, 3, 8, 64, 100])
def test_shards_share_the_runs_without_remainder(shards):
    runs = grid.list_runs({})
    parts = [grid.select_runs(runs, shard=f"{i}/{shards}") for i in range(shards)]
    assert sorted(run.name for part in parts for run in part) == sorted(run.name for run in runs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_mix_long_and_short_runs():
    for i in range(4):
        part = grid.select_runs(grid.list_runs({}), shard=f"{i}/4")
        assert 4 <= sum(dict(run.settings)["epochs"] == "250" for run in part) <= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "8/8"], "got --shard 8/8; expected i/n with i from 0 to n - 1"),
        (["--shard", "1"], "got --shard 1; expected i/n"),
        (["--only", "smic_hq"], "--only smic_hq matches no run; expected part of a name such as"),
        (["--only", "("], r"got --only \(, which is no regular expression"),
        (["--jobs", "0"], "got --jobs 0; expected 1 or more"),
        (["--epochs=3"], "got '--epochs=3'; expected a flag of --help, or --config"),
        (["--config.epoch=3"], "unknown field 'epoch' of config; did you mean 'epochs'"),
        (["--config.epochs=3"], "got epochs=3 and min_epochs=40"),
        (["--config.protocols=('paper','lose')"], "unknown protocol 'lose'; did you mean 'loso'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make(*arguments)


def test_a_folder_of_another_grid_is_refused(tmp_path):
    grid.open_grid(tmp_path, grid.describe_grid({"seed": "1"}, baseline=True))
    grid.open_grid(tmp_path, grid.describe_grid({"seed": "1"}, baseline=False))
    assert json.loads((tmp_path / "grid.json").read_text())["baseline"]
    with pytest.raises(ConfigError, match="holds a grid with seed=1; this call has the published settings"):
        grid.open_grid(tmp_path, grid.describe_grid({}, baseline=False))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"got --out .*which is a file; expected a folder"):
        grid.open_grid(tmp_path / "file", grid.describe_grid({}, baseline=False))


def call(out, data_dir, *arguments, **options):
    command = [sys.executable, "-m", "experiments.grid", "--out", str(out), "--data_dir", str(data_dir), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, **options)


def test_a_run_that_fails_stops_no_other_and_its_reason_is_told(tmp_path):
    (tmp_path / "nothing").mkdir()
    done = call(
        tmp_path / "g", tmp_path / "d", "--only", "(smic|samm)_ha_b80_e200", "--manual_dir", str(tmp_path / "nothing"),
        "--jobs", "2",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: 2 of 2 runs failed; the others are done\n       smic_ha_b80_e200: ")
    assert done.stderr.count("nothing") >= 2, "the runs' own reasons"
    assert "Traceback" not in done.stderr
    assert (tmp_path / "g" / "tables" / "table3.md").exists()


def test_tables_of_nothing_are_dashes_and_of_no_grid_an_error(tmp_path):
    grid.open_grid(tmp_path, grid.describe_grid({}, baseline=False))
    page = write_tables(tmp_path).read_text()
    assert "93.95" in page
    assert "SURROGATE" not in page, "published numbers alone"
    with pytest.raises(ConfigError, match=r"has no grid\.json"):
        write_tables(tmp_path / "tables")


@pytest.mark.slow
def test_a_killed_grid_goes_on_and_ends_the_same(tmp_path):
    options = ["--only", "smic_(ha|dp)_", *TINY]
    whole = call(tmp_path / "whole", tmp_path / "data", *options)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "experiments.grid", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen([*command, "--data_dir", str(tmp_path / "data"), *options], cwd=ROOT)
    second = tmp_path / "killed" / "smic_ha_b16_e2" / "history.jsonl"
    for _ in range(1200):
        if second.exists() and second.read_text():
            break
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)  # the run in hand lives on: the next call has to wait for it
    process.wait()
    again = call(tmp_path / "killed", tmp_path / "data", *options)
    assert again.returncode == 0, again.stderr
    assert "1 of 2 runs are finished" in again.stdout
    for name in ("smic_dp_b16_e2", "smic_ha_b16_e2"):
        paths = [tmp_path / part / name / "predictions.csv" for part in ("whole", "killed")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    third = call(tmp_path / "killed", tmp_path / "data", *options)
    assert "2 of 2 runs are finished" in third.stdout
    assert "the runs took 0 s" in third.stdout
    table = (tmp_path / "killed" / "tables" / "table3.md").read_text()
    assert table.startswith("**SURROGATE")
    assert "Not as published: " in table
    assert "epochs: 2 instead of 200 and 250" in table
