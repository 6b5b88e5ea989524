"""The measure of spotting: cases worked out by hand, and what holds for any intervals."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from mer_jax.errors import IntervalsError
from mer_jax.spotting.average_precision import compute_average_precision
from mer_jax.spotting.bootstrap import FEW_UNITS, NO_SPREAD, bootstrap_f1
from mer_jax.spotting.counts import Counts, sum_counts
from mer_jax.spotting.false_alarms import BESIDE_EXPRESSION, NOTHING, OTHER_KIND
from mer_jax.spotting.interval import Interval
from mer_jax.spotting.matching import compute_ious, match_intervals
from mer_jax.spotting.measure import ANY_EXPRESSION, IOUS, OVERALL, score_spotting


def parse(text: str, kind: str = "micro") -> list[Interval]:
    """`0-9 1-9` as intervals."""
    ends = [map(int, part.split("-")) for part in text.split()]
    return [Interval(onset_frame=onset, offset_frame=offset, kind=kind) for onset, offset in ends]


# Frames inclusive: predictions, labels, overlap of each prediction with each label, TP FP FN.
CASES = [
    ("0-9", "0-4", [[1 / 2]], (1, 0, 0)),
    ("0-10", "0-4", [[5 / 11]], (0, 1, 1)),
    ("0-8", "3-11", [[1 / 2]], (1, 0, 0)),
    ("0-9 1-9", "0-9", [[1.0], [0.9]], (1, 1, 0)),
    ("0-9", "0-4 5-9", [[1 / 2, 1 / 2]], (1, 0, 1)),
    ("0-14 0-9", "0-9 5-19", [[2 / 3, 1 / 2], [1.0, 1 / 4]], (2, 0, 0)),
    ("5-5", "5-5", [[1.0]], (1, 0, 0)),
    ("0-1", "50-51", [[0.0]], (0, 1, 1)),
    ("", "0-4 5-9", np.zeros((0, 2)), (0, 0, 2)),
    ("0-4 5-9", "", np.zeros((2, 0)), (0, 2, 0)),
]


@pytest.mark.parametrize(("predicted", "truth", "ious", "counts"), CASES, ids=lambda each: str(each)[:20])
def test_cases_worked_by_hand(predicted, truth, ious, counts):
    predicted, truth = parse(predicted), parse(truth)
    np.testing.assert_allclose(compute_ious(predicted, truth), ious)
    scores = score_spotting({"a": predicted}, {"a": truth})
    assert scores["micro"].counts == scores[OVERALL].counts == Counts(*counts)
    assert scores["macro"].counts == Counts()


@pytest.mark.parametrize(("length", "iou"), [(3, 0.3), (5, 0.5), (7, 0.7)])
def test_an_overlap_of_exactly_the_threshold_is_right(length, iou):
    for scale in range(1, 40):
        predicted, truth = parse(f"0-{10 * scale - 1}"), parse(f"0-{length * scale - 1}")
        assert len(match_intervals(predicted, truth, iou=iou)) == 1
        assert not match_intervals(predicted, parse(f"0-{length * scale - 2}") if length * scale > 1 else [], iou=iou)


def test_the_better_overlap_is_kept_among_equally_many():
    (match,) = match_intervals(parse("0-12 0-9"), parse("0-10"))
    assert (match.predicted, match.iou) == (1, 10 / 11)


def test_a_prediction_of_the_other_kind_is_a_false_alarm_and_a_miss():
    scores = score_spotting({"a": parse("0-9", "micro")}, {"a": parse("0-9", "macro")})
    assert scores["micro"].counts == Counts(0, 1, 0)
    assert scores["macro"].counts == Counts(0, 0, 1)
    assert scores[OVERALL].counts == Counts(0, 1, 1)


def test_counts_are_summed_before_anything_is_divided():
    scores = score_spotting({"a": parse("0-9"), "b": parse("0-9 20-29 40-49")}, {"a": parse("0-9"), "b": parse("0-9")})
    counts = scores["micro"].counts
    assert counts == Counts(2, 2, 0)
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert [each.counts["micro"] for each in scores.videos] == [Counts(1, 0, 0), Counts(1, 2, 0)]


def test_nothing_to_find_and_nothing_found_is_undefined():
    scores = score_spotting({"a": []}, {"a": []})
    assert math.isnan(scores[OVERALL].counts.f1)
    assert scores[OVERALL].f1_over_videos is None
    assert math.isnan(score_spotting({"a": []}, {"a": parse("0-9")})["micro"].counts.precision)
    assert score_spotting({"a": []}, {"a": parse("0-9")})["micro"].counts.f1 == 0


def random_side(generator, *, kinds=("micro", "macro"), most=6) -> list[Interval]:
    intervals = []
    for _ in range(generator.integers(0, most + 1)):
        onset = int(generator.integers(0, 30))
        offset = onset + int(generator.integers(0, 15))
        interval = Interval(
            onset_frame=onset, offset_frame=offset, kind=str(generator.choice(kinds)), score=float(generator.random())
        )
        intervals.append(interval)
    return intervals


def random_files(seed: int, num_videos: int = 8):
    generator = np.random.default_rng(seed)
    names = [f"video {number}" for number in range(num_videos)]
    truth = {name: list(dict.fromkeys(random_side(generator))) for name in names}
    return {name: random_side(generator) for name in names}, truth


def count_pairs_by_trying_all(predicted, truth, iou) -> int:
    possible = compute_ious(predicted, truth) >= iou
    possible &= np.array([[a.kind == b.kind for b in truth] for a in predicted], bool).reshape(possible.shape)
    few, many = sorted(possible.shape)
    rows = possible if possible.shape[0] == few else possible.T
    return max(
        (
            sum(rows[row, column] for row, column in enumerate(chosen))
            for chosen in itertools.permutations(range(many), few)
        ),
        default=0,
    )


@pytest.mark.parametrize("iou", IOUS)
@pytest.mark.parametrize("seed", range(20))
def test_the_matching_is_the_largest_and_one_to_one(seed, iou):
    generator = np.random.default_rng(seed)
    predicted, truth = random_side(generator), random_side(generator)
    matches = match_intervals(predicted, truth, iou=iou)
    assert len(matches) == count_pairs_by_trying_all(predicted, truth, iou) <= min(len(predicted), len(truth))
    for side in ("predicted", "truth"):
        assert len({getattr(each, side) for each in matches}) == len(matches)
    for each in matches:
        assert each.iou >= iou
        assert predicted[each.predicted].kind == truth[each.truth].kind


@pytest.mark.parametrize("seed", range(10))
def test_what_holds_for_any_files(seed):
    predicted, truth = random_files(seed)
    durations_s = dict.fromkeys(truth, 2.0)
    scores = score_spotting(predicted, truth, durations_s=durations_s, draws=50)
    turned = score_spotting({name: list(dict.fromkeys(own)) for name, own in truth.items()}, truth, draws=50)
    assert turned[OVERALL].counts.f1 == 1.0
    # Exchanging predictions and labels exchanges false alarms and misses.
    exchanged = score_spotting(truth, {name: list(dict.fromkeys(own)) for name, own in predicted.items()}, draws=50)
    for kind in (*scores.kinds, OVERALL):
        counts, other = scores[kind].counts, exchanged[kind].counts
        assert dataclasses.astuple(other) == (counts.true_positives, counts.false_negatives, counts.false_positives)
    # The order of videos and of intervals is nothing.
    shuffled = score_spotting(
        {name: own[::-1] for name, own in reversed(predicted.items())},
        {name: own[::-1] for name, own in reversed(truth.items())},
        durations_s=durations_s,
        draws=50,
    )
    for kind in (*scores.kinds, OVERALL):
        assert shuffled[kind] == scores[kind]
        assert scores[kind].counts.num_labels == sum(
            each.kind == kind or kind == OVERALL for own in truth.values() for each in own
        )
    # A higher threshold never finds more.
    found = [scores.by_iou[iou][OVERALL].true_positives for iou in IOUS]
    assert found == sorted(found, reverse=True)
    assert (
        scores.by_iou[0.5][OVERALL]
        == scores[OVERALL].counts
        == sum_counts(scores[kind].counts for kind in scores.kinds)
    )


# --- Minutes, quiet videos, people.


def test_false_alarms_a_minute_and_quiet_videos():
    scores = score_spotting(
        {"quiet": parse("0-9 20-29"), "talk": parse("0-9 100-109")},
        {"talk": parse("0-9")},
        durations_s={"quiet": 30.0, "talk": 60.0, "silent": 90.0},
    )
    assert scores.minutes == 3.0
    assert scores["micro"].false_alarms_per_minute == 1.0
    assert scores["macro"].false_alarms_per_minute == 0.0
    assert (scores.quiet.num_videos, scores.quiet.false_alarms, scores.quiet.minutes) == (2, 2, 2.0)
    assert scores.quiet.false_alarms_per_minute == 1.0
    assert scores.notes == (
        "Not among the labels: 1 of 3 videos, such as quiet; every prediction there is a false alarm.",
    )


def test_without_durations_there_is_no_rate():
    scores = score_spotting({"a": parse("0-9")}, {"a": parse("0-9")})
    assert math.isnan(scores["micro"].false_alarms_per_minute)
    assert math.isnan(scores.quiet.false_alarms_per_minute)


def test_the_bootstrap_resamples_videos_and_people():
    predicted, truth = random_files(3, num_videos=24)
    subjects = {name: f"person {index % 4}" for index, name in enumerate(truth)}
    options = {"subjects": subjects, "durations_s": dict.fromkeys(truth, 2.0)}
    scores = score_spotting(predicted, truth, **options)
    videos, people = scores[OVERALL].f1_over_videos, scores[OVERALL].f1_over_people
    f1 = scores[OVERALL].counts.f1
    assert videos.low < f1 < videos.high
    assert videos.method == "percentile bootstrap over 24 videos, 2000 draws"
    assert (videos.note, people.note) == ("", FEW_UNITS)
    assert people.low < f1 < people.high
    assert scores[OVERALL] == score_spotting(predicted, truth, **options)[OVERALL], "the same files, the same"
    alone = score_spotting(predicted, truth, subjects=dict.fromkeys(truth, "one"))
    assert alone[OVERALL].f1_over_people is None


def test_the_bootstrap_of_equal_videos_has_no_width():
    interval = bootstrap_f1([Counts(1, 1, 0)] * 20, "videos")
    assert interval.note == NO_SPREAD
    assert interval.low == interval.high == pytest.approx(2 / 3)
    assert bootstrap_f1([Counts(), Counts()], "videos") is None
    # Standard deviation of the mean of 400 tosses of a fair coin: with as many labels as predictions, F1 is that mean.
    tosses = [Counts(1, 0, 0), Counts(0, 1, 1)] * 200
    interval = bootstrap_f1(tosses, "videos")
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)


# --- Average precision.


def scored(text: str, *scores: float) -> list[Interval]:
    return [dataclasses.replace(each, score=score) for each, score in zip(parse(text), scores, strict=True)]


def test_average_precision_by_hand():
    truth = {"a": parse("0-9 20-29"), "b": parse("0-9")}
    # Right, false, right; one of three labels is never found: (1/1 + 2/3) / 3.
    predicted = {"a": scored("0-9 40-49", 0.9, 0.8), "b": scored("0-9", 0.7)}
    assert compute_average_precision(predicted, truth) == pytest.approx((1 + 2 / 3) / 3)
    # Equal scores are one step: precision 2/3 at recall 2/3.
    tied = {"a": scored("0-9 40-49", 0.5, 0.5), "b": scored("0-9", 0.5)}
    assert compute_average_precision(tied, truth) == pytest.approx(2 / 3 * 2 / 3)
    # The second prediction makes the first give up its label for another one.
    rivals = {"a": scored("0-14 0-9", 0.9, 0.8)}
    assert compute_average_precision(rivals, {"a": parse("0-9 5-19")}) == 1.0
    assert math.isnan(compute_average_precision({"a": parse("0-9")}, truth)), "no scores"
    assert math.isnan(compute_average_precision(predicted, {}))
    assert compute_average_precision({}, truth) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_depends_on_the_order_of_scores_only(seed):
    predicted, truth = random_files(seed)
    area = compute_average_precision(predicted, truth)
    squared = {
        name: [dataclasses.replace(each, score=each.score**2) for each in own[::-1]] for name, own in predicted.items()
    }
    assert compute_average_precision(squared, truth) == pytest.approx(area)
    counts = score_spotting(predicted, truth, draws=10)[OVERALL].counts
    assert 0 < area <= counts.recall


# --- Kinds, and what is refused.


def test_intervals_without_a_kind_are_scored_as_one():
    truth = {"a": [*parse("0-9", "micro"), *parse("40-69", "macro"), *parse("80-85", "blink")]}
    scores = score_spotting({"a": parse("0-9 40-69", "given")}, truth)
    assert scores.kinds == (ANY_EXPRESSION,)
    assert scores[OVERALL].counts == scores[ANY_EXPRESSION].counts == Counts(2, 0, 0)
    assert scores.notes[0] == "One kind: predictions do not tell micro- from macro-expressions."
    assert (
        "predictions and labels" in score_spotting({"a": parse("0-9", "given")}, {"a": parse("0-9", "clip")}).notes[0]
    )


def test_other_movements_are_not_scored():
    scores = score_spotting({"a": [*parse("0-9"), *parse("20-29", "speech")]}, {"a": parse("0-9")})
    assert scores[OVERALL].counts == Counts(1, 0, 0)
    assert scores.notes == ("Not scored: 1 predictions of other movements (blink, gaze, speech, turn).",)


def test_what_is_labelled_at_false_alarms():
    truth = [*parse("0-9"), *parse("100-119", "macro"), *parse("200-209", "blink"), *parse("205-249", "speech")]
    predicted = parse("0-9 1-9 5-30 100-119 200-204 206-249 300-309")
    scores = score_spotting({"a": predicted}, {"a": truth})
    assert scores.videos[0].false_alarms == (
        BESIDE_EXPRESSION, BESIDE_EXPRESSION, OTHER_KIND, "blink", "speech", NOTHING
    )  # fmt: skip
    assert scores.count_false_alarms()[BESIDE_EXPRESSION] == 2
    assert sum(scores.count_false_alarms().values()) == scores[OVERALL].counts.false_positives


def test_overlapping_labels_and_several_faces_are_said():
    faces = [Interval(onset_frame=0, offset_frame=9, kind="micro", face_id=face) for face in (0, 1)]
    scores = score_spotting({"a": faces}, {"a": parse("0-9 5-14")})
    assert scores.notes == (
        "Predictions of several faces in a are scored against the same labels.",
        "Labels that overlap an earlier one of their kind: 1, such as 0-9 and 5-14 in a; each is counted.",
    )


@pytest.mark.parametrize(
    ("predicted", "truth", "options", "message"),
    [
        ({}, {}, {}, "no videos"),
        ({"a": []}, {"b": []}, {}, "no video in common: 'a' is in the first, 'b' in the second"),
        ({"a": parse("9-3")}, {"a": []}, {}, r"prediction 9-3 \(micro\) of video 'a': expected an onset"),
        ({"a": []}, {"a": parse("0-3 0-3")}, {}, r"label 0-3 \(micro\) of video 'a' is there twice"),
        ({"a": []}, {"a": parse("0-3", "smile")}, {}, "labels have the kind 'smile'; expected one of micro, macro"),
        (
            {"a": [*parse("0-3"), *parse("5-9", "given")]},
            {"a": []},
            {},
            "some predictions are of kind micro and some of",
        ),
        ({"a": []}, {"a": []}, {"iou": 0}, "an IoU of 0; expected"),
        ({"a": []}, {"a": []}, {"iou": 1.5}, "an IoU of 1.5; expected"),
        ({"a": []}, {"a": []}, {"durations_s": {"b": 1.0}}, "video 'a' has no duration"),
        ({"a": []}, {"a": []}, {"durations_s": {"a": 0.0}}, "video 'a' lasts 0 s"),
        (
            {"a": []},
            {"a": []},
            {"durations_s": {"a": 4e6}},
            "video 'a' lasts 4e.06 s; expected a number above 0, up to",
        ),
        ({"a": []}, {"a": []}, {"subjects": {}}, "video 'a' has no subject"),
    ],
)
def test_what_cannot_be_scored(predicted, truth, options, message):
    with pytest.raises(IntervalsError, match=message):
        score_spotting(predicted, truth, **options)
