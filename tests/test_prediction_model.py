"""A model that is handed on: what is written is what is read, and what is damaged is said in one line."""

import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import mer_jax
from mer_jax.baselines import LbpTop, LinearFlow
from mer_jax.errors import ConfigError, ModelError, ShapeError
from mer_jax.models.hybridattention3dnet import HybridAttention3DNet
from mer_jax.prediction.classifier import flatten_members, make_classifier
from mer_jax.prediction.model import TrainedModel, shipped_models
from mer_jax.prediction.model_folder import read_model, write_model
from mer_jax.system.files import seal
from tests.toy_models import describe, describe_linear, make_linear_model, make_network_model, make_weights
from tests.toy_training import NET_OF_THE_PAPER, SmallNet

EXPECTED = {
    "corpus": "toy", "protocol": "subject", "provenance": "surrogate", "n_clips": 36, "n_subjects": 6,
    "accuracy": 0.75, "uf1": 0.7, "uar": 0.71,
    "intervals": {"accuracy": {"low": 0.5, "high": 0.9, "method": "effective-sample Wilson over 6 people"}},
    "chance": {"accuracy": 1 / 3}, "majority": {"accuracy": 0.4},
    "per_class": {"negative": {"support": 12, "recall": 0.8, "precision": None}},
    "calibration": {"ece": 0.2, "ece_calibrated": 0.05},
    "answers": [{"threshold": 0.5, "share": 0.8, "accuracy": 0.85, "answered": 29}],
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "toy"
    return write_model(folder, *make_network_model(temperature=1.5, threshold=0.4, expected=[EXPECTED]))


@pytest.fixture
def copy(written, tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    for path in written.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 128, 128), np.uint8)


def rewrite(folder, **changes):
    """Writes other fields into model.json, with a checksum that holds."""
    plain = json.loads((folder / "model.json").read_text())
    del plain["checksum"]
    plain = {name: value for name, value in {**plain, **changes}.items() if value is not ...}
    (folder / "model.json").write_text(json.dumps(seal(plain)))


def test_what_is_written_is_read(written):
    description, arrays = read_model(written)
    first, first_arrays = make_network_model(temperature=1.5, threshold=0.4, expected=[EXPECTED])
    assert description == dataclasses.replace(first, expected=description.expected)
    assert description.to_plain() == first.to_plain()
    assert arrays.keys() == first_arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, first_arrays[name])


def test_same_model_is_written_byte_for_byte(written, tmp_path):
    description, arrays = read_model(written)
    again = write_model(tmp_path / "again", description, arrays)
    for path in written.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_writing_replaces_a_whole_folder_and_leaves_nothing_beside_it(copy):
    (copy / "old_file").write_text("x")
    write_model(copy, *make_linear_model())
    assert sorted(path.name for path in copy.iterdir()) == ["CARD.md", "model.json", "weights.npz"]
    assert [path.name for path in copy.parent.iterdir()] == ["toy"]
    assert mer_jax.load(copy).description.kind == "linear"


def test_failed_write_leaves_the_model_that_was_there(copy):
    description, arrays = make_network_model()
    arrays["0/params/nan"] = np.array([np.nan], np.float32)
    before = (copy / "model.json").read_bytes()
    with pytest.raises(ModelError, match="finite"):
        write_model(copy, description, arrays)
    assert (copy / "model.json").read_bytes() == before


def test_network_answers_as_its_weights_do(written, faces):
    from mer_jax.data.views import make_halves

    model = mer_jax.load(written)
    logits = NET_OF_THE_PAPER.apply(make_weights(), *make_halves(jnp.asarray(faces), "difference"), is_training=False)
    expected = np.exp(np.asarray(logits) / 1.5)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(faces), expected, atol=1e-5)
    one = model.predict(faces[1])
    assert max(one.probabilities, key=one.probabilities.get) == one.best_guess
    np.testing.assert_allclose(list(one.probabilities.values()), expected[1], atol=1e-5)
    assert [each.best_guess for each in model.predict(faces)] == [
        model.class_names[index] for index in expected.argmax(1)
    ]


def test_many_clips_are_answered_in_batches_as_one_by_one(written):
    clips = np.random.default_rng(1).integers(0, 256, (19, 8, 128, 128), np.uint8)
    model = mer_jax.load(written)
    together = model.probabilities(clips)
    np.testing.assert_allclose(together, np.concatenate([model.probabilities(each[None]) for each in clips]), atol=1e-5)
    assert model.probabilities(clips[:0]).shape == (0, 3)


