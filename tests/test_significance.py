import numpy as np
import pytest

from mer_jax.evaluation import metrics, significance
from mer_jax.evaluation.significance import correct_holm, exact_mcnemar, flip_people, permute_subjects

STATISTICS = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}


def subject_counts(seed=0, num_subjects=16, spread=0.25):
    rng = np.random.default_rng(seed)
    n = 40 * num_subjects
    subject, true = np.arange(n) % num_subjects, rng.integers(0, 3, n)
    skill = rng.uniform(0.6 - spread, 0.6 + spread, num_subjects)
    predicted = np.where(rng.random(n) < skill[subject], true, (true + rng.integers(1, 3, n)) % 3)
    return metrics.confusion_by_group(true, predicted, subject, 3, num_groups=num_subjects)


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
    assert test.method == "permutation over 4 people, all 8 exchanges of the 3 who differ"
    same = permute_subjects(first, first, STATISTICS, seed=0)["uf1"]
    assert (same.difference, same.p_value) == (0.0, 1.0)
    back = permute_subjects(second, first, {"accuracy": metrics.accuracy}, seed=0)["accuracy"]
    assert (back.difference, back.p_value) == (-test.difference, test.p_value)


def test_drawn_permutations_agree_with_listed_ones(monkeypatch):
    first, second = subject_counts(seed=0, num_subjects=12), subject_counts(seed=1, num_subjects=12)
    listed = permute_subjects(first, second, STATISTICS, seed=0)
    monkeypatch.setattr(significance, "EXCHANGES_LISTED", 1)
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


def test_flipped_people_known_answers():
    # Of 4 people, 8 of 10 items are right here and 8 of 20 there, so 16 of all 30 under the null hypothesis. The first
    # three contribute +.3, +.05 and +.05 to the difference of .4, the last nothing: of 8 signs, 2 are as large.
    first = right_and_wrong((4, 0), (2, 1), (2, 1), (0, 0))
    second = right_and_wrong((2, 6), (3, 3), (3, 3), (0, 0))
    test = flip_people(first, second)
    assert test.difference == pytest.approx(0.8 - 0.4)
    assert test.p_value == 2 / 8
    assert test.method == "permutation over 4 people, all signs of their contributions"
    assert flip_people(first, first).p_value == 1.0
    assert flip_people(second, first).p_value == test.p_value


def test_flipped_people_agree_with_exchanged_ones_on_equal_items(monkeypatch):
    first, second = subject_counts(seed=0, num_subjects=12), subject_counts(seed=3, num_subjects=12)
    exchanged = permute_subjects(first, second, {"accuracy": metrics.accuracy}, seed=0)["accuracy"]
    assert flip_people(first, second).difference == pytest.approx(exchanged.difference)
    assert flip_people(first, second).p_value == pytest.approx(exchanged.p_value)
    monkeypatch.setattr(significance, "EXCHANGES_LISTED", 1)
    drawn = flip_people(first, second, draws=20_000)
    assert drawn.p_value == pytest.approx(exchanged.p_value, abs=0.02)
    assert "20000 signs" in drawn.method


@pytest.mark.parametrize("test_share", [0.1, 1.0])
def test_permutations_keep_their_level(test_share):
    # Two systems of equal skill; people and their numbers of clips differ. At 5 %, 5 % of tests are false alarms.
    rng, sizes = np.random.default_rng(0), np.array([6, 6, 39, 19, 2, 4, 13, 4, 7, 9, 10, 10])
    alarms = []
    for _ in range(300):
        skill = rng.beta(6, 3, len(sizes))
        tested = rng.binomial(5 * sizes, test_share / 5) if test_share < 1 else sizes
        counts = []
        for items in (tested, sizes):
            right = rng.binomial(items, skill)
            counts.append(right_and_wrong(*zip(right, items - right, strict=True)))
        alarms.append(flip_people(*counts).p_value < 0.05)
    assert 0.02 <= np.mean(alarms) <= 0.08
