import numpy as np
import pytest

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import MIN_PEOPLE, difference_intervals, people_intervals, wilson_interval

STATISTICS = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
SMIC = (6, 6, 39, 19, 2, 4, 13, 4, 7, 9, 10, 10, 4, 7, 2, 22)  # clips of 16 people


def test_wilson_known_answers():
    # Newcombe, Statist. Med. 17 (1998) 857, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        interval = wilson_interval(hits / n, n)
        assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson_interval(1.0, 5).high == 1.0
    assert wilson_interval(0.5, 100).method == "Wilson score, 100 clips"
    assert wilson_interval(0.5, 100, level=0.99).low < wilson_interval(0.5, 100).low


@pytest.mark.parametrize(("proportion", "num_clips"), [(1.1, 10), (-0.1, 10), (0.5, 0)])
def test_wilson_refuses_what_is_no_share(proportion, num_clips):
    with pytest.raises(ValueError, match="expected 0 to 1 of at least one clip"):
        wilson_interval(proportion, num_clips)


def test_wilson_covers():
    rng, level, n, p = np.random.default_rng(0), 0.95, 82, 0.7
    intervals = [wilson_interval(hits / n, n, level=level) for hits in rng.binomial(n, p, 2000)]
    assert np.mean([each.low <= p <= each.high for each in intervals]) == pytest.approx(level, abs=0.02)


def draw_people(rng, *, accuracy=0.75, icc=0.05, sizes=SMIC):
    """Confusion matrices of people whose skill varies, with three classes."""
    skill = rng.beta(accuracy * (1 - icc) / icc, (1 - accuracy) * (1 - icc) / icc, len(sizes))
    person = np.repeat(np.arange(len(sizes)), sizes)
    true = rng.choice(3, len(person), p=[0.43, 0.31, 0.26])
    predicted = np.where(rng.random(len(person)) < skill[person], true, (true + rng.integers(1, 3, len(person))) % 3)
    return metrics.confusion_by_group(true, predicted, person, 3, num_groups=len(sizes))


@pytest.mark.parametrize(
    ("right", "low", "high"),
    [
        # Worked by hand; each person has 10 items. Without a person the accuracy of .7 changes by .0667 to either side:
        # V = .01778, 4 degrees of freedom (t = 2.776), smoothed accuracy 29/42, 12.02 effective clips.
        ([9, 9, 5, 5], 0.3250, 0.9188),
        # One person changes .8 by .1, seven by .0143: V = .01143, 2.605 degrees of freedom (t = 3.48), 14.25 clips.
        ([1, 9, 9, 9, 9, 9, 9, 9], 0.3602, 0.9660),
        # People do not differ: the variance is that of 40 independent clips, with 4 degrees of freedom.
        ([7, 7, 7, 7], 0.4807, 0.8547),
    ],
)  # fmt: skip
def test_intervals_over_people_known_answers(right, low, high):
    counts = np.array([[[each, 10 - each], [0, 0]] for each in right])
    interval = people_intervals(counts, {"accuracy": metrics.accuracy})["accuracy"]
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_differences_known_answers():
    # Worked by hand: right answers of 4 people with 10 items each. The difference of .2 changes by .0667 to either side
    # without a person, so its standard error is .1333, with 4 degrees of freedom (t = 2.776).
    first, second = (np.array([[[r, 10 - r], [0, 0]] for r in right]) for right in ((9, 9, 5, 5), (5, 5, 5, 5)))
    interval = difference_intervals(first, second, {"accuracy": metrics.accuracy})["accuracy"]
    assert interval.low == pytest.approx(0.2 - 2.7764 * 0.13333, abs=1e-4)
    assert interval.high == pytest.approx(0.2 + 2.7764 * 0.13333, abs=1e-4)


def test_intervals_over_people_cover():
    # The whole table is in benchmarks/RESULTS.md. The true UF1 and UAR are those of the expected counts.
    rng, held, wilson = np.random.default_rng(0), {name: [] for name in STATISTICS}, []
    expected = np.array([0.43, 0.31, 0.26])[:, None] * (0.75 * np.eye(3) + 0.125 * (1 - np.eye(3)))
    for _ in range(500):
        counts = draw_people(rng)
        for name, interval in people_intervals(counts, STATISTICS).items():
            held[name].append(interval.low <= STATISTICS[name](expected) <= interval.high)
        over_clips = wilson_interval(float(metrics.accuracy(counts.sum(0))), int(counts.sum()))
        wilson.append(over_clips.low <= 0.75 <= over_clips.high)
    for name, each in held.items():
        assert 0.94 <= np.mean(each) <= 0.99, name
    assert np.mean(wilson) < 0.9


def test_equal_people_of_one_clip_have_the_interval_of_clips():
    counts = np.zeros((200, 2, 2), int)
    counts[:140, 0, 0], counts[140:, 0, 1] = 1, 1
    interval = people_intervals(counts, {"accuracy": metrics.accuracy})["accuracy"]
    over_clips = wilson_interval(0.7, 200)
    assert (interval.low, interval.high) == (
        pytest.approx(over_clips.low, abs=0.005),
        pytest.approx(over_clips.high, abs=0.005),
    )
    assert interval.method == "effective-sample Wilson over 200 people"


