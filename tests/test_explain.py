"""Explanations: maps find what was planted, and maps that say nothing about the network are refused."""

import dataclasses
import json
from typing import ClassVar

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mer_jax
from datasets.surrogate.identity import sample_subject
from datasets.surrogate.regions import moving_region
from datasets.surrogate.scenario import DIFFICULTIES, sample_clip
from datasets.surrogate.smic import GEOMETRY
from datasets.surrogate.studio import make_renderer, state_at
from mer_jax import models
from mer_jax.baselines import LbpTop
from mer_jax.cli.main import main
from mer_jax.data.views import VIEWS, find_view, input_shapes
from mer_jax.errors import ConfigError, ModelError, ShapeError
from mer_jax.explain import explain_clip, explain_pictures
from mer_jax.explain.attention import compare_attention
from mer_jax.explain.checks import check_map, prepare_checks
from mer_jax.explain.clip import make_explained, make_inputs
from mer_jax.explain.explanation import Shares
from mer_jax.explain.layout import find_layout, resample_cells, still_inputs
from mer_jax.explain.linear import explain_linear
from mer_jax.explain.maps import TOLERANCE, contrast_of, integrate_gradients, occlude, score_without, weigh_features
from mer_jax.explain.network import explain_network
from mer_jax.explain.wording import describe
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.model_folder import write_model
from mer_jax.report.explanation import MAPS, NUMBERS, PAGE, STRIP, VIDEO, write_explanation
from mer_jax.report.page import write_report
from mer_jax.vision.crop import face_points
from mer_jax.vision.landmarks import ibug_from_mesh
from tests.face_clips import FACES
from tests.toy_models import describe_linear, make_linear_model, make_network_model
from tests.toy_results import make_results

ROW, COLUMN = 5, 2  # of the planted cell
CONTRAST = contrast_of(1, 3)


class PlantedNet(nn.Module):
    """Reads the motion of one cell of the face, and of nothing else."""

    view: ClassVar[str] = "face"
    num_classes: int = 3
    dtype: object = None

    @nn.compact
    def __call__(self, face, *, is_training):
        del is_training
        cell = face[..., 16 * ROW : 16 * ROW + 16, 16 * COLUMN : 16 * COLUMN + 16, 0]
        features = nn.relu(nn.Dense(8, name="hidden")(cell.reshape(*cell.shape[:-3], -1)))
        return nn.Dense(3, name="logits")(features)


@pytest.fixture(scope="module")
def clip():
    """Eight frames in which every part of the face moves at random."""
    rng = np.random.default_rng(0)
    return rng.integers(40, 200, (8, 128, 128), np.uint8)


@pytest.fixture(scope="module")
def toy():
    return TrainedModel(*make_network_model())


@pytest.fixture(scope="module")
def explained(toy, clip):
    inputs = make_inputs(toy, clip)
    return make_explained(toy, inputs), inputs


@pytest.fixture(scope="module")
def material(explained):
    return prepare_checks(*explained, CONTRAST, draws=2, depths=2)


def draw_weights(network, num_frames=18):
    """Random weights of a network, without compiling its initialisation."""
    inputs = input_shapes(network, num_frames)
    shapes = jax.eval_shape(lambda *each: network.init(jax.random.key(0), *each, is_training=False), *inputs)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda each: np.abs(rng.normal(0.1, 0.2, each.shape)).astype(np.float32), shapes)


def planted(clip):
    inputs = find_view(PlantedNet).make(jnp.asarray(clip, jnp.float32), "difference")
    inputs = tuple(np.asarray(each) for each in inputs)
    return explain_network(PlantedNet(), [draw_weights(PlantedNet(), 8)], "face", inputs), inputs


def test_integrated_gradients_add_up_to_the_difference_of_the_outputs(explained):
    model, inputs = explained
    found = integrate_gradients(model, inputs, CONTRAST)
    logits = model.logits(inputs, still_inputs(model.layout, inputs), np.stack([np.ones((8, 8)), np.zeros((8, 8))]))
    expected = (logits[0] - logits[1]) @ CONTRAST
    assert abs(expected) > 0.1
    assert found.expected == pytest.approx(expected, rel=1e-4)
    assert found.cells.sum() == pytest.approx(expected, rel=TOLERANCE)


def test_occlusion_and_gradients_find_the_planted_cell(clip):
    model, inputs = planted(clip)
    for cells in (occlude(model, inputs, CONTRAST), integrate_gradients(model, inputs, CONTRAST).cells):
        others = cells.copy()
        others[ROW, COLUMN] = 0
        assert abs(cells[ROW, COLUMN]) > 0.1
        np.testing.assert_allclose(others, 0, atol=1e-5)


