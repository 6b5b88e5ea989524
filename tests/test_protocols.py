import numpy as np
import pytest

from mer_jax import protocols
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.protocols import Fold, audit, make_plan
from tests.toy_results import smic_like

SUBJECT_PROTOCOLS = ["subject", "loso", "composite", "cross_corpus"]
OF_ONE_CORPUS = ["subject", "loso"]


def deal_corpora(subjects) -> list[str]:
    """Names a corpus for each clip, so that each corpus has a third of the people."""
    people = sorted(set(subjects))
    return [("casme2", "samm", "smic")[people.index(subject) % 3] for subject in subjects]


def random_corpus(seed: int) -> tuple[list[str], np.ndarray]:
    """A corpus of 8 to 40 subjects with 1 to 30 clips each, of two to five classes, unevenly spread."""
    rng = np.random.default_rng(seed)
    num_subjects, num_classes = rng.integers(8, 41), rng.integers(2, 6)
    sizes = 1 + rng.geometric(0.15, num_subjects).clip(max=29)
    subjects = np.repeat([f"s{i:02d}" for i in range(num_subjects)], sizes)
    labels = rng.choice(num_classes, len(subjects), p=rng.dirichlet(np.full(num_classes, 4.0)))
    # Every class in at least five people: fewer is a corpus that is refused, which has its own tests.
    for label in range(num_classes):
        labels[[np.flatnonzero(subjects == f"s{i:02d}")[0] for i in range(label, num_subjects, num_classes)]] = label
    order = rng.permutation(len(subjects))
    return subjects[order].tolist(), labels[order]


