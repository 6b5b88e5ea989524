"""The Python entry: `mer_jax.train(experiment, clips)`."""

import importlib
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mer_jax
from mer_jax.baselines import LinearFlow
from mer_jax.errors import ConfigError, CorpusError, NonFiniteLossError
from tests.toy_training import SmallNet, make_clips, make_experiment


@pytest.fixture(scope="module")
def clips():
    return make_clips()


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(protocols=("paper", "subject"))


@pytest.fixture(scope="module")
def results(experiment, clips):
    return mer_jax.train(experiment, clips)


def test_every_protocol_has_a_result(results, experiment, clips):
    assert list(results) == ["paper", "subject"]
    subject = results["subject"]
    assert sorted(subject.clip_id) == sorted(clips.clip_id)
    assert subject.scores()["accuracy"] == (subject.predicted == subject.true).mean()
    assert (subject.corpus, subject.provenance) == ("toy", "surrogate")
    assert [fold.epochs_run for fold in results.folds["subject"]] == [6, 6, 6]
    assert results.failed == []
    (plan,) = results.plans["subject"]
    assert len(plan.folds) == experiment.num_folds


def test_nothing_is_written(experiment, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mer_jax.train(make_experiment(protocols=("subject",), epochs=1, epochs_per_chunk=1), clips)
    assert list(tmp_path.iterdir()) == []


def test_threads_and_axes_of_folds_give_the_same(results, experiment, clips):
    one_by_one = mer_jax.train(experiment, clips, jobs=1)
    np.testing.assert_array_equal(one_by_one["subject"].probabilities, results["subject"].probabilities)
    together = mer_jax.train(experiment, clips, fold_parallel=3)
    np.testing.assert_allclose(together["subject"].probabilities, results["subject"].probabilities, atol=1e-3)


def test_it_goes_on_from_checkpoints(results, experiment, clips, tmp_path):
    seen = []

    def stop(lane, rows):
        seen.append((lane.protocol, lane.fold, rows[-1]["epoch"]))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mer_jax.train(experiment, clips, checkpoints=tmp_path, on_epochs=stop, jobs=1)
    resumed = []
    again = mer_jax.train(experiment, clips, checkpoints=tmp_path, on_epochs=lambda *each: resumed.append(each), jobs=1)
    assert len(resumed) == 12 - 2, "the chunk that was stopped in is trained again, the two before it are not"
    for protocol in results:
        np.testing.assert_array_equal(again[protocol].probabilities, results[protocol].probabilities)


def test_a_signal_that_another_thread_is_handed_stops_the_training(clips):
    rows = []

    def interrupt(lane, new):
        if not rows:  # Python acts on it in the main thread, which this does not wake
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        rows.extend(new)
        threading.Event().wait(0.02)

    experiment = make_experiment(protocols=("paper",), epochs=500, patience=0, epochs_per_chunk=1)
    with pytest.raises(KeyboardInterrupt):
        mer_jax.train(experiment, clips, on_epochs=interrupt, jobs=1)
    assert len(rows) < 250


def test_callbacks_hear_of_every_epoch(experiment, clips):
    rows = {}
    mer_jax.train(experiment, clips, on_epochs=lambda lane, new: rows.setdefault(lane, []).extend(new))
    assert {(lane.protocol, lane.fold) for lane in rows} == {("paper", 0), *(("subject", i) for i in range(3))}
    for each in rows.values():
        assert [row["epoch"] for row in each] == [1, 2, 3, 4, 5, 6]
        assert {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"} <= set(each[0])


def test_seeds_are_trained_together(clips):
    results = mer_jax.train(make_experiment(protocols=("subject",), num_seeds=2, epochs=2), clips)
    assert sorted(set(results["subject"].seed.tolist())) == [0, 1]
    assert len(results["subject"].true) == 2 * len(clips)


def test_baselines_are_trained_the_same_way(clips):
    flow = np.full((len(clips), 28, 28, 3), 128, np.uint8)
    for label in (0, 1):
        flow[clips.label == label, :, :, label] += 80
    flow += np.random.default_rng(0).integers(0, 8, flow.shape, dtype=np.uint8)
    moving = mer_jax.Clips.from_arrays(flow, clips.label, clips.subject, class_names=clips.class_names)
    results = mer_jax.train(mer_jax.Experiment(model=LinearFlow(), protocols=("loso",)), moving)
    assert results["loso"].scores()["accuracy"] == 1.0
    assert (results["loso"].corpus, results["loso"].provenance) == ("arrays", "unstated")


def test_without_validation_all_others_train(clips):
    experiment = make_experiment(protocols=("loso",), validation_share=0.0, selection="last", epochs=2)
    rows = []
    results = mer_jax.train(experiment, clips, on_epochs=lambda lane, new: rows.extend(new))
    for fold in results.plans["loso"][0].folds:
        assert fold.train.sum() + fold.test.sum() == len(clips)
        assert not fold.validation.any()
    assert {fold.best_epoch for fold in results.folds["loso"]} == {2}
    assert all(np.isnan(row["validation_loss"]) and np.isfinite(row["train_loss"]) for row in rows)


def test_baselines_train_on_the_clips_that_networks_train_on(clips):
    seen = []

    class Watched(LinearFlow):
        def fit_predict(self, features, labels, test_features, seed):
            seen.append(len(labels))
            return super().fit_predict(features, labels, test_features, seed)

    flow = np.random.default_rng(0).integers(0, 255, (len(clips), 28, 28, 3), np.uint8)
    moving = mer_jax.Clips.from_arrays(flow, clips.label, clips.subject)
    results = mer_jax.train(mer_jax.Experiment(model=Watched(), protocols=("loso",)), moving)
    assert seen == [int(fold.train.sum()) for fold in results.plans["loso"][0].folds]
    assert all(fold.validation.any() for fold in results.plans["loso"][0].folds)


def test_a_loss_that_is_not_finite_is_an_error_with_the_other_results(clips):
    experiment = make_experiment(protocols=("subject",), epochs=2, learning_rate=10.0, model=SmallNet(blow_up=1e30))
    with pytest.raises(
        NonFiniteLossError, match=r"of 3 folds have no result, at learning rate 10: subject fold"
    ) as info:
        mer_jax.train(experiment, clips)
    assert len(info.value.results.failed) == 3
    assert len(info.value.results) == 0


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"epochs": 0}, ConfigError, "got epochs=0"),
        ({"protocols": ("lose",)}, ConfigError, "unknown protocol 'lose'; did you mean 'loso'"),
        ({"validation_share": 0.0}, ConfigError, "without validation clips no epoch can be chosen; set"),
        ({"validation_share": 0.5}, ConfigError, "got validation_share=0.5, expected a number from 0 to 0.49"),
        ({"num_folds": 50}, CorpusError, "6 subjects for 50 folds"),
        ({"model": SmallNet(num_classes=4)}, ConfigError, "the model answers 4; set"),
        (
            {"model": LinearFlow()},
            ConfigError,
            "the model LinearFlow takes motion, made from motion; the clips are faces",
        ),
    ],
)
def test_mistakes_are_one_sentence(clips, fields, error, message):
    with pytest.raises(error, match=message):
        mer_jax.train(make_experiment(**fields), clips)


