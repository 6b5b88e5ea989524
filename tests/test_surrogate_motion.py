"""Weights taught by rendered people: recordings, the recipe, the shipped folder, and features of other people."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import mer_jax
from benchmarks import real_motion
from datasets.megc2019.prepared import find_channel_fault, load_prepared, write_prepared
from datasets.surrogate.motion_clips import record_motion
from datasets.surrogate.recording import DomainRandomization, Recording, record
from experiments.surrogate_motion import Recipe, Taught, choose_model, compare_folders, teach, write_taught
from mer_jax.baselines import StandardFlow
from mer_jax.data.clips import Clips
from mer_jax.data.motion import mirror, quantize, standardize, stretch
from mer_jax.errors import ConfigError, CorpusError, ModelError, ShapeError
from mer_jax.evaluation import metrics
from mer_jax.prediction.alignment import align, find_box, measure_activity, read_activity
from mer_jax.prediction.model import SHIPPED
from mer_jax.prediction.model_folder import read_model, write_model
from mer_jax.vision.options import VisionOptions
from tests.toy_models import make_linear_model

ROOT = Path(__file__).parents[1]
SMALL = Recipe(
    laboratories=("smic", "casme2"), seeds=(1,), coarse=(1.0,), people=2, clips_each=9, difficulty="easy",
    cells=(14,), penalties=(0.1, 0.3),
)  # fmt: skip


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def taught(cache) -> Taught:
    return teach(SMALL, cache, workers=1, say=silent)


@pytest.fixture(scope="module")
def clips(taught, cache) -> Clips:
    """36 clips of 4 people in two laboratories, from the cache."""
    return record_motion(SMALL.recordings(), cache, workers=1, say=silent)


def test_recordings_hold_all_classes_alike_and_say_surrogate(clips):
    assert clips.kind == "motion"
    assert clips.provenance == "surrogate"
    assert clips.class_names == ("negative", "positive", "surprise")
    assert clips.class_counts().tolist() == [12, 12, 12]
    assert clips.num_subjects == 4
    assert set(clips.corpus) == {"smic", "casme2"}


def test_recordings_are_the_same_whoever_films_them(clips, tmp_path):
    again = record_motion(SMALL.recordings()[:1], tmp_path, workers=2, say=silent)
    np.testing.assert_array_equal(again.pictures, clips.pictures[:18])
    assert again.clip_id == clips.clip_id[:18]


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([Recording(laboratory="smik", people=1, clips_each=3)], "no laboratory 'smik'; did you mean 'smic'"),
        ([Recording(laboratory="smic", people=0, clips_each=3)], "subjects is 0"),
        ([Recording(laboratory="smic", people=1, clips_each=3, version=5)], "version of the surrogate is 5"),
        ([Recording(laboratory="smic", people=1, clips_each=3)] * 2, "different laboratories or seeds"),
        ([], "at least one"),
    ],
)
def test_recordings_that_cannot_be_made_are_refused(recordings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        record_motion(recordings, tmp_path, workers=1, say=silent)


class FilmsNobody:
    """A task in whose frames no face is found."""

    def __init__(self, recording: Recording):
        pass

    def __call__(self, person: int):
        return ()

    def close(self):
        pass


def test_a_recording_without_a_face_is_refused(tmp_path):
    recording, said = Recording(laboratory="smic", people=1, clips_each=3), []
    with pytest.raises(CorpusError, match="SURROGATE smic: no face was found in any of 3 clips; expected"):
        record([recording], FilmsNobody, lambda _: tmp_path / "x.npz", corpus_name="x", workers=1, say=said.append)
    assert list(tmp_path.iterdir()) == []


def test_easy_expressions_are_recognised_in_another_laboratory(clips):
    model = StandardFlow(cells=14, penalty=0.3)
    first, second = (clips.select(np.flatnonzero(np.asarray(clips.corpus) == name)) for name in ("smic", "casme2"))
    weights, bias = model.fit(model.features(first.pictures), first.label)
    answers = (model.features(second.pictures) @ weights + bias).argmax(1)
    assert (answers == second.label).mean() > 0.6  # chance is .33, its standard error .11


def test_the_recipe_makes_the_same_bytes_again(taught, cache, tmp_path):
    first = write_taught(taught, tmp_path / "first")
    again = write_taught(teach(SMALL, cache, workers=1, say=silent), tmp_path / "again")
    compare_folders(again, first)
    (again / "CARD.md").write_text("other")
    with pytest.raises(ModelError, match=r"CARD\.md differs .* not the shipped weights"):
        compare_folders(again, first)


def test_a_taught_model_answers_and_says_what_it_is(taught, clips, tmp_path):
    model = mer_jax.load(write_taught(taught, tmp_path / "model"))
    answers = model.predict(clips.pictures)
    right = [answer.best_guess == clips.class_names[label] for answer, label in zip(answers, clips.label, strict=True)]
    assert np.mean(right) > 0.6  # it was taught on these
    assert model.card.startswith("# SURROGATE: surrogate-motion")
    assert "no recording, picture or label of a person" in model.card
    assert model.description.vision == VisionOptions(num_frames=2, sampling="apex", mask="none", crop="eyes")
    first, second = model.description.expected
    assert first["n_clips"] == second["n_clips"] == 18
    assert 0 < first["uf1"] <= 1


def test_the_choice_prefers_a_low_penalty_among_equals(clips):
    chosen, tried = choose_model(SMALL, clips, silent)
    assert len(tried) == 2
    scores = {model.penalty: score for model, score in tried}
    best = max(scores.values())
    tolerance = 2 * np.sqrt(best * (1 - best) / len(clips))
    assert chosen.penalty == min(penalty for penalty, score in scores.items() if score >= best - tolerance)


def test_mirror_images_have_the_opposite_horizontal_flow():
    features = np.random.default_rng(0).normal(0, 0.1, (2, 28, 28, 3)).astype(np.float32)
    features[..., 2] = np.abs(features[..., 2])
    expected = features[:, :, ::-1] * np.float32([-1, 1, 1])
    np.testing.assert_array_equal(mirror(quantize(features)), quantize(expected))
    np.testing.assert_array_equal(mirror(mirror(quantize(features))), quantize(features))


# --- The shipped folder.


def test_the_shipped_weights_are_small_and_say_what_they_are():
    model = mer_jax.load("surrogate-motion")
    assert model.folder == SHIPPED / "surrogate-motion"
    assert sum(path.stat().st_size for path in model.folder.iterdir()) < 200_000
    assert model.description.is_surrogate
    assert model.class_names == ("negative", "positive", "surprise")
    assert "SURROGATE" in model.card
    assert read_activity(model.folder).shape == (28, 28, 3)
    recipe = {name: str(value) for name, value in dataclasses.asdict(Recipe()).items()}
    assert model.description.training["recipe"] == recipe  # of the command that makes them again


def test_the_shipped_weights_answer_on_rendered_people(clips):
    """Other seeds and difficulty than it was taught on; chance is .33 with a standard error of .08."""
    answers = mer_jax.load("surrogate-motion").probabilities(stretch(clips.pictures)).argmax(1)
    confusion = metrics.confusion_matrix(clips.label.astype(np.int64), answers, 3)
    assert metrics.uf1(confusion) > 0.65


def test_a_video_of_a_rendered_person_is_answered(tmp_path):
    from datasets.surrogate.camera import Camera
    from datasets.surrogate.identity import sample_subject
    from datasets.surrogate.plan import CorpusOptions
    from datasets.surrogate.smic import GEOMETRY
    from datasets.surrogate.studio import make_renderer, render_clip

    subject = sample_subject(3, 0, GEOMETRY.tones)
    spec = CorpusOptions("easy", seed=3, version=2).sample_clip(0, subject, "positive", GEOMETRY)
    renderer = make_renderer(subject, GEOMETRY, version=2)
    frames = np.stack([frame.image for frame in render_clip(renderer, Camera(GEOMETRY.shape, 2.0), spec)])
    answer = mer_jax.load("surrogate-motion").predict(frames, apex=spec.apex)
    assert answer.verdict in ("ok", "warn")
    assert answer.best_guess == "positive"


# --- Features of others.


@pytest.fixture
def published(clips, tmp_path):
    """The clips in the layout and encoding of published features."""
    return write_prepared(dataclasses.replace(clips, corpus=("smic",) * len(clips)), tmp_path / "features")


def test_published_features_are_read_as_they_were_written(clips, published):
    read = load_prepared(published)
    assert read.provenance == "surrogate"
    order = [clips.clip_id.index(name.removeprefix("smic_")) for name in read.clip_id]
    np.testing.assert_array_equal(read.pictures, stretch(clips.pictures[order]))
    np.testing.assert_array_equal(read.label, clips.label[order])
    model = StandardFlow()
    rounding = np.abs(model.features(read.pictures) - model.features(clips.pictures[order]))
    assert rounding.mean() < 0.05  # the encoding changes hardly anything


def rewrite(folder, change):
    for path in folder.rglob("*.png"):
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture[..., ::-1], "the first channel looks like strain, .* BGR"),
        (lambda picture: picture[..., [0, 2, 1]], "the first channel looks like vertical flow"),
        (lambda picture: np.repeat(picture[..., :1], 3, axis=2), "the three channels are the same, as in gray"),
        (lambda picture: picture[:20], "28x20 pixels; expected motion features of 28x28"),
        (lambda picture: cv2.resize(picture, (56, 56)), "56x56 pixels; expected motion features of 28x28"),
    ],
)
def test_features_in_another_encoding_are_refused_in_one_line(published, change, message):
    rewrite(published, change)
    with pytest.raises(CorpusError, match=message) as caught:
        load_prepared(published)
    assert "\n" not in str(caught.value)


def test_a_class_without_clips_is_refused(published):
    labels = published / "labels.csv"
    labels.write_text("\n".join(line for line in labels.read_text().splitlines() if not line.endswith("2")))
    with pytest.raises(CorpusError, match=r"no clip of class surprise is in .*labels\.csv"):
        load_prepared(published)


def test_floats_are_no_pictures(published):
    for path in published.rglob("*.png"):
        np.save(path.with_suffix(".npy"), np.zeros((28, 28, 3)))
        path.unlink()
    with pytest.raises(CorpusError, match=r"no picture fits one; .*There are \.npy files: store features as pictures"):
        load_prepared(published)


def test_too_few_clips_to_tell_the_channels_pass():
    assert find_channel_fault(np.zeros((3, 28, 28, 3), np.uint8)) == ""


@pytest.mark.parametrize(("right", "down", "scale"), [(2.0, -1.0, 1.0), (0.0, 1.5, 1.16), (-1.0, 0.0, 0.86)])
def test_a_moved_box_is_found_without_labels(clips, right, down, scale):
    reference = measure_activity(clips.pictures)
    middle = 13.5
    inverse = np.float32(
        [[1 / scale, 0, middle - (middle + right) / scale], [0, 1 / scale, middle - (middle + down) / scale]]
    )
    theirs = np.stack(
        [
            cv2.warpAffine(
                picture,
                inverse,
                (28, 28),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for picture in clips.pictures
        ]
    )
    box = find_box(measure_activity(theirs), reference)
    assert (box.right, box.down) == pytest.approx((right, down), abs=0.8)
    assert box.scale == pytest.approx(scale, rel=0.08)
    assert box.is_moved
    back, before = (np.abs(standardize(each) - standardize(clips.pictures))[:, 6:22, 6:22].mean()
                    for each in (align(theirs, box), theirs))  # fmt: skip
    assert back < 0.6 * before


def test_a_box_that_fits_is_left_alone(clips):
    box = find_box(measure_activity(clips.pictures[::2]), measure_activity(clips.pictures[1::2]))
    assert not box.is_moved
    assert "not used" in str(box)


def test_the_benchmark_reports_the_shipped_weights_first(published, tmp_path, monkeypatch, capsys):
    arguments = ["real_motion", "--features", str(published), "--json", str(tmp_path / "x.json")]
    monkeypatch.setattr("sys.argv", arguments)
    real_motion.main()
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["rows"][0]["classifier"] == "shipped weights, box as it is"
    assert float(written["rows"][0]["UF1"]) > 0.6
    printed = capsys.readouterr().out
    assert "SURROGATE: rendered people; 36 clips of 4 people" in printed
    assert "box: shift" in printed


def test_the_benchmark_refuses_too_few_people(clips):
    with pytest.raises(CorpusError, match="clips of 1 people; expected 3 or more"):
        real_motion.check_people(clips.select(np.arange(9)))


def test_domain_randomization_changes_the_features_and_not_the_people():
    plain = Recording(laboratory="smic", people=1, clips_each=3)
    assert plain.key(1) != dataclasses.replace(plain, randomization=DomainRandomization(flow_noise=0.2)).key(1)


# --- Features given to the model itself.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pictures: pictures.astype(np.float32), r"got pictures as float32 of shape .*uint8 of shape"),
        (lambda pictures: pictures[:, :20], r"got pictures of shape \(3, 20, 28, 3\); expected motion features of"),
        (lambda pictures: pictures.transpose(0, 3, 1, 2), r"got (clips|pictures) of shape \(3, 3, 28, 28\)"),
    ],
)
def test_features_of_another_form_are_refused_by_the_model(clips, change, message):
    with pytest.raises(ShapeError, match=message):
        mer_jax.load("surrogate-motion").predict(change(clips.pictures[:3]))


def test_weights_for_other_features_are_refused(tmp_path):
    description, arrays = read_model(SHIPPED / "surrogate-motion")
    architecture = {**description.architecture, "features_version": description.architecture["features_version"] + 1}
    folder = write_model(tmp_path / "other", dataclasses.replace(description, architecture=architecture), arrays)
    with pytest.raises(ModelError, match="weights for motion features of version 2; this is version 1"):
        mer_jax.load(folder)


def test_the_benchmark_is_for_the_classifier_of_the_shipped_weights(published, tmp_path, monkeypatch):
    folder = write_model(tmp_path / "linear", *make_linear_model())
    monkeypatch.setattr("sys.argv", ["real_motion", "--features", str(published), "--model", str(folder)])
    with pytest.raises(ConfigError, match="the model toy is a LinearFlow; expected a StandardFlow"):
        real_motion.main()