def test_occluded_cell_keeps_its_content_and_loses_its_motion(explained, toy, clip):
    model, inputs = explained
    removed = np.zeros((1, 8, 8), bool)
    removed[0, 6, 3] = True
    frozen = clip.copy()
    frozen[:, 96:112, 48:64] = clip[0, 96:112, 48:64]
    expected = model.logits(make_inputs(toy, frozen), make_inputs(toy, frozen), np.ones((1, 8, 8))) @ CONTRAST
    np.testing.assert_allclose(score_without(model, inputs, CONTRAST, removed), expected, rtol=1e-4)


def test_map_that_only_repaints_the_input_is_refused(explained, material):
    model, inputs = explained
    energy = model.layout.sum_cells(tuple(np.abs(each) for each in inputs))
    check = check_map(energy, lambda _: energy, material)
    assert not check.is_passed
    assert list(check.correlations.values()) == pytest.approx([1, 1])
    assert "hardly depends on what the network has learnt: rank correlation 1.00" in check.reasons[0]


def test_map_whose_cells_do_not_matter_is_refused(explained, material):
    model, inputs = explained
    cells = occlude(model, inputs, CONTRAST)
    assert check_map(cells, lambda other: occlude(other, inputs, CONTRAST), material).is_passed
    turned = check_map(-cells, lambda other: -occlude(other, inputs, CONTRAST), material)
    assert "its highest cells matter no more than others" in turned.reasons[-1]


def test_weights_are_randomized_from_the_last_layer_on(explained):
    model, _ = explained
    assert model.layers[0].endswith("conv")
    assert model.layers[-2:] == ("fusion/dense", "fusion/logits")
    last = model.randomized(1, np.random.default_rng(0)).members[0]["params"]
    before = model.members[0]["params"]
    np.testing.assert_array_equal(last["upper"]["conv"]["kernel"], before["upper"]["conv"]["kernel"])
    kernels = [np.asarray(each["fusion"]["logits"]["kernel"]) for each in (last, before)]
    assert not np.array_equal(*kernels)
    np.testing.assert_array_equal(np.sort(kernels[0], None), np.sort(kernels[1], None))
    whole = model.randomized(len(model.layers), np.random.default_rng(0)).members[0]["params"]
    assert not np.array_equal(whole["upper"]["conv"]["kernel"], before["upper"]["conv"]["kernel"])


def test_explanation_of_a_network(toy, clip):
    found = explain_clip(toy, clip, draws=2)
    assert [each.name for each in found.maps] == ["occlusion", "integrated_gradients", "grad_cam", "spatial_attention"]
    assert found.class_name == toy.predict(clip).best_guess
    assert found.text[0].startswith("The SURROGATE model toy answers")
    assert found.temporal is not None
    assert found.temporal.weights["upper"].mean() == pytest.approx(1)
    assert any("--config.model.conv.pool_size=" in line for line in found.finer)
    plain = json.loads(json.dumps(found.to_plain()))
    assert all((entry["values"] is None) == bool(entry["reasons"]) for entry in plain["maps"].values())
    assert plain["surrogate"]
    assert "neither a lie nor a feeling" in " ".join(plain["notes"])


def test_halves_are_those_of_the_network(explained):
    model, inputs = explained
    without = model.logits(inputs, still_inputs(model.layout, inputs), ~model.layout.half("upper")[None] * 1.0)
    silent = (np.zeros_like(inputs[0]), inputs[1])
    np.testing.assert_allclose(without, model.logits(silent, silent, np.ones((1, 8, 8))), rtol=1e-4)


def test_halves_that_both_speak_against_a_class_are_one_sentence(toy, clip, explained):
    found = explain_pictures(toy, clip, draws=1, explained=explained[0])
    for shares, told in (
        (Shares(-0.1, -0.2), "both halves speak against "),
        (Shares(0.1, -0.2), "the lower half speaks against "),
        (Shares(0.0, 0.0), "neither half alone matters."),
    ):
        assert told in describe(dataclasses.replace(found, shares=shares))[2]


def test_clip_without_motion_has_no_map(toy, clip, explained):
    found = explain_pictures(toy, np.repeat(clip[:1], 8, axis=0), draws=1, explained=explained[0])
    assert not [each for each in found.drawn if each.is_signed]
    assert "it is the same everywhere" in found.maps[0].check.reasons[0]


