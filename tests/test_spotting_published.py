"""What published scripts answer on the same intervals: a case for each thing that they do differently."""

import math
import re

import pytest

from mer_jax.spotting.counts import Counts
from mer_jax.spotting.matching import compute_ious
from mer_jax.spotting.measure import OVERALL, score_spotting
from mer_jax.spotting.published_scripts import score_as_published, score_recognition_as_published
from mer_jax.spotting.recognition import NO_ANSWER, score_recognition
from tests.documents import ROOT
from tests.test_spotting_measure import parse, random_files

# Predictions, labels, TP FP FN of this library, of the script of MEGC 2020, and of STRS-Metric.
CASES = [
    ("0-9", "0-4", (1, 0, 0), (1, 0, 0), (1, 0, 0)),
    ("0-10", "0-4", (0, 1, 1), (0, 1, 1), (0, 1, 1)),
    ("0-9 1-9", "0-9", (1, 1, 0), (1, 1, 0), (1, 1, 0)),
    ("0-9", "0-4 5-9", (1, 0, 1), (2, -1, 0), (2, 0, 0)),
    ("0-14 0-9", "0-9 5-19", (2, 0, 0), (2, 0, 0), (2, 1, 0)),
    ("0-13 0-9", "0-9 5-19", (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    ("5-5", "5-5", (1, 0, 0), (0, 1, 1), (1, 0, 0)),
    ("0-1", "50-51", (0, 1, 1), (0, 1, 1), (0, 1, 1)),
]


@pytest.mark.parametrize(("predicted", "truth", "ours", "megc", "strs"), CASES)
def test_cases_of_both_scripts(predicted, truth, ours, megc, strs):
    scores = score_spotting({"a": parse(predicted)}, {"a": parse(truth)})
    published = score_as_published(scores)
    assert [scores[OVERALL].counts, *(each.counts[OVERALL] for each in published)] == [
        Counts(*ours), Counts(*megc), Counts(*strs)
    ]  # fmt: skip
    assert [each.script for each in published] == ["MEGC 2020", "STRS-Metric"]


def test_intervals_apart_overlap_by_a_third_in_the_script_of_megc_2020():
    scores = score_spotting({"a": parse("0-1")}, {"a": parse("50-51")}, iou=0.3)
    assert scores[OVERALL].counts == Counts(0, 1, 1)
    assert score_as_published(scores)[0].counts[OVERALL] == Counts(1, 0, 0)


def test_first_come_may_take_the_wrong_label():
    scores = score_spotting({"a": parse("0-14 0-9")}, {"a": parse("0-9 5-19")})
    steps = {step.reason.split(" ")[0]: step.counts[OVERALL] for step in score_as_published(scores)[1].steps}
    assert steps == {
        "Videos": Counts(2, 0, 0), "People": Counts(2, 0, 0), "Predictions": Counts(1, 1, 1), "One": Counts(2, 1, 0)
    }  # fmt: skip


def test_videos_without_labels_and_people_without_predictions_are_skipped():
    predicted = {"a": parse("0-9"), "quiet": parse("0-9 20-29"), "missed": []}
    truth = {"a": parse("0-9"), "quiet": [], "missed": parse("0-9 40-49")}
    subjects = {"a": "ann", "quiet": "ann", "missed": "bob"}
    scores = score_spotting(predicted, truth, subjects=subjects)
    assert scores[OVERALL].counts == Counts(1, 2, 2)
    megc, strs = score_as_published(scores)
    assert megc.counts[OVERALL] == Counts(1, 2, 2)
    assert [step.counts[OVERALL] for step in strs.steps] == [Counts(1, 0, 2), *[Counts(1, 0, 0)] * 3]
    unknown = score_as_published(score_spotting(predicted, truth))[1]
    assert unknown.counts[OVERALL] == Counts(1, 0, 2), "people are unknown, so nobody is skipped"


@pytest.mark.parametrize("seed", range(5))
def test_the_sums_of_published_counts_are_those_of_the_files(seed):
    scores = score_spotting(*random_files(seed), draws=10)
    megc = score_as_published(scores)[0].counts[OVERALL]
    assert (megc.num_labels, megc.num_predictions) == (
        scores[OVERALL].counts.num_labels, scores[OVERALL].counts.num_predictions
    )  # fmt: skip


# --- Emotions of true positives.


def spot(*pairs: tuple[str, str | None], missed: tuple[str, ...] = ()):
    """Every label is found but the missed ones; pairs of the emotion in the label and the answer."""
    intervals = parse(" ".join(f"{20 * index}-{20 * index + 9}" for index in range(len(pairs) + len(missed))))
    scores = score_spotting({"a": intervals[: len(pairs)]}, {"a": intervals}, draws=10)
    return scores, {"a": [answer for _, answer in pairs]}, {"a": [*(true for true, _ in pairs), *missed]}


def test_the_case_worked_by_hand():
    given = spot(("n", "n"), ("n", "n"), ("n", "n"), ("p", "n"))
    own = score_recognition(*given)
    assert (own.precision, own.recall, own.uar) == (0.375, 0.5, 0.5)
    assert own.f1 == pytest.approx(0.428571, abs=1e-6)
    assert own.uf1 == pytest.approx(0.428571, abs=1e-6)
    assert own.strs == pytest.approx(own.f1)
    published = score_recognition_as_published(*given)
    assert published.uar == 0.375, "the mean precision"
    assert (published.precision, published.recall) == (own.precision, own.recall)


def test_f1_of_macro_precision_and_recall_is_not_the_mean_f1():
    own = score_recognition(*spot(("a", "a"), ("a", "b"), ("a", "b"), ("b", "b")))
    assert (own.precision, own.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert own.f1 == pytest.approx(2 / 3)
    assert own.uf1 == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_strs_is_the_product_with_the_f1_of_spotting():
    given = spot(("a", "a"), ("b", "b"), missed=("a", "c"))
    own = score_recognition(*given)
    assert own.f1_spot == pytest.approx(2 / 3)
    assert own.strs == pytest.approx(2 / 3)
    assert own.class_names == ("a", "b")
    # Emotion c of a label that was missed is a third class of recall 0 for the script.
    assert score_recognition_as_published(*given).f1 == pytest.approx(2 / 3)


def test_one_emotion_all_right_is_not_a_number_in_the_script():
    given = spot(("a", "a"), ("a", "a"))
    assert score_recognition(*given).f1 == 1.0
    published = score_recognition_as_published(*given)
    assert math.isnan(published.f1)
    assert math.isnan(published.strs)


def test_no_answer_loses_its_label():
    own = score_recognition(*spot(("a", "a"), ("a", None), ("b", "b"), ("b", "b")))
    assert own.class_names == ("a", "b")
    assert own.confusion.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert (own.precision, own.recall) == (1.0, 0.75)
    assert NO_ANSWER not in own.class_names


def test_without_emotions_there_are_no_scores():
    assert score_recognition(*spot(("a", None))) is None
    scores, answers, _ = spot(("a", "a"))
    assert score_recognition(scores, answers, {"a": [None]}) is None
    assert score_recognition_as_published(scores, answers, {"a": [None]}) is None
    assert score_recognition(scores, answers, {"a": ["a"]}, kind="macro") is None
    with pytest.raises(ValueError, match="'a' has 0 emotions of 1 predictions"):
        score_recognition(scores, {}, {"a": ["a"]})


def test_labels_without_an_emotion_are_counted():
    scores, answers, _ = spot(("a", "a"), ("b", "b"))
    assert score_recognition(scores, answers, {"a": ["a", None]}).num_unlabelled == 1


def test_the_table_in_the_documents():
    page = (ROOT / "docs" / "spotting.md").read_text()
    rows = re.findall(r"^\| ([\d, -]+) \| ([\d, -]+) \| ([\d., ;]+) \|" + r" ([\d -]+) \|" * 3 + "$", page, re.M)
    assert len(rows) == 8
    for predicted, truth, ious, *counts in rows:
        sides = [parse(each.replace(",", "")) for each in (predicted, truth)]
        stated = [float(number) for number in re.split("[,;]", ious)]
        assert compute_ious(*sides).reshape(-1).round(3).tolist() == stated
        scores = score_spotting({"a": sides[0]}, {"a": sides[1]}, draws=10)
        found = [scores[OVERALL].counts, *(each.counts[OVERALL] for each in score_as_published(scores))]
        assert [Counts(*map(int, each.split())) for each in counts] == found