def test_clips_from_arrays_keep_what_they_are_given():
    faces = np.random.default_rng(0).integers(0, 255, (4, 3, 128, 128), np.uint8)
    clips = mer_jax.Clips.from_arrays(
        faces, ["b", "a", "b", "c"], [3, 3, 4, 5], clip_ids=["w", "x", "y", "z"], provenance="surrogate"
    )
    assert (clips.class_names, clips.label.tolist()) == (("a", "b", "c"), [1, 0, 1, 2])
    assert (clips.subject, clips.clip_id, clips.kind) == (("3", "3", "4", "5"), ("w", "x", "y", "z"), "faces")
    indices = mer_jax.Clips.from_arrays(faces, np.array([1, 0, 1, 2]), "3345", class_names="abc")
    assert indices.label.tolist() == clips.label.tolist()
    assert indices.fingerprint != clips.fingerprint, "other clip ids"
    other = mer_jax.Clips.from_arrays(faces[:, ::-1], ["b", "a", "b", "c"], [3, 3, 4, 5])
    assert other.fingerprint != mer_jax.Clips.from_arrays(faces, ["b", "a", "b", "c"], [3, 3, 4, 5]).fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["a", "b", "x"], "class_names": ("a", "b")}, "got the label 'x', expected one of the class names"),
        ({"labels": [0, 1, 2], "class_names": ("a", "b")}, "has label 2; expected 0 to 1"),
        ({"labels": [0.5, 1.0, 2.0]}, "got labels of type float64, expected class indices or class names"),
        ({"labels": [0, 1]}, "label has 2 entries for 3 clips"),
        ({"subjects": [1]}, "subject has 1 entries for 3 clips"),
        ({"pictures": np.zeros((3, 2, 64, 64), np.uint8)}, "expected uint8: faces of shape"),
        ({"clip_ids": ["a", "a", "b"]}, "clip id 'a' occurs 2 times"),
    ],
)
def test_arrays_that_are_no_clips_are_refused(arguments, message):
    given = {"pictures": np.zeros((3, 2, 128, 128), np.uint8), "labels": [0, 1, 1], "subjects": [1, 2, 2], **arguments}
    with pytest.raises((mer_jax.errors.ShapeError, CorpusError), match=message):
        mer_jax.Clips.from_arrays(**given)


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(AttributeError, match="no attribute 'trian'; did you mean 'train'"):
        mer_jax.trian  # noqa: B018
    assert {"train", "Clips", "Experiment", "models"} <= set(dir(mer_jax))


def test_every_public_name_is_there_and_type_checkers_know_it():
    code = "import mer_jax\nfor name in mer_jax.__all__: getattr(mer_jax, name)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    stub = Path(mer_jax.__file__).with_suffix(".pyi").read_text()
    named = {name: module for module, name in re.findall(r"from (\S+) import (\w+) as \2", stub)}
    assert set(named) == set(mer_jax.__all__)
    for name, module in named.items():
        assert getattr(importlib.import_module(module), name) is getattr(mer_jax, name)
