import json

import numpy as np
import pytest
from sklearn import metrics as referee

from mer_jax.evaluation import metrics
from mer_jax.evaluation.metrics import PredictionsError, confusion_matrix, score

NAMES = ["negative", "positive", "surprise"]


def test_hand_worked_case():
    # negative: 3 of 4 found, one called positive; positive: 1 of 2 found, one called surprise; surprise: 2 of 2.
    true = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    confusion = confusion_matrix(true, predicted, 3)
    np.testing.assert_array_equal(confusion, [[3, 1, 0], [0, 1, 1], [0, 0, 2]])
    scores = score(confusion, NAMES)
    assert scores["accuracy"] == 6 / 8
    assert scores["error_rate"] == 2 / 8
    assert scores["per_class"]["negative"] == {
        "precision": 1.0,
        "recall": 3 / 4,
        "f1": pytest.approx(6 / 7),
        "support": 4,
        "predicted": 3,
    }
    assert scores["per_class"]["positive"]["f1"] == pytest.approx(1 / 2)
    assert scores["per_class"]["surprise"]["f1"] == pytest.approx(4 / 5)
    assert scores["uf1"] == scores["f1_macro"] == pytest.approx((6 / 7 + 1 / 2 + 4 / 5) / 3)
    assert scores["uar"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert scores["f1_weighted"] == pytest.approx((4 * 6 / 7 + 2 * 1 / 2 + 2 * 4 / 5) / 8)
    assert scores["f1_micro"] == pytest.approx(6 / 8)
    assert scores["precision_macro"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)


def test_macro_precision_is_not_uar():
    # Hand-worked: recalls 1, 1/2 and 0; precisions 2/4, 1/1 and 0/0, a class never given.
    confusion = np.array([[2, 0, 0], [1, 1, 0], [1, 0, 0]])
    assert metrics.uar(confusion) == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert metrics.precision_macro(confusion) == pytest.approx((2 / 4 + 1 + 0) / 3)
    # Never true and never given: counts nowhere.
    assert metrics.precision_macro(np.array([[2, 1, 0], [1, 1, 0], [0, 0, 0]])) == pytest.approx((2 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    num_classes, n = int(rng.integers(2, 7)), int(rng.integers(1, 200))
    true = rng.choice(num_classes, n, p=rng.dirichlet(np.ones(num_classes)))
    predicted = np.where(rng.random(n) < 0.6, true, rng.integers(0, num_classes, n))
    confusion = confusion_matrix(true, predicted, num_classes)
    np.testing.assert_array_equal(confusion, referee.confusion_matrix(true, predicted, labels=range(num_classes)))

    assert metrics.accuracy(confusion) == pytest.approx(referee.accuracy_score(true, predicted))
    # scikit-learn's macro average is over the classes seen on either side, ours by definition too.
    for ours, average in ((metrics.f1_macro, "macro"), (metrics.f1_weighted, "weighted"), (metrics.f1_micro, "micro")):
        expected = referee.f1_score(true, predicted, average=average, zero_division=0)
        assert ours(confusion) == pytest.approx(expected)
    expected = referee.precision_score(true, predicted, average="macro", zero_division=0)
    assert metrics.precision_macro(confusion) == pytest.approx(expected)
    present = np.unique(true)
    every = {"labels": range(num_classes), "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(metrics.precision(confusion), referee.precision_score(true, predicted, **every))
    np.testing.assert_allclose(metrics.recall(confusion), referee.recall_score(true, predicted, **every))
    np.testing.assert_allclose(metrics.f1(confusion), referee.f1_score(true, predicted, **every))
    only_true = {"labels": present, "average": "macro", "zero_division": 0}
    assert metrics.uf1(confusion) == pytest.approx(referee.f1_score(true, predicted, **only_true))
    assert metrics.uar(confusion) == pytest.approx(referee.recall_score(true, predicted, **only_true))


def test_a_class_absent_from_truth_and_predictions_counts_nowhere():
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert metrics.uf1(confusion) == metrics.uf1(confusion[:2, :2])
    assert metrics.uar(confusion) == metrics.uar(confusion[:2, :2])
    assert metrics.f1_macro(confusion) == metrics.f1_macro(confusion[:2, :2])
    surprise = score(confusion, NAMES)["per_class"]["surprise"]
    assert surprise == {"precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0}


def test_a_class_predicted_but_never_true_lowers_macro_f1_and_leaves_uf1():
    confusion = np.array([[3, 0, 1], [0, 2, 0], [0, 0, 0]])
    f1s = [6 / 7, 1.0]
    assert metrics.uf1(confusion) == pytest.approx(sum(f1s) / 2)
    assert metrics.f1_macro(confusion) == pytest.approx(sum(f1s) / 3)
    assert metrics.uar(confusion) == pytest.approx((3 / 4 + 1) / 2)
    surprise = score(confusion, NAMES)["per_class"]["surprise"]
    assert (surprise["precision"], surprise["recall"], surprise["f1"]) == (0.0, None, 0.0)


def test_a_class_never_predicted_has_f1_zero_and_no_precision():
    surprise = score(np.array([[3, 0, 0], [0, 2, 0], [2, 0, 0]]), NAMES)["per_class"]["surprise"]
    assert (surprise["precision"], surprise["recall"], surprise["f1"]) == (None, 0.0, 0.0)


@pytest.mark.parametrize(("predicted", "expected"), [(1, 1.0), (0, 0.0)])
def test_a_fold_of_one_clip(predicted, expected):
    scores = score(confusion_matrix(np.array([1]), np.array([predicted]), 3), NAMES)
    assert [scores[key] for key in ("accuracy", "uf1", "uar", "f1_weighted")] == [expected] * 4
    json.dumps(scores, allow_nan=False)


def test_pooling_is_not_the_mean_over_folds():
    folds = metrics.confusion_by_group(
        np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), 2, num_groups=3
    )
    np.testing.assert_array_equal(folds, [[[3, 0], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 0]]])
    assert metrics.uf1(folds.sum(0)) == pytest.approx((6 / 7 + 0) / 2)
    np.testing.assert_array_equal(metrics.uf1(folds), [1.0, 0.0, np.nan])


def test_functions_take_leading_axes():
    counts = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3))
    for function in (metrics.accuracy, metrics.f1_macro, metrics.f1_weighted, metrics.uf1, metrics.uar):
        assert function(counts).shape == (4, 5)
        assert function(counts)[2, 3] == function(counts[2, 3])


def test_majority():
    confusion = np.array([[4, 2, 0], [1, 1, 1], [0, 0, 3]])
    majority = metrics.guess_majority(confusion)
    np.testing.assert_array_equal(majority, [[6, 0, 0], [3, 0, 0], [3, 0, 0]])
    assert metrics.accuracy(majority) == 6 / 12
    assert metrics.uar(majority) == pytest.approx(1 / 3)


@pytest.mark.parametrize("support", [[250, 109, 83], [70, 51, 43], [2, 1, 0], [3, 40], [20_000, 500, 1]])
def test_chance_is_the_mean_over_guesses(support):
    rng, classes, draws = np.random.default_rng(0), len(support), 40_000
    guesses = np.stack([rng.multinomial(n, [1 / classes] * classes, size=draws) for n in support], axis=1)
    chance = metrics.score_chance(np.diag(support))
    for name, function in (("accuracy", metrics.accuracy), ("uf1", metrics.uf1), ("uar", metrics.uar)):
        values = function(guesses)
        assert chance[name] == pytest.approx(values.mean(), abs=5 * values.std() / draws**0.5)


def test_chance_of_a_million_items_takes_no_million_terms():
    chance = metrics.score_chance(np.diag([600_000, 300_000, 100_000]))
    expected = np.repeat(np.array([[600_000], [300_000], [100_000]]) / 3, 3, axis=1)
    assert chance["uf1"] == pytest.approx(metrics.uf1(expected), abs=1e-5)
    assert metrics.score_chance(np.array([[5]])) == {"accuracy": 1.0, "uf1": 1.0, "uar": 1.0}


def test_every_score_has_a_definition():
    scores = score(np.eye(3, dtype=int), NAMES)
    shown = set(scores) - {"confusion", "per_class"} | {"precision", "recall", "f1"}
    assert shown == set(metrics.DEFINITIONS)


def test_unusable_predictions_are_refused():
    with pytest.raises(PredictionsError, match="predicted class of row 1 is 3; expected 0 to 2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(PredictionsError, match="true class of row 0 is -1"):
        confusion_matrix(np.array([-1]), np.array([0]), 3)
    with pytest.raises(PredictionsError, match="no predictions to score"):
        score(np.zeros((3, 3), int), NAMES)
    with pytest.raises(PredictionsError, match="2 class names for 3 classes"):
        score(np.eye(3), NAMES[:2])
