"""Training that starts from a trained model: networks, StandardFlow, the record, and what is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import mer_jax
from experiments.config_files import find_config, load_config
from experiments.pretrained import Start, name_pretrained, read_start
from experiments.run_experiment import RunOptions, run_experiment
from mer_jax.baselines import LinearFlow, StandardFlow
from mer_jax.baselines.logistic import balance, fit_logistic, predict_logistic
from mer_jax.baselines.transfer import PENALTIES, SHARES, add_clips, pull_weights
from mer_jax.config import Pretraining
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError, CorpusError, ModelError
from mer_jax.prediction.classifier import flatten_members
from mer_jax.prediction.model import SHIPPED
from mer_jax.prediction.model_folder import read_model, write_model
from mer_jax.prediction.trained import describe_trained
from mer_jax.training import lanes as compiled_lanes
from mer_jax.training.final import train_on_all
from mer_jax.training.fit import Callbacks
from mer_jax.training.pretrained import Pretrained, variables_of
from mer_jax.training.program import make_program
from mer_jax.vision.options import VISION_VERSION
from tests.toy_models import describe, make_network_model
from tests.toy_training import NET_OF_THE_PAPER, SmallNet, make_clips, make_experiment

ROOT = Path(__file__).parents[1]


# --- Networks.


@pytest.fixture(scope="module")
def clips():
    return make_clips()


@pytest.fixture(scope="module")
def network():
    """Trained on other clips of the same kind."""
    experiment = make_experiment(model=SmallNet(batch_norm=True), learning_rate=3e-3)
    return Pretrained("toy", train_on_all(experiment, make_clips(seed=1), epochs=6))


def start_from(pretrained, **fields):
    fields = {"model": SmallNet(batch_norm=True), "protocols": ("subject",), "validation_share": 0.0, **fields}
    return pretrained.apply_to(make_experiment(selection="last", **fields))


def test_every_fold_starts_from_the_weights(clips, network):
    experiment = start_from(network)
    plans = mer_jax.training.train.make_plans(experiment, clips)["subject"]
    program = make_program(experiment, clips, plans, initial=variables_of(network))
    arrays = program.lane_data, program.data, program.limits, program.initial
    for lane in (0, 2):
        state = compiled_lanes.start_slot(jax.numpy.asarray(lane), *arrays, settings=program.settings)
        for got, expected in ((state.params, "params"), (state.model_state["batch_stats"], "batch_stats")):
            jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b), got, network.weights[expected])


def test_a_start_helps_and_is_part_of_the_fingerprint(clips, network):
    short = {"epochs": 1, "epochs_per_chunk": 1}
    alone = make_experiment(
        model=SmallNet(batch_norm=True), protocols=("subject",), validation_share=0.0, selection="last", **short
    )
    helped = start_from(network, **short)
    accuracies = [
        mer_jax.train(alone, clips)["subject"].scores()["accuracy"],
        mer_jax.train(helped, clips, pretrained=network)["subject"].scores()["accuracy"],
    ]
    assert accuracies[1] > accuracies[0] + 0.2
    assert mer_jax.training.train.fingerprint(alone, clips) != mer_jax.training.train.fingerprint(helped, clips)


class StopsAfter(Callbacks):
    def __init__(self, calls):
        self.calls = calls

    def on_epochs(self, lane, rows):
        del lane, rows
        self.calls -= 1
        if not self.calls:
            raise KeyboardInterrupt


def test_a_pretrained_run_continues_bit_for_bit(clips, network, tmp_path):
    experiment = start_from(network)
    whole = mer_jax.train(experiment, clips, pretrained=network)["subject"]
    with pytest.raises(KeyboardInterrupt):
        mer_jax.train(experiment, clips, pretrained=network, checkpoints=tmp_path, callbacks=StopsAfter(4), jobs=1)
    again = mer_jax.train(experiment, clips, pretrained=network, checkpoints=tmp_path)["subject"]
    np.testing.assert_array_equal(whole.probabilities, again.probabilities)


def test_weights_of_other_shapes_are_refused_by_name(clips, network):
    experiment = start_from(network, model=SmallNet())
    with pytest.raises(ConfigError, match=r"toy has batch_stats/BatchNorm_0/mean of shape \(1,\); expected none"):
        mer_jax.train(experiment, clips, pretrained=network)


def test_experiment_and_start_go_together(clips, network):
    with pytest.raises(ConfigError, match="the experiment starts from toy; expected it as pretrained="):
        mer_jax.train(start_from(network), clips)
    with pytest.raises(ConfigError, match=r"another record; expected experiment=pretrained\.apply_to"):
        mer_jax.train(make_experiment(model=SmallNet(batch_norm=True)), clips, pretrained=network)
    other = Pretrained("toy", jax.tree.map(lambda a: a + 1, network.weights))
    with pytest.raises(ConfigError, match=r"toy has the checksum .* started from one with"):
        other.apply_to(start_from(network))
    added = Pretrained("toy", network.weights, clips)
    with pytest.raises(ConfigError, match=r"add to the training of SmallNet, .*expected StandardFlow"):
        mer_jax.train(start_from(added), clips, pretrained=added)


# --- StandardFlow.


def make_linear(people, seed, noise=3.0):
    """Three classes that differ along three directions, of several people: features, labels, people."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3), 2 * people)
    features = np.eye(3, 30)[labels] * 4 + noise * rng.normal(size=(len(labels), 30))
    return features, labels, np.repeat(np.arange(people), 6).tolist()


