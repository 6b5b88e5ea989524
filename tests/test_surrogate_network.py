"""Weights of a network that rendered people teach: faces in memory, the recipe, and the folder that is handed on."""

import dataclasses

import numpy as np
import pytest

import mer_jax
from datasets.surrogate.face_clips import record_faces
from datasets.surrogate.recording import Recording
from experiments.config_files import find_config, load_config
from experiments.configs.surrogate_ha import RECIPE
from experiments.surrogate_faces import RANDOMIZATION, describe_result, teach
from experiments.surrogate_motion import compare_folders
from mer_jax.errors import ConfigError
from mer_jax.vision.options import VisionOptions
from tests.toy_training import NET_OF_THE_PAPER

EIGHT = VisionOptions(num_frames=8)


def silent(_: str) -> None:
    pass


def record(folder, **fields):
    recording = Recording(laboratory="smic", people=1, clips_each=3, **fields)
    return record_faces([recording], folder, options=EIGHT, workers=1, say=silent)


def test_faces_of_rendered_people_are_clips_of_a_network(tmp_path):
    clips = record(tmp_path)
    assert clips.pictures.shape == (3, 8, 128, 128)
    assert clips.provenance == "surrogate"
    assert sorted(clips.label.tolist()) == [0, 1, 2]
    moved = np.abs(np.diff(clips.pictures.astype(int), axis=1)).mean(axis=(0, 2, 3))
    assert (moved > 0).all()
    np.testing.assert_array_equal(record(tmp_path).pictures, clips.pictures)  # from the cache


def test_randomization_changes_the_faces_and_not_what_happens(tmp_path):
    plain, changed = record(tmp_path), record(tmp_path, randomization=RANDOMIZATION)
    assert plain.label.tolist() == changed.label.tolist()
    assert not np.array_equal(plain.pictures, changed.pictures)


def test_a_low_frame_rate_repeats_frames(tmp_path):
    recording = Recording(laboratory="smic", people=1, clips_each=3)
    clips = record_faces([recording], tmp_path, options=EIGHT, slowest=0.3, workers=1, say=silent)
    same = (np.diff(clips.pictures.astype(int), axis=1) == 0).all(axis=(2, 3))
    assert same.any()
    assert not same.all(axis=1).any()


def test_the_recipe_leaves_each_laboratory_out_once():
    recordings = RECIPE.recordings()
    assert len({each.laboratory for each in recordings}) == 4
    experiment = load_config(find_config("surrogate_ha.py"))
    assert experiment.vision == VisionOptions()
    bad = dataclasses.replace(recordings[0], laboratory="smik")
    with pytest.raises(ConfigError, match="no laboratory 'smik'"):
        record_faces([bad], find_config("surrogate_ha.py").parent, options=EIGHT, workers=1, say=silent)


@pytest.mark.slow
def test_the_weights_are_made_again_bit_for_bit(tmp_path):
    experiment = dataclasses.replace(
        load_config(find_config("surrogate_ha.py")),
        model=NET_OF_THE_PAPER, vision=EIGHT, epochs=3, min_epochs=1, epochs_per_chunk=1,
    )  # fmt: skip
    recipe = dataclasses.replace(RECIPE, people=2, clips_each=3, difficulty="easy")
    result = teach(experiment, recipe, tmp_path / "first", tmp_path / "data", say=silent)
    assert "SURROGATE" in describe_result(result)
    assert set(result.corpora) == set(RECIPE.laboratories)
    model = mer_jax.load(tmp_path / "first")
    assert model.description.is_surrogate
    assert "no recording, picture or label of a person" in model.card
    teach(experiment, recipe, tmp_path / "second", tmp_path / "other", say=silent)
    compare_folders(tmp_path / "second", tmp_path / "first")