@pytest.mark.parametrize("name", SUBJECT_PROTOCOLS)
@pytest.mark.parametrize("seed", range(25))
def test_nobody_is_on_two_sides_and_everybody_is_tested_once(name, seed):
    subjects, labels = random_corpus(seed)
    corpora = deal_corpora(subjects)
    plan = make_plan(name, subjects=subjects, corpora=corpora, labels=labels, seed=seed, num_folds=3 + seed % 3)
    people = np.array(subjects)
    for fold in plan.folds:
        sides = [set(people[mask]) for mask in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert set.union(*sides) == set(subjects)
        assert set(labels[fold.train]) == set(labels)
    np.testing.assert_array_equal(sum(fold.test.astype(int) for fold in plan.folds), 1)
    np.testing.assert_array_equal(plan.clip, np.arange(len(labels)))
    assert not plan.copy.any()
    assert plan.online_augmentation


@pytest.mark.parametrize("seed", range(25))
def test_clip_tests_every_clip_once_and_spreads_the_classes(seed):
    subjects, labels = random_corpus(seed)
    num_folds = 3 + seed % 3
    plan = make_plan("clip", subjects=subjects, labels=labels, seed=seed, num_folds=num_folds)
    np.testing.assert_array_equal(sum(fold.test.astype(int) for fold in plan.folds), 1)
    np.testing.assert_array_equal(plan.clip, np.arange(len(labels)))
    assert not plan.copy.any()
    assert plan.online_augmentation
    of_class = np.bincount(labels)
    for fold in plan.folds:
        np.testing.assert_array_equal(fold.train.astype(int) + fold.validation + fold.test, 1)
        assert set(labels[fold.train]) == set(labels)
        assert (abs(np.bincount(labels[fold.test], minlength=len(of_class)) - of_class / num_folds) <= 1).all()
        assert abs(fold.validation.sum() - 0.1 * len(labels)) <= 0.5
    report = audit(plan, subjects)
    assert [report[f"{pair[0]}_clip_in_{pair[1]}"] for pair in (("test", "train"), ("validation", "train"))] == [0, 0]


def test_ten_folds_have_the_shares_of_the_paper():
    subjects, labels = smic_like()
    for name in ("clip", "subject"):
        plan = make_plan(name, subjects=subjects, labels=labels, seed=0, num_folds=10)
        shares = np.mean([[side.mean() for side in (fold.train, fold.validation, fold.test)] for fold in plan.folds], 0)
        np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_composite_leaves_one_person_out_and_cross_corpus_one_corpus():
    subjects, labels = smic_like()
    names = deal_corpora(subjects)
    corpora = np.array(names)
    plan = make_plan("composite", subjects=subjects, corpora=names, labels=labels, seed=0)
    assert sorted(fold.name for fold in plan.folds) == sorted(set(subjects))
    for fold in plan.folds:
        assert set(corpora[fold.train]) == {"casme2", "samm", "smic"}
    plan = make_plan("cross_corpus", subjects=subjects, corpora=names, labels=labels, seed=0)
    assert [fold.name for fold in plan.folds] == ["casme2", "samm", "smic"]
    for fold in plan.folds:
        assert set(corpora[fold.test]) == {fold.name}
        assert fold.name not in set(corpora[fold.train]) | set(corpora[fold.validation])


def test_one_corpus_is_no_composite_and_a_name_in_two_is_refused():
    subjects, labels = smic_like()
    for name in ("composite", "cross_corpus"):
        with pytest.raises(CorpusError, match=rf"all clips are of a single corpus, smic; protocol '{name}' needs two"):
            make_plan(name, subjects=subjects, corpora=["smic"] * 164, labels=labels, seed=0)
        with pytest.raises(CorpusError, match="all clips are of a single corpus; protocol"):
            make_plan(name, subjects=subjects, labels=labels, seed=0)
    with pytest.raises(CorpusError, match="subject 's1' is in smic and in samm; expected each name to be one person"):
        make_plan("composite", subjects=subjects, corpora=["smic", "samm"] * 82, labels=labels, seed=0)


def test_a_corpus_with_a_class_of_its_own_is_refused():
    labels = np.array([0, 1] * 6 + [2, 2, 2, 2])
    with pytest.raises(CorpusError, match=r"fold 'b' tests everybody who has class 2"):
        make_plan(
            "cross_corpus", subjects=list("aabbccddeeffgghh"), corpora=["a"] * 8 + ["b"] * 8, labels=labels, seed=0
        )


def test_clips_too_few_are_refused():
    with pytest.raises(CorpusError, match="4 clips for 5 folds; protocol 'clip' needs at least as many clips"):
        make_plan("clip", subjects=list("aabb"), labels=np.array([0, 1, 0, 1]), seed=0)
    with pytest.raises(CorpusError, match="2 clips are left for training and validation, one of each class"):
        make_plan("clip", subjects=list("aab"), labels=np.array([0, 1, 0]), seed=0, num_folds=3)
    with pytest.raises(CorpusError, match="of protocol 'clip' trains without class 1, which only b has"):
        make_plan("clip", subjects=["a"] * 9 + ["b"], labels=np.array([0] * 9 + [1]), seed=0)


@pytest.mark.parametrize("seed", range(25))
def test_paper_divides_the_copies_and_covers_every_item_once(seed):
    subjects, labels = random_corpus(seed)
    plan = make_plan("paper", subjects=subjects, labels=labels, seed=seed, num_copies=3)
    (fold,) = plan.folds
    assert len(plan.clip) == 4 * len(labels)
    assert set(zip(plan.clip.tolist(), plan.copy.tolist(), strict=True)) == {
        (clip, copy) for clip in range(len(labels)) for copy in range(4)
    }
    np.testing.assert_array_equal(fold.train.astype(int) + fold.validation + fold.test, 1)
    assert fold.test.mean() == pytest.approx(0.1, abs=0.5 / len(plan.clip) + 1e-9)
    assert fold.validation.mean() == pytest.approx(0.1, abs=0.5 / len(plan.clip) + 1e-9)
    assert not plan.online_augmentation


def test_audit_measures_the_leak_of_the_paper_and_none_elsewhere():
    subjects, labels = smic_like()
    corpora = deal_corpora(subjects)
    for name in SUBJECT_PROTOCOLS:
        report = audit(make_plan(name, subjects=subjects, corpora=corpora, labels=labels, seed=3), subjects)
        assert report.pop("test_items") == 164
        assert report.pop("disjoint_by") == "subject"
        assert len(report) == 6
        assert set(report.values()) == {0.0}

    report = audit(make_plan("paper", subjects=subjects, labels=labels, seed=3, num_copies=4), subjects)
    assert report["test_items"] == 82
    # A test item is alone with probability of about .1**4 or so: its four siblings all in validation or test.
    assert report["test_clip_in_train"] > 0.95
    assert report["test_subject_in_train"] > 0.95


def test_audit_known_answer():
    fold = Fold("f", *np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], bool))
    clip = np.array([0, 1, 2, 1, 2, 3])
    plan = protocols.Plan("hand", "", clip, np.zeros(6, int), (fold,), False, "item")
    report = audit(plan, ["a", "b", "c", "b"])  # tested: clip 1 of b, clip 2 of c, clip 3 of b
    assert report["test_clip_in_train"] == pytest.approx(1 / 3)
    assert report["test_clip_in_validation"] == pytest.approx(1 / 3)
    assert report["test_subject_in_train"] == pytest.approx(2 / 3)
    assert report["validation_clip_in_train"] == 0.0


