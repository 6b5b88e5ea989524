"""Baselines, found by looking; LBP-TOP against the definition, pixel by pixel."""

import importlib
import itertools
import pkgutil
import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

import mer_jax.baselines
from mer_jax.baselines import LbpTop, LinearFlow, StandardFlow
from mer_jax.baselines.lbptop import lbp_top, local_binary_patterns, uniform_patterns
from mer_jax.baselines.linear_svc import fit_predict_svc
from mer_jax.baselines.logistic import fit_logistic, predict_logistic
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.protocols import make_plan
from mer_jax.training.baseline import check_baseline, fit_baseline
from mer_jax.vision.options import VisionOptions

BASELINES = [getattr(mer_jax.baselines, name) for name in mer_jax.baselines.__all__]


def make_clips(kind, num_subjects=4, per_subject=6):
    """Every class has a movement of its own, whoever is seen."""
    rng = np.random.default_rng(0)
    n = num_subjects * per_subject
    label = (np.arange(n) % 3).astype(np.int32)
    fields = {
        "label": label,
        "subject": tuple(f"s{i // per_subject}" for i in range(n)),
        "clip_id": tuple(f"c{i:02d}" for i in range(n)),
        "corpus": ("toy",) * n,
        "class_names": ("left", "right", "none"),
        "provenance": "surrogate",
        "fingerprint": "toy",
        "corpus_name": "toy",
    }
    if kind == "motion":
        flow = rng.integers(118, 138, (n, 28, 28, 3))
        flow[:, 8:20, 8:20, 0] += np.array([-40, 40, 0])[label][:, None, None]
        return Clips(pictures=flow.astype(np.uint8), **fields)
    texture = rng.integers(0, 255, (n, 128, 160))
    steps = np.array([-1, 1, 0])[label]
    faces = np.stack(
        [
            np.stack([np.roll(face, t * step, 1)[:, 16:144] for t in range(6)])
            for face, step in zip(texture, steps, strict=True)
        ]
    ).astype(np.uint8)
    return Clips(pictures=faces, **fields)


def make_experiment(model, **fields):
    return Experiment(name="toy", corpus="toy", model=model, vision=VisionOptions(), num_folds=2, **fields)


def make_plans(clips, protocol="subject"):
    return [make_plan(protocol, subjects=clips.subject, labels=clips.label, seed=0, num_folds=2, num_copies=1)]


def test_package_exports_every_baseline():
    found = {
        name
        for info in pkgutil.iter_modules(mer_jax.baselines.__path__, "mer_jax.baselines.")
        for name, value in vars(importlib.import_module(info.name)).items()
        if isinstance(value, type) and value.__module__ == info.name
    }
    assert found == set(mer_jax.baselines.__all__)


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_learn_what_is_there_and_repeat_it(baseline):
    assert "Source:" in baseline.__doc__
    model = baseline()
    clips = make_clips(find_view(model).stored)
    one, again = (fit_baseline(make_experiment(model), clips, make_plans(clips)) for _ in range(2))
    right = [result.probabilities.argmax(1) == clips.label[make_plans(clips)[0].clip[result.item]] for result in one]
    assert np.concatenate(right).mean() > 0.9
    assert len(np.concatenate(right)) == len(clips)
    for result, same in zip(one, again, strict=True):
        np.testing.assert_array_equal(result.probabilities, same.probabilities)
        np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_classifier_to_keep_answers_as_in_a_fold(baseline):
    model = baseline()
    clips = make_clips(find_view(model).stored)
    features = model.features(clips.pictures)
    weights, bias = model.fit(features[:18], clips.label[:18], 0)
    logits = features[18:] @ weights + bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    expected = model.fit_predict(features[:18], clips.label[:18], features[18:], 0)
    np.testing.assert_allclose(shares / shares.sum(1, keepdims=True), expected, atol=1e-6)


def test_test_labels_and_clips_decide_nothing_of_the_training():
    clips = make_clips("motion")
    model = LinearFlow()
    features = model.features(clips.pictures)
    together = model.fit_predict(features[:18], clips.label[:18], features[18:], 0)
    alone = model.fit_predict(features[:18], clips.label[:18], features[20:21], 0)
    np.testing.assert_allclose(together[2:3], alone, atol=1e-12)


def test_logistic_regression_is_scikit_learns():
    clips = make_clips("motion")
    features, labels = StandardFlow().features(clips.pictures), np.array([0, 2, 2, 0, 2, 0, 1, 2] * 3)
    referee = LogisticRegression(C=0.5 / len(labels), class_weight="balanced", tol=1e-10, max_iter=10_000)
    expected = referee.fit(features, labels).predict_proba(features)
    weights, bias = fit_logistic(features, labels, num_classes=4, penalty=0.5)
    got = predict_logistic(features, weights, bias)
    np.testing.assert_allclose(got[:, :3], expected, atol=1e-3)
    assert got[:, 3].max() < 1e-9  # a class without clips
    order = np.random.default_rng(0).permutation(len(labels))  # another order of additions, the same bits
    again, shift = fit_logistic(features[order], labels[order], num_classes=4, penalty=0.5)
    np.testing.assert_array_equal(weights, again)
    np.testing.assert_array_equal(bias, shift)
    assert np.abs(weights).max() < 0.5
    with pytest.raises(ConfigError, match=r"model\.penalty=0"):
        fit_logistic(features, labels, num_classes=4, penalty=0)