def test_linear_model_is_explained_exactly():
    model = TrainedModel(*make_linear_model())
    picture = np.full((28, 28, 3), 128, np.uint8)
    picture[8:12, 20:24, 1] = 178  # row 2, column 5 of 7x7 cells
    found = explain_clip(model, picture, class_name="positive")
    for each in found.maps:
        assert each.values[2, 5] == pytest.approx(16 * 0.1 * 50 / 127.5)
        assert np.count_nonzero(each.values) == 1
    assert found.gradient_total == pytest.approx(found.score - found.still_score)
    assert found.faces is None


def test_motion_network_is_explained():
    network = models.STSTNet()
    inputs = (np.random.default_rng(0).normal(size=(28, 28, 3)).astype(np.float32),)
    model = explain_network(network, [draw_weights(network)], "motion", inputs)
    found = integrate_gradients(model, inputs, CONTRAST)
    assert found.cells.shape == (7, 7)
    assert found.error <= TOLERANCE
    assert weigh_features(model, inputs, CONTRAST) is None


@pytest.mark.parametrize("name", sorted(set(VIEWS) - {"halves", "face", "motion"}))
def test_view_without_maps_is_refused_by_name(name):
    with pytest.raises(ModelError, match=f"the view '{name}', which cannot be explained yet"):
        find_layout(name)


def test_features_without_a_place_are_refused():
    weights = [(np.zeros((177 * 3, 3)), np.zeros(3))]
    with pytest.raises(ModelError, match="features of LbpTop, of the view 'face', which cannot be explained yet"):
        explain_linear(weights, LbpTop.view, "LbpTop")


def test_several_clips_are_refused(toy, clip):
    with pytest.raises(ShapeError, match="got 2 prepared clips; expected one"):
        explain_clip(toy, np.stack([clip, clip]))


def test_a_batch_of_one_is_one_clip():
    model, motion = TrainedModel(*make_linear_model()), np.full((28, 28, 3), 140, np.uint8)
    one, batch = (explain_clip(model, each, draws=1) for each in (motion, motion[None]))
    assert batch.score == one.score
    np.testing.assert_array_equal(batch.maps[0].values, one.maps[0].values)


def test_unknown_class_is_refused(toy, clip):
    with pytest.raises(ConfigError, match="no class 'positiv'; did you mean 'positive'"):
        explain_clip(toy, clip, class_name="positiv")


def test_resampled_plane_keeps_its_mean():
    plane = np.random.default_rng(0).random((7, 15))
    assert resample_cells(plane, 4, 8).mean() == pytest.approx(plane.mean())


def test_attention_is_compared_over_clips(explained):
    model, inputs = explained
    found = compare_attention(model, [inputs, inputs])
    assert found.spatial_correlation == pytest.approx(1)
    assert found.temporal_spread == pytest.approx(0)


def test_files(toy, clip, explained, tmp_path):
    found = explain_pictures(toy, clip, draws=1, name="a <b>", explained=explained[0])
    page = write_explanation(found, tmp_path / "new")
    assert sorted(path.name for path in page.parent.iterdir()) == sorted([MAPS, NUMBERS, PAGE, STRIP, VIDEO])
    text = page.read_text()
    assert "a &lt;b&gt;" in text
    assert "SURROGATE" in text
    assert "SURROGATE" in (page.parent / NUMBERS).read_text()
    with np.load(page.parent / MAPS) as maps:
        assert maps["provenance"] == "SURROGATE"
    assert "article 5(1)(f)" in text