def test_a_protocol_that_breaks_its_promise_is_caught(monkeypatch):
    def leaky(split):
        clip = np.arange(len(split.labels))
        fold = Fold("f", train=clip > 3, validation=clip == 2, test=clip < 2)
        return protocols.Plan("leaky", "", clip, clip * 0, (fold,), True, "subject")

    monkeypatch.setitem(protocols.PROTOCOLS, "leaky", leaky)
    with pytest.raises(AssertionError, match=r"promises disjoint subjects, but: .*test_subject_in_train"):
        make_plan("leaky", subjects=["a", "b"] * 4, labels=np.array([0, 0, 1, 1] * 2), seed=0)


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_folds_follow_the_seed(name):
    subjects, labels = smic_like()

    def masks(seed):
        plan = make_plan(name, subjects=subjects, corpora=deal_corpora(subjects), labels=labels, seed=seed)
        return np.array([[fold.train, fold.validation, fold.test] for fold in plan.folds])

    np.testing.assert_array_equal(masks(5), masks(5))
    assert any((masks(5) != masks(seed)).any() for seed in (6, 7, 8))


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_balanced_and_validation_is_about_a_tenth(seed):
    subjects, labels = smic_like()
    plan = make_plan("subject", subjects=subjects, labels=labels, seed=seed)
    sizes = [int(fold.test.sum()) for fold in plan.folds]
    assert min(sizes) >= 25  # of 164 / 5 = 33; one subject alone has 39
    assert max(sizes) <= 41
    for fold in plan.folds:
        assert (np.bincount(labels[fold.test], minlength=3) >= 3).all()
        assert 0.06 <= fold.validation.mean() <= 0.15


def test_validation_takes_turns():
    subjects, labels = smic_like()
    plan = make_plan("loso", subjects=subjects, labels=labels, seed=0)
    served = [sum(fold.validation[subjects.index(name)] for fold in plan.folds) for name in set(subjects)]
    assert sum(np.array(served) > 0) >= 14  # all but those too large for a tenth
    assert plan.folds[0].name == "s1"


@pytest.mark.parametrize("name", ["paper", "clip", "subject", "loso"])
def test_without_validation_all_other_clips_train(name):
    subjects, labels = smic_like()
    plan = make_plan(name, subjects=subjects, labels=labels, seed=0, validation_share=0.0)
    with_validation = make_plan(name, subjects=subjects, labels=labels, seed=0)
    for fold, other in zip(plan.folds, with_validation.folds, strict=True):
        assert not fold.validation.any()
        np.testing.assert_array_equal(fold.train, ~fold.test)
        assert other.validation.any()
        if name != "clip":  # whose groups of test clips come from the same stream as validation
            np.testing.assert_array_equal(fold.test, other.test)
    assert audit(plan, subjects)["validation_subject_in_train"] == 0.0


def test_two_people_are_enough_without_validation():
    options = {"subjects": list("aabb"), "labels": np.array([0, 1, 0, 1]), "seed": 0, "validation_share": 0.0}
    assert [fold.name for fold in make_plan("loso", **options).folds] == ["a", "b"]
    with pytest.raises(CorpusError, match=r"1 subjects; protocol 'loso' needs at least 2 \(to train, to test\)"):
        make_plan("loso", **options | {"subjects": ["a"] * 4})