def test_standard_flow_refuses_other_features_and_cells():
    with pytest.raises(ConfigError, match="features of version 0; this is version"):
        StandardFlow(features_version=0)
    with pytest.raises(ConfigError, match=r"model\.cells=5, expected a divisor of 28"):
        StandardFlow(cells=5)


def test_linear_flow_is_scikit_learns_pca_and_classifier():
    clips = make_clips("motion")
    features = LinearFlow().features(clips.pictures)
    pca = PCA(5, svd_solver="full").fit(features[:18])
    referee = LinearSVC(C=0.5, class_weight="balanced", max_iter=100_000, random_state=0)
    length = np.sqrt(pca.explained_variance_.sum() * 17 / 18)
    referee.fit(pca.transform(features[:18]) / length, clips.label[:18])
    expected = referee.decision_function(pca.transform(features[18:]) / length)
    got = LinearFlow(components=5, penalty=0.5).fit_predict(features[:18], clips.label[:18], features[18:], 0)
    expected = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_a_class_that_was_not_trained_has_no_probability():
    features, labels = np.array([[-1.0], [1.0], [-1.2], [1.1]]), np.array([0, 2, 0, 2])
    got = fit_predict_svc(features, labels, np.array([[-2.0], [2.0]]), num_classes=3, penalty=1.0, seed=0)
    assert got.argmax(1).tolist() == [0, 2]
    assert (got[:, 1] == 0).all()


@pytest.mark.parametrize("baseline", BASELINES)
def test_augmented_copies_are_refused(baseline):
    clips = make_clips(find_view(baseline).stored)
    with pytest.raises(ConfigError, match=f"and {baseline.__name__} takes clips as they are: .* expected --config"):
        fit_baseline(make_experiment(baseline()), clips, make_plans(clips, "paper"))


def test_scikit_learn_is_asked_for_only_when_a_baseline_is_fitted(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ConfigError, match="baselines need scikit-learn, which is not installed"):
        LinearFlow().fit_predict(np.eye(3), np.arange(3), np.eye(3), 0)


def test_a_penalty_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"got model.penalty=0, expected a number above 0"):
        LinearFlow(penalty=0).fit_predict(np.eye(3), np.arange(3), np.eye(3), 0)


# --- LBP-TOP ---


def pattern_by_definition(clip, place, axes, radii):
    """One pattern, from eight points on an ellipse, each read between pixels by hand."""
    code = 0
    for bit in range(8):
        point = np.array(place, float)
        point[axes[0]] -= radii[axes[0]] * np.sin(2 * np.pi * bit / 8)
        point[axes[1]] += radii[axes[1]] * np.cos(2 * np.pi * bit / 8)
        value = 0.0
        for corner in itertools.product(*[{int(np.floor(p)), int(np.floor(p)) + 1} for p in np.round(point, 9)]):
            share = np.prod([1 - abs(p - c) for p, c in zip(np.round(point, 9), corner, strict=True)])
            value += share * clip[corner] if share > 0 else 0.0
        code |= int(value >= clip[tuple(place)] - 1e-3) << bit
    return code


@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (0, 1)])
def test_patterns_are_those_of_the_definition(axes):
    clip = np.random.default_rng(0).integers(0, 256, (7, 8, 9)).astype(np.uint8)
    radii = (2, 1, 1)
    got = local_binary_patterns(clip, axes, radii)
    assert got.shape == (3, 6, 7)
    for place in itertools.product(range(3), range(6), range(7)):
        center = [p + r for p, r in zip(place, radii, strict=True)]
        assert got[place] == pattern_by_definition(clip.astype(float), center, axes, radii)


def test_a_known_picture():
    """Brighter on the right: of the eight neighbours, those at 90 degrees and to the right are not darker."""
    clip = np.tile(np.array([10, 20, 30], np.uint8), (3, 3, 1))
    assert local_binary_patterns(clip, (1, 2), (1, 1, 1)).item() == 0b11000111
    assert local_binary_patterns(clip, (0, 1), (1, 1, 1)).item() == 0b11111111  # along y and t nothing changes


def test_uniform_patterns_are_58_and_the_rest():
    bins = uniform_patterns()
    assert sorted(set(bins.tolist())) == list(range(59))
    assert (bins == 58).sum() == 256 - 58


def test_histograms_are_shares_of_each_block():
    clip = np.random.default_rng(0).integers(0, 256, (6, 20, 20)).astype(np.uint8)
    shares = lbp_top(clip, 3, 1, 2)
    assert shares.shape == (3, 3, 3, 59)
    np.testing.assert_allclose(shares.sum(-1), 1)
    # A change in one corner stays in its block.
    other = clip.copy()
    other[:, :3, :3] = 255 - other[:, :3, :3]
    differs = np.abs(lbp_top(other, 3, 1, 2) - shares).sum((0, 3)) > 0
    assert differs.tolist() == [[True, False, False], [False] * 3, [False] * 3]


def test_too_few_frames_are_refused():
    with pytest.raises(ShapeError, match=r"got a clip of 4 frames .* expected at least 5 frames"):
        LbpTop().features(np.zeros((1, 4, 128, 128), np.uint8))


@pytest.mark.parametrize("baseline", BASELINES)
def test_frames_are_checked_before_any_clip_is_read(baseline):
    check_baseline(baseline(), 18)
    if find_view(baseline).name == "face":
        with pytest.raises(ShapeError, match=r"got a clip of 4 frames of 128x128, expected at least 5 frames"):
            check_baseline(baseline(), 4)
