import time

import numpy as np
import pytest

from mer_jax.evaluation import intervals as statistics
from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import (
    bootstrap_difference,
    bootstrap_over_subjects,
    correct_holm,
    exact_mcnemar,
    newcombe_interval,
    permute_subjects,
    wilson_interval,
)

STATISTICS = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}


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


def test_newcombe_known_answers():
    # Newcombe, Statist. Med. 17 (1998) 873, table II, method 10: 56/70 - 48/80 and 10/10 - 0/10.
    for a, m, b, n, low, high in (
        (56, 70, 48, 80, 0.0524, 0.3339),
        (10, 10, 0, 10, 0.6075, 1.0),
        (9, 10, 3, 10, 0.1705, 0.8090),
    ):
        interval = newcombe_interval(a / m, wilson_interval(a / m, m), b / n, wilson_interval(b / n, n))
        assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def subject_counts(seed=0, num_subjects=16, spread=0.25):
    rng = np.random.default_rng(seed)
    n = 40 * num_subjects
    subject, true = np.arange(n) % num_subjects, rng.integers(0, 3, n)
    skill = rng.uniform(0.6 - spread, 0.6 + spread, num_subjects)
    predicted = np.where(rng.random(n) < skill[subject], true, (true + rng.integers(1, 3, n)) % 3)
    return metrics.confusion_by_group(true, predicted, subject, 3, num_groups=num_subjects)


def test_bootstrap_is_a_plain_resampling_of_subjects():
    counts = subject_counts()
    intervals = bootstrap_over_subjects(counts, STATISTICS, seed=1, draws=4000)
    rng = np.random.default_rng(2)
    plain = [metrics.uf1(counts[rng.integers(0, 16, 16)].sum(0)) for _ in range(4000)]
    np.testing.assert_allclose(
        [intervals["uf1"].low, intervals["uf1"].high], np.percentile(plain, [2.5, 97.5]), atol=0.01
    )
    assert intervals["accuracy"].low < metrics.accuracy(counts.sum(0)) < intervals["accuracy"].high
    assert intervals["uar"].method == "percentile bootstrap over 16 subjects, 4000 draws, seed 1"


def test_bootstrap_follows_the_seed():
    counts = subject_counts()
    first, again, other = (bootstrap_over_subjects(counts, STATISTICS, seed=seed, draws=500) for seed in (1, 1, 2))
    assert first == again
    assert first["accuracy"].low != other["accuracy"].low


def test_subjects_that_differ_widen_the_interval_beyond_wilson():
    counts = subject_counts(spread=0.4)
    ours = bootstrap_over_subjects(counts, STATISTICS, seed=0, draws=2000)["accuracy"]
    clips = wilson_interval(float(metrics.accuracy(counts.sum(0))), int(counts.sum()))
    assert ours.high - ours.low > 2 * (clips.high - clips.low)


def test_equal_subjects_are_drawn_together_without_changing_the_law():
    # 100 one-clip subjects, 70 right: the bootstrap is a binomial, whose quantiles are known (61, 79 of 100).
    counts = np.zeros((100, 2, 2), int)
    counts[:70, 0, 0], counts[70:, 0, 1] = 1, 1
    interval = bootstrap_over_subjects(counts, {"accuracy": metrics.accuracy}, seed=0)["accuracy"]
    assert interval.low == pytest.approx(0.61, abs=0.011)
    assert interval.high == pytest.approx(0.79, abs=0.011)


def test_subjects_without_predictions_do_not_count():
    counts = np.concatenate([subject_counts(), np.zeros((5, 3, 3), int)])
    assert "over 16 subjects" in bootstrap_over_subjects(counts, STATISTICS, seed=0, draws=10)["uf1"].method
    with pytest.raises(ValueError, match=r"1 subjects with predictions: .* needs at least 2"):
        bootstrap_over_subjects(counts[15:], STATISTICS, seed=0)


@pytest.mark.parametrize("num_subjects", [68, 1_000_000])
def test_a_million_predictions_in_seconds(num_subjects):
    rng = np.random.default_rng(0)
    n = 1_000_000
    true, predicted, subject = rng.integers(0, 3, n), rng.integers(0, 3, n), rng.permutation(n) % num_subjects
    start = time.process_time()
    counts = metrics.confusion_by_group(true, predicted, subject, 3, num_groups=num_subjects)
    interval = bootstrap_over_subjects(counts, STATISTICS, seed=0)["accuracy"]
    assert time.process_time() - start < 30  # seconds of CPU; the aim is 60 on the clock
    assert 0.33 < interval.low < interval.high < 0.34


def test_mcnemar_known_answers():
    def differing(first, second, both=3):
        a = np.array([True] * first + [False] * second + [True] * both + [False] * both)
        b = np.array([False] * first + [True] * second + [True] * both + [False] * both)
        return exact_mcnemar(a, b)

    assert differing(0, 0).p_value == 1.0
    assert differing(5, 5).p_value == 1.0
    assert differing(1, 9).p_value == pytest.approx(22 / 1024)  # 2 (1 + 10) / 2**10
    assert differing(9, 1).p_value == differing(1, 9).p_value
    assert (differing(9, 1).only_first, differing(9, 1).only_second) == (9, 1)
    assert differing(0, 60).p_value == pytest.approx(2 / 2**60)
    assert 0 < differing(900, 1300).p_value < 1e-15  # 2**2200 is no float