def test_people_who_differ_widen_the_interval():
    rng = np.random.default_rng(0)

    def width(icc):
        each = [people_intervals(draw_people(rng, icc=icc), STATISTICS)["accuracy"] for _ in range(20)]
        return np.mean([interval.high - interval.low for interval in each])

    assert width(0.3) > 1.8 * width(0.001)


def test_one_person_with_most_clips_widens_the_interval():
    # The same clips in all, and the same accuracy of each person: little is known about people if one has nearly all.
    def width(sizes):
        counts = np.array([[[size * 3 // 4, size - size * 3 // 4], [0, 0]] for size in sizes])
        interval = people_intervals(counts, {"accuracy": metrics.accuracy})["accuracy"]
        return interval.high - interval.low

    assert width([144, 4, 4, 4, 4]) > 1.5 * width([32] * 5)


def test_all_right_leaves_room_for_errors():
    counts = np.array([np.diag([size, size, size]) for size in (3, 5, 2, 8, 4)])
    for interval in people_intervals(counts, STATISTICS).values():
        assert interval.high == 1.0
        assert 0.7 < interval.low < 0.97
    only_class = np.full((4, 1, 1), 5)
    assert people_intervals(only_class, {"accuracy": metrics.accuracy})["accuracy"].low > 0.5


def test_people_without_items_do_not_count():
    counts = draw_people(np.random.default_rng(0))
    with_others = np.concatenate([counts, np.zeros((5, 3, 3), int)])
    assert people_intervals(with_others, STATISTICS) == people_intervals(counts, STATISTICS)
    with pytest.raises(ValueError, match=r"1 people with items: an interval over people needs at least 2"):
        people_intervals(with_others[15:], STATISTICS)
    with pytest.raises(ValueError, match=r"1 people with items: an interval over people needs at least 2"):
        difference_intervals(with_others[15:], with_others[15:], STATISTICS)


def test_too_few_people_are_marked():
    counts = draw_people(np.random.default_rng(0))
    assert MIN_PEOPLE > 2
    for function, arguments in ((people_intervals, 1), (difference_intervals, 2)):
        few = function(*[counts[: MIN_PEOPLE - 1]] * arguments, STATISTICS)["uf1"]
        enough = function(*[counts[:MIN_PEOPLE]] * arguments, STATISTICS)["uf1"]
        assert (few.note, enough.note) == ("too few people", "")
    clips = people_intervals(counts[:2], STATISTICS, unit="clips")["uf1"]
    assert (clips.note, clips.method) == ("", "effective-sample Wilson over 2 clips")


def test_a_million_people_take_one_pass():
    # What is held in memory and evaluated grows with people, not with people times draws or people squared.
    rng, n = np.random.default_rng(0), 1_000_000
    true, predicted = rng.integers(0, 3, n), rng.integers(0, 3, n)
    counts = metrics.confusion_by_group(true, predicted, rng.permutation(n), 3, num_groups=n)
    evaluated = []

    def accuracy(confusion):
        evaluated.append(confusion.size)
        return metrics.accuracy(confusion)

    interval = people_intervals(counts, {"accuracy": accuracy})["accuracy"]
    assert 0.33 < interval.low < 1 / 3 < interval.high < 0.34
    assert sum(evaluated) < 1.01 * counts.size


def test_difference_of_a_system_to_itself_is_none():
    counts = draw_people(np.random.default_rng(0))
    interval = difference_intervals(counts, counts, STATISTICS)["uf1"]
    assert (interval.low, interval.high) == (0.0, 0.0)
    assert interval.method == "jackknife t over 16 people, the same for both"


def test_people_in_common_narrow_the_interval_of_a_difference():
    first = draw_people(np.random.default_rng(0), icc=0.3, sizes=[10] * 16)
    second = first.copy()
    right = first[:, 0, 0] > 0
    second[right, 0, 0] -= 1  # one clip of nearly every person, right by the first and wrong by the second
    second[right, 0, 1] += 1
    interval = difference_intervals(first, second, STATISTICS)["accuracy"]
    assert interval.low <= right.mean() / 10 <= interval.high
    assert interval.high - interval.low < 0.05
    alone = people_intervals(first, STATISTICS)["accuracy"]
    assert alone.high - alone.low > 0.15


def test_differences_cover():
    rng, held = np.random.default_rng(0), []
    for _ in range(500):
        person = np.repeat(np.arange(16), SMIC)
        skill = rng.beta(6, 2, 16)
        right = [rng.binomial(1, skill[person]) for _ in range(2)]
        both = [metrics.confusion_by_group(0 * each, 1 - each, person, 2, num_groups=16) for each in right]
        interval = difference_intervals(*both, {"accuracy": metrics.accuracy})["accuracy"]
        held.append(interval.low <= 0 <= interval.high)
    assert 0.93 <= np.mean(held) <= 0.99