def test_ensemble_is_the_mean_of_its_members(faces):
    description, arrays = make_network_model(members=2)
    alone = []
    for member in range(2):
        own = flatten_members([make_weights(seed=member)])
        alone.append(make_classifier(describe(), own).probabilities(faces))
    together = make_classifier(description, arrays).probabilities(faces)
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-6)
    assert "2 sets of weights" in TrainedModel(description, arrays).card


def test_bfloat16_model_computes_in_bfloat16(faces):
    half = TrainedModel(*make_network_model(precision="bfloat16")).probabilities(faces)
    full = TrainedModel(*make_network_model()).probabilities(faces)
    np.testing.assert_allclose(half, full, atol=0.05)
    assert not np.array_equal(half, full)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_baseline_kept_as_a_linear_map_answers_as_before(num_classes):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (24, 28, 28, 3), np.uint8)
    labels = np.arange(24) % num_classes
    baseline = LinearFlow(num_classes=num_classes, components=8)
    features = baseline.features(pictures)
    weights, bias = baseline.fit(features[:18], labels[:18], 0)
    member = {"weights": weights, "bias": bias}
    architecture = {"class": "LinearFlow", "num_classes": num_classes, "components": 8}
    description = describe_linear(architecture=architecture, class_names=("a", "b", "c")[:num_classes])
    got = make_classifier(description, flatten_members([member])).probabilities(pictures[18:])
    np.testing.assert_allclose(got, baseline.fit_predict(features[:18], labels[:18], features[18:], 0), atol=1e-4)


def test_local_binary_patterns_are_kept_as_a_linear_map(faces):
    baseline = LbpTop(blocks=2)
    features, labels = baseline.features(faces), np.arange(3)
    weights, bias = baseline.fit(features, labels, 0)
    logits = features @ weights + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, baseline.fit_predict(features, labels, features, 0), atol=1e-6)


def test_a_class_without_clips_cannot_be_kept():
    with pytest.raises(ConfigError, match="no clip of class 1"):
        LinearFlow(components=2).fit(np.eye(4), np.array([0, 0, 2, 2]), 0)


def test_linear_model_answers_without_opencv(tmp_path):
    folder = write_model(tmp_path / "flow", *make_linear_model())
    np.save(tmp_path / "motion.npy", np.full((28, 28, 3), (128, 200, 128), np.uint8))
    program = (
        "import sys; sys.modules.update({name: None for name in ('cv2', 'mediapipe')});"
        "import numpy, mer_jax; model = mer_jax.load(sys.argv[1]);"
        "print(model.predict(numpy.load(sys.argv[2])).label)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "motion.npy")], capture_output=True, text=True
    )
    assert done.stdout == "positive\n", done.stderr


def test_answer_below_the_threshold_is_withheld(faces):
    sure = TrainedModel(*make_network_model(threshold=0.0)).predict(faces[0])
    unsure = TrainedModel(*make_network_model(threshold=0.999)).predict(faces[0])
    assert sure.label == sure.best_guess == unsure.best_guess
    assert unsure.label is None
    assert "is below 1.00" in unsure.abstained[0]
    assert "no answer (SURROGATE)" in str(unsure)
    assert json.loads(json.dumps(unsure.to_plain()))["label"] is None


def test_card_is_written_from_the_description(written):
    card = mer_jax.load(written).card
    assert card.startswith("# SURROGATE: toy\n\nSURROGATE")
    for said in (
        "| accuracy | 0.750 | 0.500 to 0.900 (effective-sample Wilson over 6 people) | 0.333 | 0.400 |",
        "| UF1 | 0.700 | none | none | none |", "36 clips of 6 people", "| negative | 12 | 0.800 | none |",
        "Below a confidence of 0.40", "article 5(1)(f)", "neither a lie nor a feeling", "0.050 with the temperature",
    ):  # fmt: skip
        assert said in card
    licensed = TrainedModel(*make_network_model(provenance="licensed")).card
    assert licensed.startswith("# toy\n")
    assert "SURROGATE" not in licensed
    assert "Expect nothing" in licensed