def test_mcnemar_agrees_with_the_binomial_test():
    scipy_stats = pytest.importorskip("scipy.stats")
    for first, second in ((3, 8), (40, 25), (0, 7), (700, 650)):
        a, b = np.repeat([True, False], [first, second]), np.repeat([False, True], [first, second])
        assert exact_mcnemar(a, b).p_value == pytest.approx(scipy_stats.binomtest(first, first + second).pvalue)


def test_drawing_subjects_one_by_one_is_the_same_law(monkeypatch):
    counts = subject_counts(num_subjects=40)
    together = bootstrap_over_subjects(counts, STATISTICS, seed=0)
    monkeypatch.setattr(statistics, "MANY_SUBJECTS", 10)
    monkeypatch.setattr(statistics, "NUMBERS_AT_ONCE", 4000)  # and in several parts
    one_by_one = bootstrap_over_subjects(counts, STATISTICS, seed=0)
    for name, interval in together.items():
        assert (one_by_one[name].low, one_by_one[name].high) != (interval.low, interval.high)
        assert one_by_one[name].low == pytest.approx(interval.low, abs=0.006)
        assert one_by_one[name].high == pytest.approx(interval.high, abs=0.006)


def test_difference_of_a_system_to_itself_is_none():
    counts = subject_counts()
    interval = bootstrap_difference(counts, counts, STATISTICS, seed=0, draws=50)["uf1"]
    assert (interval.low, interval.high) == (0.0, 0.0)
    assert "over 16 subjects, the same for both" in interval.method
    with pytest.raises(ValueError, match="1 subjects: a bootstrap over subjects needs at least 2"):
        bootstrap_difference(counts[:1], counts[:1], STATISTICS, seed=0)


def test_subjects_in_common_narrow_the_interval_of_a_difference():
    first = subject_counts(spread=0.4)
    second = first.copy()
    second[:, 0, 0] -= 1  # one clip of every subject, right by the first and wrong by the second
    second[:, 0, 1] += 1
    interval = bootstrap_difference(first, second, STATISTICS, seed=0)["accuracy"]
    assert interval.low == pytest.approx(1 / 40)
    assert interval.high == pytest.approx(1 / 40)


def right_and_wrong(*pairs):
    """Confusion matrices of subjects with so many clips right and wrong."""
    return np.array([[[right, wrong], [0, 0]] for right, wrong in pairs])


def test_permutation_known_answers():
    # Differences of right answers by subject: 3, 1, -1, and none. Of the 8 exchanges, sums of at least 3 in size:
    # +3+1-1, +3+1+1, +3-1+1 and their opposites, and +3-1-1 = 1 not: 6 of 8.
    first = right_and_wrong((4, 0), (2, 2), (1, 3), (2, 2))
    second = right_and_wrong((1, 3), (1, 3), (2, 2), (2, 2))
    test = permute_subjects(first, second, {"accuracy": metrics.accuracy}, seed=0)["accuracy"]
    assert test.difference == pytest.approx(3 / 16)
    assert test.p_value == 6 / 8
    assert test.method == "permutation over 4 subjects, all 8 exchanges of the 3 that differ"
    same = permute_subjects(first, first, STATISTICS, seed=0)["uf1"]
    assert (same.difference, same.p_value) == (0.0, 1.0)
    back = permute_subjects(second, first, {"accuracy": metrics.accuracy}, seed=0)["accuracy"]
    assert (back.difference, back.p_value) == (-test.difference, test.p_value)


def test_drawn_permutations_agree_with_listed_ones(monkeypatch):
    first, second = subject_counts(seed=0, num_subjects=12), subject_counts(seed=1, num_subjects=12)
    listed = permute_subjects(first, second, STATISTICS, seed=0)
    monkeypatch.setattr(statistics, "EXCHANGES_LISTED", 1)
    drawn = permute_subjects(first, second, STATISTICS, seed=0, draws=20_000)
    for name in STATISTICS:
        assert "20000 exchanges, seed 0" in drawn[name].method
        assert drawn[name].p_value == pytest.approx(listed[name].p_value, abs=0.02)
    assert permute_subjects(first, 0 * first + 1, STATISTICS, seed=0, draws=9)["uf1"].p_value >= 0.1


def test_one_clip_subjects_make_the_permutation_mcnemar():
    rng = np.random.default_rng(0)
    first, second = rng.random(60) < 0.7, rng.random(60) < 0.5
    counts = [right_and_wrong(*[(int(right), int(not right)) for right in each]) for each in (first, second)]
    p_value = permute_subjects(*counts, {"accuracy": metrics.accuracy}, seed=0, draws=50_000)["accuracy"].p_value
    assert p_value == pytest.approx(exact_mcnemar(first, second).p_value, abs=0.01)


def test_holm_known_answers():
    # Holm's own scheme: the smallest times 3, the next times 2, the last times 1, never falling.
    assert correct_holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert correct_holm([0.5, 0.9, 0.4]) == pytest.approx([1.0, 1.0, 1.0])
    assert correct_holm([0.2]) == [0.2]
    assert correct_holm([]) == []