def accuracy(linear, seed=9):
    features, labels, _ = make_linear(100, seed)
    return (predict_logistic(features, *linear).argmax(1) == labels).mean()


def test_clips_that_help_get_a_share_and_those_that_mislead_get_none():
    features, labels, people = make_linear(4, 0)
    others, other_labels, _ = make_linear(60, 1)
    alone = fit_logistic(features, labels, num_classes=3, penalty=0.3)
    helped, share = add_clips(features, labels, people, (others, other_labels), num_classes=3, penalty=0.3)
    assert share > 0
    assert accuracy(helped) > accuracy(alone)
    misled, share = add_clips(features, labels, people, (others, (other_labels + 1) % 3), num_classes=3, penalty=0.3)
    assert share == 0
    np.testing.assert_array_equal(misled[0], alone[0])


def test_weights_that_help_are_kept_and_those_that_mislead_are_left():
    features, labels, people = make_linear(20, 0)
    others, other_labels, _ = make_linear(100, 1)
    good, bad = (
        fit_logistic(others, answers, num_classes=3, penalty=1.0) for answers in (other_labels, (other_labels + 1) % 3)
    )
    _, kept = pull_weights(features, labels, people, good, num_classes=3)
    turned, left = pull_weights(features, labels, people, bad, num_classes=3)
    assert left == PENALTIES[-1]
    assert kept < left
    assert accuracy(turned) > accuracy(bad)


def test_one_person_leaves_nothing_to_choose():
    features, labels, people = make_linear(1, 0)
    start = fit_logistic(*make_linear(20, 1)[:2], num_classes=3, penalty=0.3)
    kept, penalty = pull_weights(features, labels, people, start, num_classes=3)
    assert (kept, penalty) == (start, 0.0)
    assert add_clips(features, labels, people, make_linear(20, 1)[:2], num_classes=3, penalty=0.3)[1] == SHARES[-1]


