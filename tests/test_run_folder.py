"""The run folder's bookkeeping; what it does in a real run is in test_run.py."""

import contextlib
import dataclasses
import json
import os

import numpy as np
import pytest

from experiments.run_folder import (
    RunFolder,
    check_workdir,
    choose_workdir,
    describe_environment,
    locked,
    read_config,
)
from mer_jax.config import Experiment
from mer_jax.errors import ConfigError
from mer_jax.models import DualPath3DNet
from mer_jax.system.files import seal
from mer_jax.training.train import fingerprint
from mer_jax.vision.options import VisionOptions
from tests.toy_training import make_clips


@pytest.fixture(scope="module")
def clips():
    return make_clips(sizes=(3, 3))


def make_experiment(**fields):
    return Experiment(**{"name": "toy", **fields}, corpus="toy", model=DualPath3DNet(), vision=VisionOptions())


def test_fingerprint_follows_every_field_but_the_name(clips):
    identity = fingerprint(make_experiment(), clips)
    assert fingerprint(make_experiment(name="other"), clips) == identity
    assert fingerprint(make_experiment(learning_rate=2e-3), clips) != identity
    assert fingerprint(make_experiment(), clips.select([0, 1, 2])) != identity


def test_resuming_takes_the_newest_unfinished_run_of_the_same_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stamp, identity, finished in [("1", "a", False), ("2", "a", False), ("3", "a", True), ("4", "b", False)]:
        folder = tmp_path / "runs" / f"toy-{stamp}"
        folder.mkdir(parents=True)
        config = {"fingerprint": identity, "environment": describe_environment(make_experiment().model)}
        (folder / "config.json").write_text(json.dumps(seal(config)))
        if finished:
            (folder / "report.html").touch()
    (tmp_path / "runs" / "toy-5").mkdir()  # killed before its config was written
    (tmp_path / "runs" / "toy-6").mkdir()
    (tmp_path / "runs" / "toy-6" / "config.json").write_text("{")  # not ours
    assert choose_workdir(make_experiment(), "a", resume=True).name == "toy-2"
    assert not choose_workdir(make_experiment(), "a", resume=False).exists()
    assert not choose_workdir(make_experiment(), "c", resume=True).exists()
    monkeypatch.setattr("experiments.run_folder._git_commit", lambda: "a later commit")
    assert not choose_workdir(make_experiment(), "a", resume=True).exists(), (
        "a run of another commit is not gone on with unasked"
    )


def test_history_forgets_what_was_trained_after_the_checkpoint(clips, tmp_path):
    folder = RunFolder(tmp_path, make_experiment(), clips)
    folds = [("a", 0, 0), ("a", 0, 1), ("a", 1, 1), ("b", 0, 0)]
    rows = [{"protocol": p, "seed": s, "fold": f, "epoch": e} for p, s, f in folds for e in (1, 2, 3)]
    folder.append_history(rows)
    with folder.history_path.open("a") as file:
        file.write('{"protocol": "a", "fo')  # a kill cut this line short
    folder.forget_history("a", 0, 1, after_epoch=1)
    assert folder.read_history("a", 0, 1) == [{"protocol": "a", "seed": 0, "fold": 1, "epoch": 1}]
    assert len(folder.read_history()) == 10


def test_no_epoch_is_glued_to_a_line_cut_short(clips, tmp_path):
    folder = RunFolder(tmp_path, make_experiment(), clips)
    row = {"protocol": "a", "seed": 0, "fold": 0}
    folder.append_history([row | {"epoch": 1}])
    with folder.history_path.open("a") as file:
        file.write('{"protocol": "a", "fo')
    folder.forget_history("a", 0, 0, after_epoch=1)
    folder.append_history([row | {"epoch": 2}])
    assert [each["epoch"] for each in folder.read_history()] == [1, 2]


