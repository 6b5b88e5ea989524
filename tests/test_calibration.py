import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from mer_jax.evaluation import calibration


def test_hand_worked_case():
    # Two items of .9, one of them right; two of .6, both right; one of .5, wrong.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5]])
    true = np.array([0, 1, 0, 1, 1])
    bins = calibration.bin_confidences(probabilities, true)
    assert [each.count for each in bins] == [0, 0, 0, 0, 1, 2, 0, 0, 2, 0]
    assert (bins[8].low, bins[8].high) == (0.8, 0.9)
    assert (bins[8].confidence, bins[8].accuracy) == (pytest.approx(0.9), 0.5)
    assert bins[0].confidence is bins[0].accuracy is None
    # 2/5 of |.5 - .9|, 2/5 of |1 - .6|, 1/5 of |0 - .5|
    assert calibration.ece(probabilities, true) == pytest.approx(0.4 * 0.4 + 0.4 * 0.4 + 0.2 * 0.5)
    squared = [2 * 0.1**2, 2 * 0.9**2, 2 * 0.4**2, 2 * 0.4**2, 2 * 0.5**2]
    assert calibration.brier(probabilities, true) == pytest.approx(np.mean(squared))


@pytest.mark.parametrize("seed", range(10))
def test_brier_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    probabilities, true = rng.dirichlet(np.ones(k), 50), rng.integers(0, k, 50)
    expected = brier_score_loss(true, probabilities, labels=range(k), scale_by_half=False)
    assert calibration.brier(probabilities, true) == pytest.approx(expected)


def test_certainty_is_in_the_last_bin_and_one_item_is_enough():
    sure = np.array([[0.0, 1.0]])
    assert calibration.bin_confidences(sure, np.array([1]))[-1].count == 1
    assert (calibration.ece(sure, np.array([1])), calibration.brier(sure, np.array([1]))) == (0.0, 0.0)
    assert (calibration.ece(sure, np.array([0])), calibration.brier(sure, np.array([0]))) == (1.0, 2.0)


def test_a_calibrated_net_has_an_ece_near_zero():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 200_000)
    true = (rng.random((200_000, 1)) > probabilities.cumsum(1)).sum(1)
    assert calibration.ece(probabilities, true) < 0.005
    assert calibration.ece(probabilities**3 / (probabilities**3).sum(1, keepdims=True), true) > 0.1
