import dataclasses
import json

import cv2
import matplotlib.image
import numpy as np
import pytest

from datasets.load import load_corpus
from experiments import picture
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.errors import ConfigError
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.results import ProtocolResult, write_metrics
from mer_jax.models import HybridAttention3DNet, STSTNet
from mer_jax.report.figures import FaceExample
from mer_jax.report.overview import AnsweredClip, draw_overview
from mer_jax.system.files import seal
from mer_jax.training.train import fingerprint
from mer_jax.vision.options import VisionOptions

NAMES = ("negative", "positive", "surprise")
# True class 0, 1, 2, 0, 1, 2; the third and the last clip are confused; certainty of the others .9, .5, .7, .6.
TRUE = np.array([0, 1, 2, 0, 1, 2])
PROBABILITIES = np.array(
    [[0.9, 0.05, 0.05], [0.3, 0.5, 0.2], [0.6, 0.2, 0.2], [0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1]], np.float32
)


@pytest.fixture
def clips() -> Clips:
    faces = np.full((6, 18, 128, 128), 100, np.uint8)
    faces[:, 11, 80:90, 40:90] = 200  # the largest change is in frame 11
    return Clips.from_arrays(
        faces,
        TRUE,
        ["s1", "s1", "s2", "s2", "s3", "s3"],
        class_names=NAMES,
        corpus_name="smic",
        provenance="surrogate",
    )


@pytest.fixture
def result(clips) -> ProtocolResult:
    return ProtocolResult(
        protocol="subject",
        corpus="smic",
        provenance="surrogate",
        clip_id=clips.clip_id,
        subject=clips.subject,
        fold=np.array([0, 0, 1, 1, 2, 2]),
        copy=np.zeros(6, int),
        seed=np.zeros(6, int),
        true=TRUE,
        probabilities=PROBABILITIES,
        class_names=NAMES,
        audit={"disjoint_by": "subject"},
    )


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(
        name="smic_ha", corpus="smic", model=HybridAttention3DNet(), vision=VisionOptions(), protocols=("subject",)
    )


def write_run(folder, experiment, clips, result):
    config = {"experiment": experiment.to_dict(), "fingerprint": fingerprint(experiment, clips)}
    (folder / "config.json").write_text(json.dumps(seal(config)))
    write_predictions(folder / "predictions.csv", [result])
    write_metrics(folder / "metrics.json", [result])
    return folder


def write_recording(folder):
    """Frames 0 to 34; the gray level of each is its number."""
    paths = [folder / f"image{number:06d}.png" for number in range(35)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((48, 64, 3), number, np.uint8))
    return tuple(paths)


def test_the_clip_shown_has_the_median_certainty_of_the_recognised(result):
    assert picture.choose_row(result) == 4  # of .5 .6 .7 .9 the lower of the two in the middle


def test_a_clip_can_be_named(result, clips):
    assert picture.choose_row(result, clips.clip_id[2]) == 2
    with pytest.raises(ConfigError, match=r"no tested clip is called 'clip_0000'; did you mean 'clip_0000\d'"):
        picture.choose_row(result, "clip_0000")


def test_a_run_that_recognises_nothing_has_no_clip_to_show(result):
    wrong = dataclasses.replace(result, true=(result.predicted + 1) % 3)
    with pytest.raises(ConfigError, match="recognised no clip; name the one to show with --clip"):
        picture.choose_row(wrong)


def test_what_is_shown_belongs_to_the_clip(experiment, clips, result, tmp_path):
    shown = picture.show_clip(experiment, clips, result, 3, write_recording(tmp_path))
    assert (shown.face.clip_id, shown.face.subject, shown.face.class_name) == (clips.clip_id[3], "s2", "negative")
    assert shown.frame == 11
    assert shown.recording.shape == (48, 64, 3)
    assert (shown.recording == 22).all()  # frame 11 of 18 is frame 22 of 35
    np.testing.assert_array_equal(shown.probabilities, PROBABILITIES[3])
    assert "accuracy 0.667\nof 6 clips" in shown.caption
    assert shown.face.fed[0].max() == 0  # the difference from the onset
    assert shown.face.fed[11].max() > 1


def test_the_command_draws_a_run(experiment, clips, result, tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path, experiment, clips, result)
    frames = write_recording(tmp_path)
    monkeypatch.setattr(picture, "load_clip_frames", lambda *arguments: (clips, frames))
    picture.main([str(run)])
    assert f"clip {clips.clip_id[4]}" in capsys.readouterr().out
    pixels = matplotlib.image.imread(run / "overview.png")
    assert pixels.shape[1] > 2 * pixels.shape[0]
    assert pixels.std() > 0.05


def test_other_clips_than_those_of_the_run_are_refused(experiment, clips, result, tmp_path, monkeypatch):
    run = write_run(tmp_path, experiment, clips, result)
    other = dataclasses.replace(clips, fingerprint="another")
    monkeypatch.setattr(picture, "load_clip_frames", lambda *arguments: (other, ()))
    with pytest.raises(ConfigError, match=r"the clips are not the same\. Give the --manual_dir and --data_dir"):
        picture.main([str(run)])


def test_frames_of_a_clip_are_those_of_its_recording(experiment, tmp_path):
    small = dataclasses.replace(
        experiment, surrogate_clips=6, surrogate_subjects=3, surrogate_difficulty="easy", surrogate_seed=1
    )
    clips, _ = load_corpus(small, data_dir=tmp_path, say=lambda line: None)
    again, frames = picture.load_clip_frames(small, clips.clip_id[2], None, str(tmp_path))
    assert again.fingerprint == clips.fingerprint
    assert len(frames) > 5
    assert {path.parent.name for path in frames} == {clips.clip_id[2]}
    assert all(path.is_file() for path in frames)


def test_a_run_of_motion_features_is_refused(experiment, clips, result, tmp_path):
    run = write_run(tmp_path, dataclasses.replace(experiment, model=STSTNet()), clips, result)
    with pytest.raises(ConfigError, match="a run of STSTNet, which takes motion features; expected a run of a network"):
        picture.main([str(run)])


def test_a_run_without_a_subject_disjoint_protocol_is_refused(experiment, clips, result, tmp_path):
    run = write_run(tmp_path, experiment, clips, dataclasses.replace(result, protocol="paper", audit={}))
    with pytest.raises(ConfigError, match="has the protocols paper; expected one that keeps people apart"):
        picture.main([str(run)])


def test_surrogate_and_licensed_pictures_differ(clips):
    face = FaceExample("negative", "c", "s", clips.pictures[0], np.zeros((18, 128, 128), np.float32))
    shown = AnsweredClip(face, np.zeros((48, 64), np.uint8), 11, NAMES, np.array([0.9, 0.1, 0.0]), "a net")
    assert draw_overview(shown, "surrogate") != draw_overview(shown, "licensed")
