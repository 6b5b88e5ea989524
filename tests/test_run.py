"""The command, as a user runs it: on a small surrogate corpus, from rendering to report."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mer_jax
from datasets.facts import read_facts
from mer_jax.evaluation.temperature import apply_temperature
from mer_jax.prediction.classifier import flatten_members, make_classifier
from mer_jax.system.files import seal
from mer_jax.training.checkpoint import read_weights

ROOT = Path(__file__).parents[1]
SMALL = [
    "--config.surrogate_clips=18",
    "--config.surrogate_subjects=6",
    "--config.surrogate_difficulty=easy",
    "--config.num_folds=3",
    "--config.num_copies=1",
    "--config.batch_size=16",
    "--config.epochs=4",
    "--config.min_epochs=2",
    "--config.epochs_per_chunk=1",
    "--config.model.features=2",
    "--config.model.path_dense=8",
    "--config.model.fusion_dense=8",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def command(data_dir, workdir, *arguments):
    run = [sys.executable, "-m", "experiments.run", "--config", "smic_ha.py", *SMALL]
    return [*run, "--data_dir", str(data_dir), "--workdir", str(workdir), *arguments]


def run(*arguments):
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=500)


def read_predictions(workdir):
    with (workdir / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    done = run(data_dir, workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_run_folder_is_complete(finished):
    workdir, _ = finished
    expected = ["config.json", "metrics.json", "predictions.csv", "history.jsonl", "report.html"]
    expected += ["confusion.png", "curves.png", "faces.png", "gap.png", "difficulty.png", "errors.png", "checkpoints"]
    expected += ["model/model.json", "model/weights.npz", "model/CARD.md"]
    expected += ["timings.json"]
    assert [name for name in expected if not (workdir / name).exists()] == []
    for picture in workdir.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG"), picture.name


def test_a_run_says_where_its_seconds_went(finished):
    timings = json.loads((finished[0] / "timings.json").read_text())
    stages = timings["stages"]
    assert {
        "start",
        "render",
        "read",
        "find faces and prepare",
        "build",
        "load",
        "train",
        "train on all people",
        "report",
    } >= set(stages)
    assert {"start", "read", "load", "train", "report"} <= set(stages)
    assert all(each["seconds"] >= 0 and each["processor_seconds"] >= 0 for each in stages.values())
    assert sum(each["seconds"] for each in stages.values()) <= timings["seconds"] + 0.1
    assert timings["compile"] > 0
    assert set(timings["folds"]) == {"paper", "subject"}


def test_attention_can_be_looked_at_from_the_checkpoints(finished):
    weights = read_weights(finished[0] / "checkpoints" / "subject" / "seed_0" / "fold_00")
    assert set(weights["params"]["upper"]["attention"]) == {"spatial", "temporal"}
    assert read_weights(finished[0] / "checkpoints" / "nothing") is None


def test_a_run_says_which_clips_it_is_of(finished):
    folder = finished[0]
    folds = json.loads((folder / "folds.json").read_text())
    assert set(folds["protocols"]) == {"paper", "subject"}
    assert len(folds["clips"]) == 18
    corpus = json.loads((folder / "corpus.json").read_text())
    assert (corpus["left_out"], corpus["repaired"]) == ({}, [])
    report = (folder / "report.html").read_text()
    assert "No clip that the release lists was left out." in report
    audited = subprocess.run(
        [sys.executable, "-m", "mer_jax.cli.main", "audit", str(folder)], capture_output=True, text=True, timeout=120
    )
    assert "no clip on two sides" in audited.stdout or audited.returncode in (0, 1), audited.stderr
    assert "Traceback" not in audited.stderr


def test_amplitude_and_duration_of_rendered_clips_are_known(finished, data_dir):
    (metadata,) = data_dir.glob("surrogate_smic/*/*/metadata.json")
    facts = read_facts(metadata.parent).clips
    assert len(facts) == 18
    assert all(each.num_frames > 5 and 0.5 < each.amplitude < 20 for each in facts.values())


def test_the_model_of_a_run_answers_and_says_what_to_expect(finished):
    model = mer_jax.load(finished[0])
    training, (expected,) = model.description.training, model.description.expected
    metrics = json.loads((finished[0] / "metrics.json").read_text())["subject"]
    folds = [fold["best_epoch"] for fold in metrics["folds"]]
    assert training["epochs"] == sorted(folds)[1]
    assert (training["clips"], training["people"]) == (18, 6)
    assert training["experiment"] == json.loads((finished[0] / "config.json").read_text())["fingerprint"]
    assert (expected["accuracy"], expected["intervals"]) == (metrics["accuracy"], metrics["intervals"])
    answer = model.predict(np.zeros((18, 128, 128), np.uint8))
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert "for the median of the epochs that the folds of protocol subject chose; " in finished[1].stdout


def test_surrogate_is_said_everywhere(finished):
    workdir, done = finished
    assert mer_jax.load(workdir).card.startswith("# SURROGATE")
    assert "SURROGATE" in done.stdout
    assert "SURROGATE paper fold 1/1" in done.stderr
    assert json.loads((workdir / "config.json").read_text())["data"]["provenance"] == "surrogate"
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert {entry["provenance"] for entry in metrics.values()} == {"surrogate"}
    assert {row["provenance"] for row in read_predictions(workdir)} == {"surrogate"}
    assert "surrogate" in (workdir / "report.html").read_text().lower()


def test_config_tells_how_to_repeat_the_run(finished):
    config = json.loads((finished[0] / "config.json").read_text())
    assert config["experiment"]["model"]["class"] == "HybridAttention3DNet"
    assert config["experiment"]["model"]["conv"]["features"] == 2
    assert config["command"].startswith("python -m experiments.run --config")
    assert config["environment"]["versions"]["jax"]
    assert len(config["data"]["fingerprint"]) == 32


def test_metrics_follow_from_predictions(finished):
    workdir, _ = finished
    metrics, rows = json.loads((workdir / "metrics.json").read_text()), read_predictions(workdir)
    assert set(metrics) == {"paper", "subject"}
    needed = "corpus provenance protocol model accuracy uf1 uar f1_macro f1_weighted error_rate confusion per_class"
    for name, entry in metrics.items():
        mine = [row for row in rows if row["protocol"] == name]
        assert entry["accuracy"] == pytest.approx(np.mean([row["true"] == row["predicted"] for row in mine]))
        assert entry["error_rate"] == pytest.approx(1 - entry["accuracy"])
        assert not {*needed.split(), "n_clips", "n_subjects", "seeds"} - set(entry)


def test_protocols_can_be_audited_from_predictions_alone(finished):
    rows = read_predictions(finished[0])
    subject = [row for row in rows if row["protocol"] == "subject"]
    assert len(subject) == len({row["clip_id"] for row in subject}) == 18, "every clip is tested once"
    folds_of = {}
    for row in subject:
        folds_of.setdefault(row["subject"], set()).add(row["fold"])
    assert {len(folds) for folds in folds_of.values()} == {1}, "no subject is tested in two folds"
    assert {row["copy"] for row in subject} == {"0"}, "no augmented copy is tested"


def test_a_finished_run_is_not_overwritten(finished, data_dir):
    again = run(data_dir, finished[0])
    assert again.returncode == 1
    assert "holds a finished run; add --resume" in again.stderr
    assert "Traceback" not in again.stderr


def test_another_config_in_the_same_folder_is_refused(finished, data_dir):
    again = run(data_dir, finished[0], "--resume", "--config.learning_rate=0.01")
    assert again.returncode == 1
    assert "experiment.learning_rate is 0.001 there and 0.01 here" in again.stderr


def repeat(run_folder, data_dir, workdir, *arguments):
    command = [sys.executable, "-m", "experiments.run", "--repeat", str(run_folder), "--data_dir", str(data_dir)]
    return subprocess.run(
        [*command, "--workdir", str(workdir), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=500
    )


@pytest.mark.slow
def test_a_repeated_run_predicts_the_same(finished, data_dir, tmp_path):
    again = repeat(finished[0], data_dir, tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert "repeated: predictions.csv is identical" in again.stdout
    assert (tmp_path / "again" / "report.html").exists()


def test_repeat_stands_alone_and_wants_the_same_clips(finished, data_dir, tmp_path):
    both = repeat(finished[0], data_dir, tmp_path / "again", "--config", "smic_ha.py")
    assert both.returncode == 1
    assert "expected --repeat alone" in both.stderr
    config = json.loads((finished[0] / "config.json").read_text())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(seal({**config, "fingerprint": "another"})))
    (tmp_path / "run" / "predictions.csv").touch()
    other = repeat(tmp_path / "run", data_dir, tmp_path / "again")
    assert other.returncode == 1
    assert "expected another, that of the run to repeat: the clips are not the same" in other.stderr


def wait_for_epochs(workdir, number, process):
    for _ in range(1200):
        history = workdir / "history.jsonl"
        if history.exists() and len(history.read_text().splitlines()) >= number:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no history after a minute")


@pytest.mark.parametrize(
    ("kill", "code", "epochs"),
    [
        (signal.SIGKILL, -signal.SIGKILL, 3),
        pytest.param(signal.SIGINT, 130, 6, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 130, 9, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_and_ends_the_same(finished, data_dir, tmp_path, kill, code, epochs):
    workdir = tmp_path / "killed"
    process = subprocess.Popen(
        command(data_dir, workdir), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_epochs(workdir, epochs, process)
    process.send_signal(kill)
    _, errors = process.communicate(timeout=120)
    if process.returncode != 0:  # it may have been done before the signal came
        assert process.returncode == code
        assert not (workdir / "report.html").exists()
        assert "Traceback" not in errors
    resumed = run(data_dir, workdir, "--resume", "--final=ensemble")
    assert resumed.returncode == 0, resumed.stderr
    assert (workdir / "predictions.csv").read_bytes() == (finished[0] / "predictions.csv").read_bytes()

    def history(folder):
        rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        for row in rows:
            del row["seconds"], row["checksum"]
        return sorted(rows, key=lambda row: (row["protocol"], row["fold"], row["epoch"]))

    assert history(workdir) == history(finished[0])
    ensemble = mer_jax.load(workdir)
    assert ensemble.description.members == 3
    faces = np.random.default_rng(0).integers(0, 256, (1, 18, 128, 128), np.uint8)
    alone = [read_weights(finished[0] / f"checkpoints/subject/seed_0/fold_0{fold}") for fold in range(3)]
    one = dataclasses.replace(ensemble.description, members=1)
    shares = [make_classifier(one, flatten_members([each])).probabilities(faces) for each in alone]
    got = ensemble.probabilities(faces)
    expected = apply_temperature(np.mean(shares, axis=0), ensemble.description.temperature)
    np.testing.assert_allclose(got, expected, atol=1e-6)


# --- a careless user: quick, nothing is trained -----------------------------------


def fail(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    return check_failure(done.returncode, done.stderr)


def check_failure(code, errors):
    assert code == 1, errors
    assert "Traceback" not in errors
    assert errors.startswith("error: ")
    return errors


TYPING_ERRORS = [
    ([], "no --config given; expected a file of your own or one of"),
    (["--config", "smic_hq.py"], "no config file 'smic_hq.py'"),
    (["--config", "smic_ha.py", "--config.learnig_rate=1"], "unknown field 'learnig_rate' of config; did you mean"),
    (
        ["--config", "smic_ha.py", "--config.model.feature=1"],
        "unknown field 'feature' of config.model",
    ),
    (["--config", "smic_ha.py", "--config.vision.maks=keep"], "did you mean 'mask'"),
    (["--config", "smic_ha.py", "--config.epochs=many"], "--config.epochs"),
    (["--config", "smic_ha.py", "--config.epochs=0"], "got epochs=0, expected a whole number from 1"),
    (["--config", "smic_ha.py", "--config.vision.mask=kep"], "'kep', which is unknown; did you mean 'keep'"),
    (["--config", "smic_ha.py", "--config.protocols=('lose',)"], "unknown protocol 'lose'; did you mean 'loso'"),
    (["--config", "smic_ha.py", "--resum"], "Did you mean: resume"),
    (["--config", "smic_ha.py", "--config.vision.num_frames=4"], "got a clip of 4 frames"),
    (["--config", "smic_ha.py", "--config.model.num_classes=5"], "answers 5; set --config.model.num_classes=3"),
    *(
        (["--config", f"smic_{name}.py", "--config.vision.crop=eyes"], "set --config.vision.crop=onset, or choose")
        for name in ("ht", "laenet", "dualatme", "fusei")
    ),
    (["--config", "smic_ha.py", "--jobs=0"], "jobs"),
    (
        ["--config", "smic_ha.py", "--config.model.kernel_size=(3,3)"],
        "got kernel_size=(3, 3), expected three whole",
    ),
    (["--config", "smic_ha.py", "--num_processes=2"], "without --coordinator; expected the three together"),
    (["--config", "smic_linear.py", "--tensorboard"], "with LinearFlow, which has no epochs"),
    (["--config", "smic_lbptop.py", "--config.vision.num_frames=4"], "got a clip of 4 frames of 128x128"),
    (["--config", "smic_msfmeir.py", "--config.model.magnification=-1.0"], "got model.magnification=-1.0, expected"),
    (["--config", "smic_caps.py", "--config.optimization.loss=focal"], "CapsuleNet, which has a loss of its own"),
    (["--config", "smic_ha.py", "--final=best"], "expected one of all, ensemble, none"),
    (["--config", "smic_ha.py", "now"], "got 'now', expected options that begin with --"),
]

# One import, which takes seconds, and a child for each command line, since absl parses one in a process.
RUN_EACH = """
import json, os, runpy, sys, traceback
from pathlib import Path
from experiments import config_files, flags, pretrained, run_experiment
for number, line in enumerate(json.loads(sys.argv[2])):
    if (child := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(Path(sys.argv[1], str(number)), os.O_WRONLY | os.O_CREAT), 2)
        sys.argv, code = ["experiments.run", *line], 0
        try:
            runpy.run_module("experiments.run", run_name="__main__")
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def typing_errors(tmp_path_factory):
    """Exit code and error output of each command line in TYPING_ERRORS."""
    folder = tmp_path_factory.mktemp("errors")
    lines = json.dumps([arguments for arguments, _ in TYPING_ERRORS])
    command = [sys.executable, "-c", RUN_EACH, str(folder), lines]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return [(int(code), (folder / str(number)).read_text()) for number, code in enumerate(done.stdout.split())]


@pytest.mark.parametrize(
    "number", range(len(TYPING_ERRORS)), ids=lambda number: " ".join(TYPING_ERRORS[number][0]) or "no options"
)
def test_typing_errors_are_one_message(number, typing_errors):
    code, errors = typing_errors[number]
    assert TYPING_ERRORS[number][1] in check_failure(code, errors)


def test_a_typing_error_ends_the_process_with_its_message():
    assert TYPING_ERRORS[0][1] in fail()


def test_manual_dir_without_smic(tmp_path):
    (tmp_path / "holiday").mkdir()
    message = fail("--config", "smic_ha.py", "--manual_dir", str(tmp_path), "--data_dir", str(tmp_path / "d"))
    assert "holiday" in message, "what was found is listed"
    message = fail("--config", "smic_ha.py", MER_MANUAL_DIR=str(tmp_path / "nowhere"))
    assert "nowhere" in message


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.4])
def test_an_interrupt_while_modules_load_is_one_line(tmp_path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.run", "--config", "smic_ha.py", f"--data_dir={tmp_path}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (130, False), errors