def test_report_of_a_run_explains_a_clip(toy, clip, explained, tmp_path):
    found = explain_pictures(toy, clip, draws=1, depths=1, signed_only=True, name="s1_x", explained=explained[0])
    assert [each.name for each in found.maps] == ["occlusion", "integrated_gradients"]
    page = write_report(
        tmp_path, results=make_results(), history=[], config={}, environment={}, faces=[], explained=[found, found]
    )
    assert (tmp_path / "explained.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert 'id="explained"' in text
    assert "Explained is why" in text
    assert "neither a lie nor a feeling" in text


def test_moving_region_of_the_surrogate_is_where_its_units_are():
    """Lip corners move in the lower half, inner brows in the upper one, and an eye whose lids move is in its region."""
    subject = sample_subject(0, 0, GEOMETRY.tones)
    renderer = make_renderer(subject, GEOMETRY)
    spec = sample_clip(
        np.random.default_rng(0), subject, "positive", DIFFICULTIES["medium"], fps=100.0, duration_s=(0.3, 0.3, 0.3)
    )
    onset = ibug_from_mesh(renderer.landmarks(state_at(spec, 0))).astype(np.float32)
    landmarks = face_points(onset, "onset")
    rise = np.sin(np.linspace(0, np.pi, spec.num_frames))
    for unit, rows in (("12", slice(64, 128)), ("1", slice(0, 64)), ("5", slice(24, 64)), ("25", slice(80, 128))):
        alone = {(unit, side): 0.02 * rise for side in (0, 1)}
        moved = dataclasses.replace(spec, action_units=(unit,), activations=alone, apex=spec.num_frames // 2)
        region = moving_region(renderer, moved, landmarks)
        assert 20 < region.sum() < 4000
        assert region[rows].sum() > 0.95 * region.sum()


@pytest.mark.parametrize("is_folder", [False, True])
def test_command_on_a_real_clip(tmp_path, capsys, is_folder):
    out = tmp_path / "out"
    source = FACES / "bbaf2n.mpg"
    if is_folder:
        video, source = cv2.VideoCapture(str(source)), tmp_path / "frames"
        source.mkdir()
        for number in range(20, 33):
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            cv2.imwrite(str(source / f"{number}.png"), video.read()[1])
    interval = "0-12" if is_folder else "20-32"
    command = ["explain", str(source), "--model", "surrogate-motion", "--interval", interval, "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "SURROGATE model surrogate-motion" in said
    assert "Occlusion" in said
    plain = json.loads((out / NUMBERS).read_text())
    assert plain["prediction"]["frames_used"][0] == (0 if is_folder else 20)
    assert sum(sum(row) for row in plain["maps"]["occlusion"]["values"]) == pytest.approx(
        plain["score"] - plain["still_score"]
    )
    with np.load(out / MAPS) as arrays:
        assert arrays["occlusion"].shape == (7, 7)
    video = cv2.VideoCapture(str(out / VIDEO))
    assert video.read()[0]


def test_command_refuses_bad_input_in_one_line(tmp_path, capsys):
    clip, model = str(FACES / "bbaf2n.mpg"), "surrogate-motion"
    (tmp_path / "empty").mkdir()
    weights = write_model(tmp_path / "toy", *make_linear_model(vision=None))
    for arguments, expected in (
        ([clip, "--model", "surrogate-moton"], "did you mean 'surrogate-motion'"),
        ([clip, "--model", model, "--interval", "70-200"], "expected an onset before an offset"),
        ([clip, "--model", model, "--interval", "x"], "expected frames, such as 120-145"),
        ([clip, "--model", model, "--class", "fear"], "no class 'fear'"),
        ([clip, "--model", str(weights)], "cannot prepare a video"),
        ([str(tmp_path / "none.mp4"), "--model", model], "none.mp4"),
        ([str(tmp_path / "empty"), "--model", model], "empty"),
        (["rtsp://x", "--model", model], "is an address or a camera"),
        ([clip, "--model", model, "--out", clip], "is a file"),
        ([clip, "--model", model, "--seed", "-1"], "expected 0 or more"),
        ([clip, "--model", model, "--frame_rate", "0"], "got --frame_rate 0; expected frames per second"),
        (
            [clip, "--model", model, "--frame_rate", "10"],
            "7.5 s from onset to offset; one expression lasts 4 s at most; expected --interval",
        ),
    ):
        assert main(["explain", *arguments]) == 1
        said = capsys.readouterr().err.strip()
        assert said.startswith("error: ")
        assert expected in said
        assert "\n" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "toy"]


def test_explain_is_a_room_of_the_library():
    assert mer_jax.explain.explain_clip is explain_clip
    assert describe_linear().view == "motion"


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in models.__all__ if getattr(models, n).view in ("halves", "face", "motion")])
def test_every_network_of_the_supported_views(name):
    network = getattr(models, name)()
    rng = np.random.default_rng(0)
    inputs = tuple(rng.normal(size=each.shape[1:]).astype(np.float32) for each in input_shapes(network, 18))
    model = explain_network(network, [draw_weights(network)], network.view, inputs)
    assert np.ptp(occlude(model, inputs, CONTRAST)) > 0
    assert np.isfinite(integrate_gradients(model, inputs, CONTRAST, 4, tolerance=np.inf).cells).all()
    cells = weigh_features(model, inputs, CONTRAST)
    assert cells is None or cells.shape == (8, 8)
    assert np.isfinite(occlude(model.randomized(1, rng), inputs, CONTRAST)).all()