def test_a_folder_of_another_experiment_is_refused_and_the_difference_named(clips, tmp_path):
    RunFolder(tmp_path, make_experiment(), clips).open(["x"])
    again = RunFolder(tmp_path, make_experiment(), clips).open(["y"])
    assert again["command"] == "x"
    with pytest.raises(ConfigError, match=r"experiment.epochs is 200 there and 9 here; choose another --workdir"):
        RunFolder(tmp_path, make_experiment(epochs=9), clips).open(["x"])


def test_going_on_under_other_versions_is_written_down(clips, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, make_experiment(), clips)
    folder.open(["first"])
    assert "resumed" not in folder.open(["second"])
    monkeypatch.setattr("experiments.run_folder._git_commit", lambda: "a later commit")
    folder.open(["third"])
    (entry,) = json.loads((tmp_path / "config.json").read_text())["resumed"]
    assert (entry["command"], entry["differs"]) == ("third", ["commit"])


def test_a_loss_that_is_no_number_is_null_in_the_history(clips, tmp_path):
    folder = RunFolder(tmp_path, make_experiment(), clips)
    folder.append_history([{"protocol": "a", "fold": 0, "epoch": 1, "train_loss": float("nan")}])
    assert folder.read_history()[0]["train_loss"] is None


def test_workdir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"got --workdir .*, which is a file; expected a folder"):
        check_workdir(tmp_path / "file", False, make_experiment())


def test_workdir_of_another_experiment_is_refused_before_the_clips_are_there(clips, tmp_path):
    experiment = make_experiment()
    RunFolder(tmp_path, experiment, clips).open(["first"])
    check_workdir(tmp_path, True, dataclasses.replace(experiment, name="renamed"))
    with pytest.raises(ConfigError, match=r"holds another experiment: experiment.batch_size is \d+ there and 5 here"):
        check_workdir(tmp_path, True, dataclasses.replace(experiment, batch_size=5))


# The forked child executes nothing of JAX, which other tests have loaded.
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_processes_do_not_share_a_folder(tmp_path):
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                with locked(tmp_path):
                    os._exit(1)
            except ConfigError:
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0


def open_run(path, clips):
    folder = RunFolder(path, make_experiment(), clips)
    folder.open(["python"])
    return folder


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"null",
        lambda content: b"[" * 100_000,
        lambda content: content.replace(b'"environment"', b'"environmant"'),
        lambda content: content.replace(b"0.001", b"0.002"),
        lambda content: b"\xff" + content,
    ],
)
def test_a_damaged_config_is_one_sentence(clips, tmp_path, spoil):
    open_run(tmp_path, clips)
    path = tmp_path / "config.json"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ConfigError, match=r"config.json is damaged.*; restore it, or choose another folder"):
        open_run(tmp_path, clips)


def test_no_flipped_bit_of_config_or_history_is_believed(clips, tmp_path, capsys):
    folder = open_run(tmp_path, clips)
    rows = [
        {"protocol": "a", "seed": 0, "fold": 0, "epoch": e, "train_loss": 0.1 * e, "seconds": 1.5} for e in range(4)
    ]
    folder.append_history(rows)
    config = read_config(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("config.json", "history.jsonl"):
        path = tmp_path / name
        whole = path.read_bytes()
        for bit in rng.integers(8 * len(whole), size=200):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            if name == "config.json":
                with contextlib.suppress(ConfigError):
                    assert read_config(tmp_path) == config, bit
            else:
                got = RunFolder(tmp_path, make_experiment(), clips).read_history()
                assert all(row in rows for row in got), bit
                assert len(got) >= len(rows) - 2
        path.write_bytes(whole)
    assert "damaged lines are left out" in capsys.readouterr().err


def test_a_history_with_strange_lines_is_read(clips, tmp_path, capsys):
    folder = open_run(tmp_path, clips)
    row = {"protocol": "a", "seed": 0, "fold": 0, "epoch": 1, "seconds": 1.0}
    folder.append_history([row])
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"null\n\xff\n[]\n" + path.read_bytes() + b'{"protocol": "a"')
    assert folder.read_history() == [row]
    assert folder.read_history() == [row]
    assert capsys.readouterr().err.count("3 damaged lines are left out") == 1
