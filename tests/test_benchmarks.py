"""The benchmarks: that they count right, explain themselves, and run."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import paper_net
from benchmarks.timing import median_ratio, report, summarize, time_interleaved

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
