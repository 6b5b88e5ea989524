"""Benchmarks: what they count, that they wait for the device, and that each of them runs."""

import dataclasses
import datetime
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import configs, coverage, paper_net, peer_nets, timing
from benchmarks.timing import median_ratio, report, summarize, time_call, time_interleaved
from experiments.config_files import find_config, load_config
from mer_jax.errors import ConfigError
from mer_jax.evaluation import metrics

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if "__main__" in p.read_text())


def run(name, *arguments, **environment):
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    environment = os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
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


class Device:
    """Queues work in 1 s and computes it in 10 s, on a clock of its own."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def program(self, name="a"):
        """A program of this device; its result is ready once it has been waited for."""

        def call():
            self.now += 1
            self.log.append(f"call {name}")
            return {"state": Pending(self, name)}

        return call


class Pending:
    """A result that is not computed yet, as JAX returns it."""

    def __init__(self, device, name):
        self._device, self._name = device, name

    def block_until_ready(self):
        self._device.now += 10
        self._device.log.append(f"wait {self._name}")
        return self


def test_timing_includes_the_computation(monkeypatch):
    assert time_call(Device(monkeypatch).program()) == 11.0


def test_timings_are_interleaved_and_each_waits_for_its_result(monkeypatch):
    device = Device(monkeypatch)
    seconds = time_interleaved({name: device.program(name) for name in "ab"}, 2)
    order = "ab" + "ab" + "ba"  # the first two are not counted
    assert device.log == [f"{event} {name}" for name in order for event in ("call", "wait")]
    assert seconds == {"a": [11.0, 11.0], "b": [11.0, 11.0]}


@pytest.mark.parametrize("training", [True, False])
def test_a_step_of_ours_beside_peers_waits_for_its_result(monkeypatch, training):
    device = Device(monkeypatch)
    make = "make_trainer" if training else "make_predictor"
    monkeypatch.setattr(paper_net, make, lambda implementation, batch: device.program())
    step, _ = peer_nets.make_jax("fused", 2, training=training)
    step()
    assert device.log == ["call a", "wait a"]


@pytest.mark.parametrize("name", ["grid", "memory", "compile_time"])
def test_workers_wait_for_every_step(monkeypatch, capsys, tmp_path, name):
    """Workers time their own process, so they do not go through `time_interleaved`."""
    module, device = importlib.import_module(f"benchmarks.{name}"), Device(monkeypatch)
    monkeypatch.setenv("MER_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(paper_net, "make_trainer", lambda implementation, batch: device.program())
    monkeypatch.setattr(paper_net, "plan_memory", lambda implementation, batch: 0)
    if name == "grid":
        monkeypatch.setattr(module, "keep_freed_memory", lambda: True)
        monkeypatch.setattr(module, "make_loso", lambda *args, **kwargs: None)
        monkeypatch.setattr(module, "make_chunk", lambda *args: device.program())
        module.work(list(module.NETWORKS), per_subject=1, batch=2, rounds=3)
        seconds = json.loads(capsys.readouterr().out)
        assert seconds == {name: [11.0, 11.0] for name in module.NETWORKS}
    elif name == "memory":
        module.work("fused", 2, keep=False)
    else:
        module.work("fused", 2)
        assert json.loads(capsys.readouterr().out)["step"] == 11.0
    assert len(device.log) >= 4
    assert device.log == ["call a", "wait a"] * (len(device.log) // 2)


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
    monkeypatch.setattr(configs, "count_corpus", lambda experiment: ((6, 6, 6), 6))
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


def test_the_size_of_a_corpus_is_that_of_its_scheme():
    sizes = {name: configs.count_corpus(load_config(find_config(name))) for name in ("casme2_ha", "megc2019_oa")}
    # The source of this scheme of CASME II does not state its people: 26 are in the corpus.
    assert sizes == {"casme2_ha": ((90, 32, 25), 26), "megc2019_oa": ((250, 109, 83), 68)}
    unknown = dataclasses.replace(load_config(find_config("smic_ha")), corpus="mmew")
    with pytest.raises(ConfigError, match="no class scheme of mmew states its number of people"):
        configs.count_corpus(unknown)


@pytest.mark.parametrize("population", coverage.POPULATIONS)
@pytest.mark.parametrize("icc", [0.0, 0.1])
def test_simulated_people_have_the_stated_accuracy_and_correlation(population, icc):
    cell = coverage.Cell((8,) * 4000, (70, 51, 43), population, icc, 0.8)
    counts = coverage.draw_people(cell, np.random.default_rng(0))
    right = np.trace(counts, axis1=1, axis2=2)
    share = counts.sum((1, 2)).mean()
    assert (counts.sum((1, 2)) == 8).all()
    assert right.mean() / share == pytest.approx(0.8, abs=0.01)
    # Of 8 clips each: variance of the number of right ones is 8 p q (1 + 7 ICC).
    found = (right.var() / (8 * 0.8 * 0.2) - 1) / 7
    if population != "classes":  # where classes differ in difficulty, and people in their shares of them
        assert found == pytest.approx(icc, abs=0.02)
    np.testing.assert_allclose(counts.sum(0) / counts.sum(), coverage.expected_counts(cell), atol=0.01)


def test_kinds_of_intervals_agree_where_theory_says_so():
    # Many people of one clip each: all kinds are then intervals of a share of independent clips.
    right = np.arange(400) < 300
    counts = metrics.confusion_by_group(np.zeros(400, int), (~right).astype(int), np.arange(400), 2, num_groups=400)
    rng, low, high = np.random.default_rng(0), 0.705, 0.791
    made = {name: method(counts, rng, 0) for name, method in coverage.METHODS.items()}
    made |= coverage.use_bootstrap(counts, rng, 4000)
    for name, bounds in made.items():
        assert bounds["accuracy"] == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006)), name


def test_without_an_accelerator_nothing_is_claimed():
    assert run("accelerator") == (
        "there is no GPU or TPU here, so nothing was measured; run this on a machine that has one\n"
    )


# Every benchmark at its smallest size. Those without `slow` take some seconds.
SMOKE_RUNS = {
    "accelerator": "--anyway --batch 2 --rounds 1",
    "adam": "--networks STSTNet --batch 200 --rounds 1",
    "apex": "--clips 1 --videos 1 --difficulties medium",
    "augmentation": "--batch 2 --rounds 1",
    "compile_time": "--batch 1 --rounds 1",
    "configs": "smic_stst --epochs 1",
    "conv_pool": "--batch 1 --rounds 1 --direct",
    "coverage": "--samples 1 --draws 40",
    "explain": "RUN --clips 2 --draws 1",
    "grid": "--per_subject 1 --batch 8 --rounds 1 --only DualPath3DNet SinglePath3DNet",
    "inference": "--batch 2 --rounds 1",
    "input": "--batch 2 --rounds 1",
    "live": "--seconds 2",
    "long_videos": "--frames 3",
    "main_job": "",
    "memory": "--batch 8",
    "network_protocols": "--networks DualPath3DNet --epochs 1 --clips 24 --protocols loso",
    "one_clip": "--rounds 1 --people 1",
    "predict_long": "--minutes 0.1",
    "peers": "--batch 1 --rounds 1",
    "protocols_beside_peers": "--folds 2 --epochs 1 --batches 200 --rounds 1 --only STSTNet LinearFlow",
    "protocol": "--folds 3 --per_subject 3 --batch 4 --rounds 1",
    "resume": "--epochs 4 --subjects 4 --per_subject 3",
    "real_motion": "--people 4 --clips 6",
    "scaling": "--per_subject 1 --batch 8 --rounds 1 --factors 1 2",
    "small_net": "--batches 2 --rounds 1",
    "folds_at_once": "--folds 1 --rounds 1",
    "spotting": "--difficulty medium --seeds 1 --videos 1 --still 1",
    "train_step": "--batch 2 --rounds 1 --direct",
    "unseen_people": "surrogate-motion --config surrogate_motion.py --seeds 5 --config.corpus=smic "
    "--config.surrogate_clips=12 --config.surrogate_subjects=3",
    "vision": "--clips 1 --rounds 1",
}
FAST = ("apex", "coverage", "input", "main_job", "small_net")


def make_run(folder, environment):
    """A finished run of a few clips; its network has learnt little, so that some are recognised by chance alone."""
    sizes = (
        "surrogate_clips=36",
        "surrogate_subjects=6",
        "epochs=8",
        "min_epochs=1",
        "num_folds=3",
        "validation_share=0",
        "selection=last",
    )
    command = [sys.executable, "-m", "experiments.run", "--config", "smic_ha.py", "--workdir", str(folder), "--nofinal"]
    command += ["--config.protocols=('subject',)", *(f"--config.{size}" for size in sizes)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_benchmark_has_a_smoke_run():
    assert sorted(SMOKE_RUNS) == COMMANDS


@pytest.mark.slow
def test_every_part_for_an_accelerator_runs_on_a_cpu(tmp_path):
    environment = os.environ | {"PYTHON": sys.executable, "MER_DATA_DIR": str(tmp_path / "data")}
    command = ["benchmarks/on_accelerator.sh", str(tmp_path / "out"), "--tiny"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    summary = (tmp_path / "out" / "summary.txt").read_text().splitlines()
    assert [line.split()[0] for line in summary] == ["tests", "convolution", "folds", "networks", "resume"]
    assert all(line.endswith("done") for line in summary)


# Stands in for `make` in the clone that benchmarks.main_job makes: its run takes minutes and needs the package index.
FAKE_MAKE = """#!/bin/sh
test "$1" = run && mkdir -p "runs/$$" && echo '{"loso": {"accuracy": 0.75}}' > "runs/$$/metrics.json"
times='{"seconds": 0, "compile": 1, "folds": {"loso": 3}, "stages": {"train": {"seconds": 2, "processor_seconds": 4}}}'
echo "$times" > "runs/$$/timings.json"
"""


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SMOKE_RUNS]
)
def test_benchmark_runs(name, tmp_path):
    environment = {"MER_DATA_DIR": str(tmp_path / "data")}
    if name == "main_job":
        if not (ROOT / ".git").exists():
            pytest.skip("needs a git checkout: the benchmark clones it")
        (tmp_path / "make").write_text(FAKE_MAKE)
        (tmp_path / "make").chmod(0o755)
        environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    arguments = [str(tmp_path / "run") if each == "RUN" else each for each in SMOKE_RUNS[name].split()]
    if "RUN" in SMOKE_RUNS[name]:
        make_run(tmp_path / "run", environment)
    printed = run(name, *arguments, "--json", str(tmp_path / "x.json"), **environment)
    written = json.loads((tmp_path / "x.json").read_text())
    assert printed.startswith(written["machine"])
    table = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(table) >= 3, printed
    timed = [row["median_s"] for row in written.get("rows", []) if "median_s" in row]
    assert all(seconds > 0 for seconds in timed)
