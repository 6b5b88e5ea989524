"""The benchmarks: that they count right, explain themselves, and run."""

import datetime
import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import configs, paper_net
from benchmarks.timing import median_ratio, report, summarize, time_interleaved
from experiments.config_files import find_config, load_config
from mer_jax.errors import ConfigError

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if "__main__" in p.read_text())


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_network_has_the_weights_that_are_stated():
    half = jax.ShapeDtypeStruct((1, paper_net.FRAMES, paper_net.HEIGHT, paper_net.WIDTH, 1), "float32")
    init = lambda *halves: paper_net.make_model().init(jax.random.key(0), *halves, is_training=False)  # noqa: E731
    weights = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(init, half, half)))
    convolution, dense, fusion = 27 * 32 + 32, 5 * 20 * 42 * 32 * 128 + 128, 256 * 128 + 128 + 128 * 3 + 3
    assert weights == 2 * (convolution + dense) + fusion


def test_flops_are_those_of_the_layers():
    convolution = 2 * (15 * 60 * 126) * 27 * 32
    dense = 2 * (5 * 20 * 42 * 32) * 128
    assert paper_net.count_flops(10, training=False) == 10 * 2 * (convolution + dense)
    assert paper_net.count_flops(10, training=True) == 10 * 2 * (2 * convolution + 3 * dense)


def test_timings_are_interleaved_and_turned_round():
    calls = []
    programs = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = time_interleaved(programs, 2)
    assert "".join(calls) == "ab" + "ab" + "ba"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_a_table_says_what_was_measured(tmp_path, capsys):
    row = {"name": "x"} | summarize([0.2, 0.1, 0.4], clips=8, flops=4e9, peak=1e11)
    report([row, {"name": "y"}], tmp_path / "x.json", notes=["a note"], batch=8)
    printed = capsys.readouterr().out.splitlines()
    assert f"jax {jax.__version__}" in printed[0]
    assert printed[1:] == [
        "| name | median ms | min ms | max ms | clips/s | GFLOP/s | of matrix product |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| x | 200.0 | 100.0 | 400.0 | 40 | 20 | 20 % |",
        "| y |  |  |  |  |  |  |",
        "a note",
    ]
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["batch"] == 8
    assert written["rows"][0]["seconds"] == [0.2, 0.1, 0.4]


def test_ratio_is_the_median_of_rounds():
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 1.0, 2.0]) == 2.0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_explains_itself(name, monkeypatch, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


CONFIG = '''"""A network on SMIC.

Purpose: a test.
Time: not measured yet.
Expect: nothing.
"""

TIME = "Time: not measured yet."
'''


def test_the_time_of_a_config_is_written_into_its_docstring(tmp_path):
    path = tmp_path / "smic_x.py"
    path.write_text(CONFIG)
    configs.write_time(path, 7, datetime.date(2026, 11, 26))
    measured = "Time: at most 7 minutes of training on two cores (benchmarks.configs, 2026-11-26)."
    assert path.read_text() == CONFIG.replace("Time: not measured yet.", measured, 1)
    configs.write_time(path, 1, datetime.date(2026, 12, 1))  # a later measurement replaces it
    assert measured not in path.read_text()
    assert "Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-12-01).\n" in path.read_text()


def test_a_config_without_a_line_for_the_time_is_refused(tmp_path):
    path = tmp_path / "smic_x.py"
    path.write_text(CONFIG.replace("Time: not measured yet.\nExpect", "Expect"))
    with pytest.raises(ConfigError, match="docstring has 0 lines that begin with 'Time:', expected one"):
        configs.write_time(path, 7, datetime.date(2026, 11, 26))


@pytest.mark.parametrize("name", ["smic_stst", "smic_linear"])
def test_what_a_config_costs_is_bounded_by_its_folds_and_epochs(name, monkeypatch):
    monkeypatch.setitem(configs.SIZES, "smic", ((6, 6, 6), 6))
    experiment = load_config(find_config(name))
    costs = configs.measure(experiment, epochs=1)
    assert [cost.protocol for cost in costs] == list(experiment.protocols)
    assert [cost.folds for cost in costs] == [{"subject": 5, "loso": 6}[name] for name in experiment.protocols]
    for cost in costs:
        assert cost.epochs == (200 if name == "smic_stst" else 1)
        assert cost.first_s > 0
        assert cost.epoch_s > 0
        assert cost.most_s == pytest.approx(cost.first_s + cost.folds * cost.epochs * cost.epoch_s)


def test_random_clips_have_the_size_and_shape_of_the_corpus():
    clips = configs.make_random_clips(load_config(find_config("samm_stst")))
    assert (clips.pictures.shape, clips.num_subjects) == ((133, 28, 28, 3), 28)
    assert clips.class_counts().tolist() == [92, 26, 15]
    clips = configs.make_random_clips(load_config(find_config("smic_ha")))
    assert (clips.pictures.shape, clips.num_subjects) == ((164, 18, 128, 128), 16)


def test_the_size_of_every_configured_corpus_is_known():
    corpora = {load_config(path).corpus for path in sorted(configs.CONFIG_FOLDER.glob("*.py"))}
    assert corpora <= set(configs.SIZES)


def test_without_an_accelerator_nothing_is_claimed():
    assert run("accelerator") == (
        "there is no GPU or TPU here, so nothing was measured; run this on a machine that has one\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "accelerator --anyway --batch 2 --rounds 1",
        "augmentation --batch 2 --rounds 1",
        "conv_pool --batch 1 --rounds 1 --direct",
        "inference --batch 2 --rounds 1",
        "input --batch 2 --rounds 1",
        "peers --batch 1 --rounds 1",
        "protocol --folds 3 --per_subject 3 --batch 4 --rounds 1",
        "train_step --batch 2 --rounds 1 --direct",
    ],
)
def test_benchmarks_run(command, tmp_path):
    name, *arguments = command.split()
    printed = run(name, *arguments, "--json", str(tmp_path / "x.json"))
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["machine"] == printed.splitlines()[0]
    assert all(row["median_s"] > 0 for row in written["rows"])