def test_names_nobody_knows_are_refused():
    subjects, labels = smic_like()
    with pytest.raises(ConfigError, match="unknown protocol 'subjct'; did you mean 'subject'"):
        make_plan("subjct", subjects=subjects, labels=labels, seed=0)
    with pytest.raises(ConfigError, match="unknown protocol 'kfold'; 'subject' divides people into num_folds groups"):
        make_plan("kfold", subjects=subjects, labels=labels, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "subject", "num_folds": 1}, "num_folds is 1; expected 2 or more"),
        ({"name": "clip", "num_folds": 1}, "num_folds is 1; expected 2 or more"),
        ({"name": "paper", "num_copies": 0}, "num_copies is 0; .* expected 1 or more"),
        ({"name": "loso", "validation_share": -0.1}, "validation_share is -0.1; expected from 0"),
        ({"name": "loso", "validation_share": 0.5}, "validation_share is 0.5; .* below 0.5"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    subjects, labels = smic_like()
    with pytest.raises(ConfigError, match=message):
        make_plan(**options, subjects=subjects, labels=labels, seed=0)


def test_too_few_subjects_are_refused():
    labels = np.array([0, 1] * 4)
    message = r"4 subjects for 5 folds; .* and 3 in all \(to train, to validate, to test\)\. Lower num_folds"
    with pytest.raises(CorpusError, match=message):
        make_plan("subject", subjects=list("aabbccdd"), labels=labels, seed=0)
    with pytest.raises(CorpusError, match="2 subjects; protocol 'loso' needs at least 3"):
        make_plan("loso", subjects=list("aaaabbbb"), labels=labels, seed=0)
    with pytest.raises(CorpusError, match="1 subjects for 2 folds"):
        make_plan("subject", subjects=["a"] * 8, labels=labels, seed=0, num_folds=2)
    with pytest.raises(CorpusError, match="3 subjects and 8 corpora for 8 labels"):
        make_plan("loso", subjects=list("abc"), labels=labels, seed=0)
    # Two groups of three people: one group has two, which leaves the other with one to train and none to validate.
    with pytest.raises(CorpusError, match="no subject for validation: taking any of the 1 subjects who are not"):
        make_plan("subject", subjects=list("aabbcc"), labels=labels[:6], seed=0, num_folds=2)


def test_a_class_that_only_one_subject_has_is_refused_by_name():
    subjects = list("aabbccddee")
    labels = np.array([0, 1] * 4 + [2, 2])
    for name in OF_ONE_CORPUS:
        with pytest.raises(CorpusError, match=r"tests everybody who has class 2 .*: e\."):
            make_plan(name, subjects=subjects, labels=labels, seed=0)


def test_a_class_in_two_subjects_stays_in_training():
    # Whenever one of the two is tested, the other must train, so it may not validate.
    subjects = list("aabbccddee")
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 2, 1, 2])
    for seed in range(10):
        plan = make_plan("loso", subjects=subjects, labels=labels, seed=seed, validation_share=0.3)
        assert all(2 in labels[fold.train] for fold in plan.folds)


def test_those_who_validate_together_leave_every_class_in_training():
    # c and d are the only ones small enough for a fifth, and together have all of class 2.
    subjects = list("aa" + 20 * "b" + "cccddd")
    labels = np.array([0, 1] * 11 + [0, 1, 2] * 2)
    for seed in range(5):
        plan = make_plan("loso", subjects=subjects, labels=labels, seed=seed, validation_share=0.2)
        assert plan.folds[0].validation.sum() == 3


def test_a_class_missing_from_the_papers_training_side_is_refused():
    labels = np.array([0] * 9 + [1])
    subjects = ["a"] * 9 + ["b"]

    def plan_all():
        for seed in range(500):  # both items of the one clip of class 1 outside training: one seed in 25 or so
            make_plan("paper", subjects=subjects, labels=labels, seed=seed, num_copies=1)

    with pytest.raises(CorpusError, match="trains without class 1, which only b has"):
        plan_all()


def test_an_empty_side_and_an_item_on_two_sides_are_refused():
    some, none = np.array([True, False, False]), np.zeros(3, bool)
    with pytest.raises(CorpusError, match="fold 'f' has no train items; expected at least one"):
        Fold("f", train=none, validation=~some, test=some)
    with pytest.raises(CorpusError, match="fold 'f' has no test items; expected at least one"):
        Fold("f", train=some, validation=~some, test=none)
    assert not Fold("f", train=some, validation=none, test=~some).validation.any()
    with pytest.raises(ValueError, match="fold 'f' has an item on two sides"):
        Fold("f", train=some, validation=~some, test=some)
