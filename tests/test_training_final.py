"""Weights of all people: what trains, for how long, and that an interruption changes nothing."""

import dataclasses

import jax
import numpy as np
import pytest

import mer_jax
from mer_jax.baselines import LinearFlow
from mer_jax.config import Optimization
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, NonFiniteLossError
from mer_jax.evaluation.results import FoldSummary
from mer_jax.prediction.classifier import flatten_members, make_classifier
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.trained import describe_trained
from mer_jax.training.final import _plan_all, median_epoch, read_folds, train_on_all
from mer_jax.training.fit import Callbacks
from tests.toy_training import SmallNet, make_clips, make_experiment


@pytest.fixture(scope="module")
def clips():
    return make_clips()


class Rows(Callbacks):
    """Keeps the epochs; interrupts after one, if asked."""

    def __init__(self, stop_after=None):
        self.rows, self.started, self._stop_after = [], [], stop_after

    def on_start(self, lane, epoch):
        self.started.append((lane.protocol, epoch))

    def on_epochs(self, lane, rows):
        self.rows += rows

    def after_chunk(self):
        import contextlib

        @contextlib.contextmanager
        def context():
            yield
            if self._stop_after and len(self.rows) >= self._stop_after:
                raise KeyboardInterrupt

        return context()


def fold(best_epoch, missing=False, number=0):
    return FoldSummary(number, "f", 0, 9, best_epoch, 1.0, "early stopping", missing)


def test_median_of_the_chosen_epochs():
    assert median_epoch([fold(3), fold(50), fold(7)]) == 7
    assert median_epoch([fold(3), fold(50), fold(7), fold(9)]) == 7
    assert median_epoch([fold(3), fold(0, missing=True)]) == 3
    assert median_epoch([fold(0)]) == 1
    with pytest.raises(ConfigError, match="no fold chose an epoch"):
        median_epoch([fold(0, missing=True)])


def test_every_clip_trains_once(clips):
    plan = _plan_all(clips, True)
    (everything,) = plan.folds
    assert plan.clip[everything.train].tolist() == list(range(len(clips)))
    assert not everything.validation.any()


def test_training_ends_after_the_epochs_on_the_schedule_of_the_folds(clips):
    experiment = make_experiment(optimization=Optimization(schedule="cosine"), epochs=6)
    seen = []
    for epochs in (3, 6):
        rows = Rows()
        weights = train_on_all(experiment, clips, epochs=epochs, callbacks=rows)
        seen.append((rows.rows, weights))
    short, long = seen
    assert [row["epoch"] for row in short[0]] == [1, 2, 3]
    assert [row["train_loss"] for row in short[0]] == [row["train_loss"] for row in long[0][:3]]
    assert not jax.tree.all(jax.tree.map(np.array_equal, short[1], long[1]))


def test_an_interrupted_training_continues_bit_for_bit(clips, tmp_path):
    experiment = make_experiment(model=SmallNet(batch_norm=True))
    whole = train_on_all(experiment, clips, epochs=5)
    with pytest.raises(KeyboardInterrupt):
        train_on_all(experiment, clips, epochs=5, checkpoints=tmp_path, callbacks=Rows(stop_after=2))
    rows = Rows()
    resumed = train_on_all(experiment, clips, epochs=5, checkpoints=tmp_path, callbacks=rows)
    assert rows.started == [("final", 2)]
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, resumed))
    assert set(whole) == {"params", "batch_stats"}


def test_loss_that_is_not_finite_is_said(clips):
    with pytest.raises(NonFiniteLossError, match="training on all clips has no result"):
        train_on_all(make_experiment(model=SmallNet(blow_up=float("inf"))), clips, epochs=2)


def test_model_of_a_training_answers_as_its_weights_and_is_described(clips, tmp_path):
    experiment = make_experiment(protocols=("subject",), epochs=40, learning_rate=3e-3, normalization="difference")
    results = mer_jax.train(experiment, clips, checkpoints=tmp_path)
    result = results["subject"]
    weights = train_on_all(experiment, clips, epochs=median_epoch(results.folds["subject"]))
    description = describe_trained(experiment, clips, result, method="a test", epochs=40)
    model = TrainedModel(
        dataclasses.replace(description, vision=None), flatten_members([weights]), network=experiment.model
    )
    assert (model.probabilities(clips.pictures).argmax(1) == clips.label).mean() > 0.9
    (expected,) = description.expected
    assert expected["accuracy"] == result.scores()["accuracy"]
    assert expected["calibration"]["ece_calibrated"] < 0.3
    assert description.training["people"] == clips.num_subjects
    members = read_folds(tmp_path, "subject", results.folds["subject"])
    assert len(members) == experiment.num_folds


def test_baseline_of_all_people_is_a_linear_model():
    rng = np.random.default_rng(0)
    pictures = rng.integers(100, 156, (24, 28, 28, 3), np.uint8)
    labels = np.arange(24) % 3
    pictures[np.arange(24), :, :, labels] += 60
    clips = Clips.from_arrays(pictures, labels, np.repeat(list("abcd"), 6), provenance="surrogate")
    experiment = make_experiment(model=LinearFlow(components=5), protocols=("loso",))
    result = mer_jax.train(experiment, clips)["loso"]
    weights = train_on_all(experiment, clips, epochs=0)
    description = describe_trained(experiment, clips, result, method="a test", epochs=0)
    assert (description.kind, description.num_frames) == ("linear", experiment.vision.num_frames)
    answers = make_classifier(description, flatten_members([weights])).probabilities(pictures)
    assert (answers.argmax(1) == labels).all()


def test_protocol_that_tests_its_own_people_describes_no_model(clips):
    experiment = make_experiment(protocols=("paper",), epochs=2)
    result = mer_jax.train(experiment, clips)["paper"]
    with pytest.raises(ConfigError, match="expected one that keeps people apart"):
        describe_trained(experiment, clips, result, method="a test", epochs=2)
