"""Temperature, and when an answer is withheld."""

import numpy as np
import pytest

from mer_jax.evaluation import temperature
from mer_jax.evaluation.calibration import ece
from mer_jax.evaluation.temperature import (
    Answered,
    apply_temperature,
    calibrate_strangers,
    choose_threshold,
    fit_temperature,
    tabulate_answers,
)


def draw(number, sharpness, seed=0, sureness=1.0):
    """Items whose truth follows calibrated probabilities, and those probabilities made too sure by `sharpness`."""
    rng = np.random.default_rng(seed)
    calibrated = rng.dirichlet(np.full(3, sureness), number)
    true = np.array([rng.choice(3, p=row) for row in calibrated])
    return apply_temperature(calibrated, 1 / sharpness), true


@pytest.mark.parametrize("loss", ["brier", "likelihood"])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_answers_too_sure_is_found(sharpness, loss):
    probabilities, true = draw(4000, sharpness)
    assert fit_temperature(probabilities, true, loss=loss) == pytest.approx(sharpness, rel=0.1)


def test_a_few_wrong_labels_do_not_make_all_answers_unsure():
    probabilities, true = draw(400, 1.0, sureness=0.2)
    surest = np.argsort(-probabilities.max(1))[:8]
    true[surest] = (probabilities[surest].argmax(1) + 1) % 3
    robust, likeliest = (fit_temperature(probabilities, true, loss=loss) for loss in ("brier", "likelihood"))
    assert robust < 1.2 < 1.7 < likeliest


def test_calibration_lowers_the_error_and_keeps_every_class():
    probabilities, true = draw(2000, 4.0)
    calibrated = apply_temperature(probabilities, fit_temperature(probabilities, true))
    assert ece(probabilities, true) > 0.15
    assert ece(calibrated, true) < 0.05
    np.testing.assert_array_equal(calibrated.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(calibrated.sum(1), 1)


def test_certain_answers_have_a_temperature_too():
    sure = np.eye(3)[[0, 1, 2, 0]]
    assert temperature.LEAST <= fit_temperature(sure, np.array([0, 1, 2, 1])) <= temperature.MOST * 1.001
    assert np.isfinite(apply_temperature(sure, 2.0)).all()


def test_a_persons_own_answers_do_not_calibrate_them():
    probabilities, true = draw(60, 3.0)
    people = np.repeat(["a", "b", "c"], 20)
    first = calibrate_strangers(probabilities, true, people.tolist())
    changed = np.where(people == "a", (true + 1) % 3, true)
    second = calibrate_strangers(probabilities, changed, people.tolist())
    np.testing.assert_array_equal(first[people == "a"], second[people == "a"])
    assert not np.array_equal(first[people == "b"], second[people == "b"])
    others = fit_temperature(probabilities[people != "a"], true[people != "a"])
    np.testing.assert_allclose(first[people == "a"], apply_temperature(probabilities[people == "a"], others))


def test_hand_worked_table():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    rows = tabulate_answers(probabilities, np.array([0, 1, 0, 0]), [0.5, 0.8, 0.95])
    assert rows == [Answered(0.5, 4, 1.0, 0.75), Answered(0.8, 2, 0.5, 0.5), Answered(0.95, 0, 0.0, None)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([Answered(0.3, 40, 1.0, 0.7), Answered(0.5, 20, 0.5, 0.8), Answered(0.9, 12, 0.3, 0.95)], 0.5),
        ([Answered(0.3, 40, 1.0, 0.7), Answered(0.5, 9, 0.2, 1.0), Answered(0.9, 0, 0.0, None)], 0.9),
        ([Answered(0.3, 40, 1.0, 0.85), Answered(0.5, 20, 0.5, 0.7)], 0.3),
    ],
)
def test_threshold_is_the_lowest_that_keeps_the_promise(rows, expected):
    assert choose_threshold(rows) == expected