@pytest.mark.parametrize("name", ["model.json", "weights.npz", "CARD.md"])
@pytest.mark.parametrize("damage", ["missing", "cut short", "flipped bit", "empty"])
def test_damage_is_one_line(copy, name, damage):
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut short": content[:-20], "flipped bit": content, "empty": b""}[damage])
    with pytest.raises(ModelError, match=name) as error:
        mer_jax.load(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "library": "9.0"}, "format 2, written by mer_jax 9.0"),
        ({"format": "1"}, "format '1'"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"kind": ...}, "lacks kind"),
        ({"kind": "forest"}, "kind is 'forest'"),
        ({"class_names": "abc"}, "class_names is 'abc'"),
        ({"class_names": ["a", "b"]}, "answers 3 classes; expected 2"),
        ({"temperature": 0}, "temperature is 0"),
        ({"threshold": 2}, "threshold is 2"),
        ({"provenance": "found"}, "provenance is 'found'"),
        ({"vision": {"zoom": 1}}, "field zoom"),
        ({"vision": {"crop": "tight"}}, "crop is 'tight'"),
        ({"vision": []}, "expected an object or null"),
        ({"num_frames": 1}, "cannot take its own clips"),
        ({"num_frames": 12}, "have shape"),
        ({"members": 2}, "lack 1/params"),
        ({"view": "motion"}, "takes motion, but HybridAttention3DNet"),
        ({"files": {}}, "lacks the checksums"),
        ({"architecture": {"class": "HybridAttention9DNet"}}, "did you mean 'HybridAttention3DNet'"),
        ({"architecture": {"class": "HybridAttention3DNet", "heads": 4}}, "a field heads"),
        ({"architecture": {"class": "HybridAttention3DNet", "conv": {"features": 0}}}, "got features=0"),
        ({"architecture": {}}, "architecture is {}"),
        ({"kind": "linear"}, "is a HybridAttention3DNet, which"),
    ],
)
def test_model_that_this_version_cannot_use_is_one_line(copy, changes, message):
    rewrite(copy, **changes)
    with pytest.raises(ModelError, match="(?s).*".join([message.replace("(", r"\(").replace("{", r"\{")])) as error:
        mer_jax.load(copy)
    assert "\n" not in str(error.value)


def test_arrays_that_the_network_does_not_have_are_refused():
    description, arrays = make_network_model()
    with pytest.raises(ModelError, match="0/params/other, which the network does not have"):
        TrainedModel(description, {**arrays, "0/params/other": np.zeros(1, np.float32)})
    with pytest.raises(ModelError, match="has the arrays 0/bias, 0/weights; got none"):
        TrainedModel(describe_linear(), {})
    with pytest.raises(ModelError, match=r"expected \[features, 3\]"):
        TrainedModel(describe_linear(), {"0/weights": np.zeros((4, 2)), "0/bias": np.zeros(2)})


def test_pickled_weights_are_not_opened(copy):
    import hashlib
    import io

    content = io.BytesIO()
    np.savez(content, **{"0/params/x": np.array([{"a": 1}], dtype=object)})
    (copy / "weights.npz").write_bytes(content.getvalue())
    plain = json.loads((copy / "model.json").read_text())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    plain["files"]["weights.npz"] = {"bytes": len(content.getvalue()), "sha256": digest}
    rewrite(copy, files=plain["files"])
    with pytest.raises(ModelError, match="no archive of arrays"):
        mer_jax.load(copy)


def test_network_of_ones_own_is_given_to_load(tmp_path):
    network = SmallNet()
    arrays = flatten_members([make_weights(network)])
    folder = write_model(tmp_path / "own", describe(architecture={"class": "SmallNet"}), arrays)
    with pytest.raises(ModelError, match=r"SmallNet, which .* network=\.\.\.") as error:
        mer_jax.load(folder)
    assert "\n" not in str(error.value)
    assert mer_jax.load(folder, network=network).predict(np.zeros((8, 128, 128), np.uint8)).best_guess
    with pytest.raises(ModelError, match="linear model; expected no network"):
        TrainedModel(*make_linear_model(), network=HybridAttention3DNet())


def test_run_folder_stands_for_its_model(copy):
    copy.rename(copy.parent / "model")
    assert mer_jax.load(copy.parent).description.name == "toy"


def test_missing_model_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="there is no model 'nowhere'"):
        mer_jax.load("nowhere")
    with pytest.raises(ModelError, match=r"holds no model; expected model\.json"):
        mer_jax.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="--resume --final"):
        mer_jax.load(tmp_path)


def test_shipped_models_can_be_loaded_by_name():
    for name in shipped_models():
        assert mer_jax.load(name).description.name == name


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 128, 128)), "got clips as float64"),
        (np.zeros((9, 128, 128), np.uint8), "takes 8 frames"),
        (np.zeros((2, 8, 64, 64), np.uint8), "one clip at a time"),
    ],
)
def test_arrays_of_another_shape_are_one_line(written, array, message):
    with pytest.raises(ShapeError, match=message):
        mer_jax.load(written).predict(array)


def test_interval_of_a_prepared_clip_makes_no_sense(written, faces):
    with pytest.raises(ShapeError, match="with a prepared clip"):
        mer_jax.load(written).predict(faces[0], onset=2)