def test_the_choice_is_made_without_the_people_that_are_tested():
    """What a fold tests changes nothing in what it is fitted to."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (30, 28, 28, 3), np.uint8)
    labels, people = np.arange(30) % 3, np.repeat(list("abcde"), 6)
    other = pictures.copy()
    other[:6] = 255 - other[:6]  # person a
    start = Pretrained("noise", {"weights": np.zeros((588, 3), np.float32), "bias": np.zeros(3, np.float32)})
    experiment = start.apply_to(make_experiment(model=StandardFlow(), protocols=("loso",)))
    results = [
        mer_jax.train(experiment, Clips.from_arrays(each, labels, people), pretrained=start).folds["loso"][0]
        for each in (pictures, other)
    ]
    assert results[0].name == "a"
    assert results[0].stop_reason == results[1].stop_reason
    assert results[0].stop_reason.startswith("no epochs; penalty ")


def test_importance_is_what_balance_gives_by_default():
    features, labels, _ = make_linear(3, 0)
    labels = np.minimum(labels, 1)
    first = fit_logistic(features, labels, num_classes=3, penalty=0.3)
    second = fit_logistic(features, labels, num_classes=3, penalty=0.3, importance=balance(labels))
    np.testing.assert_array_equal(first[0], second[0])


# --- From a model folder.


def experiment_of_the_paper(**fields):
    vision = dataclasses.replace(make_experiment().vision, num_frames=8)
    return dataclasses.replace(make_experiment(model=NET_OF_THE_PAPER), **{"vision": vision, **fields})


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "net", *make_network_model())


def test_the_weights_of_a_folder_are_those_of_the_network(folder):
    said = []
    experiment = name_pretrained(experiment_of_the_paper(), str(folder), "weights")
    start = read_start(experiment)
    pretrained = start.load(say=said.append)
    assert experiment.name == "toy_pretrained"
    assert experiment.pretraining == Pretraining(model=str(folder))
    _, arrays = read_model(folder)
    assert flatten_members([pretrained.weights]).keys() == arrays.keys()
    jax.tree.map(np.testing.assert_array_equal, flatten_members([pretrained.weights]), arrays)
    assert pretrained.record.checksum in said[0]
    assert said[0].startswith("pretrained: SURROGATE toy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": SmallNet()},
            "a HybridAttention3DNet, for an experiment with SmallNet; expected HybridAttention3DNet",
        ),
        ({"normalization": "gray"}, "normalization is 'difference' there and 'gray' here"),
        (
            {"vision": load_config(find_config("surrogate_motion.py")).vision},
            r"vision\.num_frames is 8 there and 2 here",
        ),
    ],
)
def test_a_model_of_other_inputs_is_refused_by_what_differs(folder, changes, message):
    experiment = name_pretrained(experiment_of_the_paper(**changes), str(folder), "weights")
    with pytest.raises(ConfigError, match=message) as caught:
        read_start(experiment)
    assert "\n" not in str(caught.value)


def test_the_card_names_the_start_without_its_place(clips, network):
    start = dataclasses.replace(network, model="elsewhere/runs/smic_ha/model")
    experiment = start_from(start, epochs=1, epochs_per_chunk=1)
    result = mer_jax.train(experiment, clips, pretrained=start)["subject"]
    training = describe_trained(experiment, clips, result, method="a test", epochs=1).training
    assert training["corpora"] == ["toy"]
    assert training["pretrained"] == f"with the weights of smic_ha, checksum {start.record.checksum}"


def test_an_ensemble_or_an_older_preparation_is_no_start(tmp_path):
    folder = write_model(tmp_path / "members", *make_network_model(members=2))
    experiment = name_pretrained(experiment_of_the_paper(), str(folder), "weights")
    with pytest.raises(ConfigError, match="has 2 sets of weights; expected one"):
        read_start(experiment)
    folder = write_model(tmp_path / "old", *make_network_model(vision_version=VISION_VERSION - 1))
    with pytest.raises(ConfigError, match=f"vision_version is {VISION_VERSION - 1} there and {VISION_VERSION} here"):
        read_start(name_pretrained(experiment_of_the_paper(), str(folder), "weights"))


def make_start(**fields):
    return Start("toy", "weights", describe(**fields), {})


def test_a_model_of_the_people_who_are_tested_is_refused(clips):
    names = {"class_names": clips.class_names}
    seen = make_start(training={"corpus": "toy", "fingerprint": clips.fingerprint}, **names)
    with pytest.raises(ConfigError, match="it has seen the people that a fold leaves out"):
        seen.check_people(clips)
    others = make_start(training={"corpus": "smic", "fingerprint": "other"}, provenance="licensed", **names)
    assert "trained on people of smic; scores hold only if" in others.check_people(clips)
    rendered = dataclasses.replace(others.description, provenance="surrogate")
    assert not dataclasses.replace(others, description=rendered).check_people(clips)
    with pytest.raises(ConfigError, match="answers negative, positive, surprise; the corpus has upper, lower, still"):
        make_start().check_people(clips)


@pytest.mark.parametrize(
    ("trained", "tested"),
    [
        ({"corpus": "megc2019", "corpora": ["casme2", "smic"]}, ("smic", "smic")),
        ({"corpus": "smic", "corpora": ["smic"]}, ("megc2019", "smic")),
        ({"corpus": "smic"}, ("megc2019", "smic")),  # written by an older version
    ],
)
def test_a_composite_and_its_corpora_share_people(clips, trained, tested):
    name, some = tested
    clips = dataclasses.replace(clips, corpus_name=name, corpus=("samm", *(some,) * (len(clips) - 1)))
    training = {**trained, "fingerprint": "other"}
    start = make_start(training=training, provenance="licensed", class_names=clips.class_names)
    with pytest.raises(ConfigError, match="toy was trained on smic, which is tested here"):
        start.check_people(clips)


def test_a_missing_corpus_is_refused_before_clips_are_rendered(tmp_path, monkeypatch):
    def render(*_, **__):
        raise AssertionError("rendered before the corpus was found")

    monkeypatch.setattr("experiments.pretrained._load_clips", render)
    experiment = name_pretrained(load_config(find_config("surrogate_motion.py")), "surrogate-motion", "clips")
    with pytest.raises(CorpusError, match="none"):
        run_experiment(experiment, RunOptions(manual_dir=tmp_path / "none", data_dir=tmp_path))


def test_the_shipped_classifier_sets_the_cells():
    experiment = name_pretrained(load_config(find_config("surrogate_motion.py")), "surrogate-motion", "weights")
    assert experiment.model.cells == 28
    assert experiment.pretraining.model == "surrogate-motion"
    start = read_start(experiment)
    shipped = np.load(SHIPPED / "surrogate-motion" / "weights.npz")["0/weights"]
    np.testing.assert_array_equal(start.weights["weights"], shipped)
    with pytest.raises(ModelError, match="there is no model 'surrogate-notion'"):
        name_pretrained(experiment, "surrogate-notion", "weights")


def test_only_standard_flow_is_helped_among_baselines(tmp_path):
    rng = np.random.default_rng(0)
    motion = Clips.from_arrays(
        rng.integers(0, 256, (9, 28, 28, 3), np.uint8), np.arange(9) % 3, np.repeat(list("abc"), 3)
    )
    start = Pretrained("linear", {"weights": np.zeros((2352, 3), np.float32), "bias": np.zeros(3, np.float32)})
    experiment = start.apply_to(make_experiment(model=LinearFlow(), protocols=("loso",)))
    with pytest.raises(ConfigError, match="a model to start from for LinearFlow; expected a network, or StandardFlow"):
        mer_jax.train(experiment, motion, pretrained=start)


def test_a_network_and_a_classifier_do_not_start_from_each_other(clips, network):
    linear = Pretrained("linear", {"weights": np.zeros((588, 3), np.float32), "bias": np.zeros(3, np.float32)})
    with pytest.raises(ConfigError, match="linear has weights, bias; expected params, as SmallNet has"):
        mer_jax.train(start_from(linear), clips, pretrained=linear)
    motion = Clips.from_arrays(np.zeros((6, 28, 28, 3), np.uint8), [0, 1, 2] * 2, list("aabbcc"))
    experiment = network.apply_to(make_experiment(model=StandardFlow(), protocols=("loso",)))
    with pytest.raises(ConfigError, match=r"toy has .*expected weights and bias, as StandardFlow has"):
        mer_jax.train(experiment, motion, pretrained=network)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--config", "smic_linear.py", "--pretrained", "surrogate-motion"],
            "got --pretrained=surrogate-motion, a StandardFlow, for an experiment with LinearFlow",
        ),
        (["--config", "smic_ha.py", "--pretrained_by", "clips"], "got --pretrained_by without --pretrained"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.run", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_network_run_from_the_model_of_another_is_recorded_and_repeats(tmp_path):
    small = [
        "--config", "smic_ha.py", "--config.surrogate_clips=18", "--config.surrogate_subjects=6",
        "--config.surrogate_difficulty=easy", "--config.protocols=subject", "--config.num_folds=3",
        "--config.batch_size=16", "--config.epochs=4", "--config.min_epochs=2", "--config.epochs_per_chunk=1",
        "--config.model.features=2", "--config.model.path_dense=8", "--config.model.fusion_dense=8",
        "--data_dir", str(tmp_path / "data"),
    ]  # fmt: skip

    def run(*arguments):
        command = [sys.executable, "-m", "experiments.run", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first, second = tmp_path / "first", tmp_path / "second"
    run(*small, "--config.surrogate_seed=1", "--workdir", str(first))
    run(*small, "--workdir", str(second), "--pretrained", str(first))
    recorded = json.loads((second / "config.json").read_text())["experiment"]["pretraining"]
    assert recorded["model"] == str(first / "model")
    assert len(recorded["checksum"]) == 32
    assert recorded["checksum"] in (second / "model" / "CARD.md").read_text()
    repeat = ["--repeat", str(second), "--data_dir", str(tmp_path / "data"), "--workdir", str(tmp_path / "third")]
    assert "predictions.csv is identical" in run(*repeat)
    compared = subprocess.run(
        [sys.executable, "-m", "mer_jax.cli.main", "compare", str(first), str(second)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "SURROGATE" in compared.stdout or compared.returncode
