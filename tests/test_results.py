import json
from dataclasses import replace

import numpy as np
import pytest

from mer_jax.evaluation import metrics
from mer_jax.evaluation.intervals import people_intervals
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.results import STATISTICS, ProtocolResult, write_metrics
from tests.toy_results import NAMES, make_result, make_results


def repeat(result, times=3, **changes):
    """The same predictions under several seeds."""
    columns = {name: np.tile(getattr(result, name), times) for name in ("fold", "copy", "true")}
    return replace(
        result,
        clip_id=result.clip_id * times,
        subject=result.subject * times,
        seed=np.repeat(np.arange(times), len(result.true)),
        probabilities=np.tile(result.probabilities, (times, 1)),
        **columns | changes,
    )


def make_plain(*, true, predicted, **columns):
    """A result of the classes 0 to 2 without probabilities."""
    rows = len(true)
    numbers = {name: np.asarray(columns.pop(name, np.zeros(rows, int))) for name in ("fold", "copy", "seed")}
    return ProtocolResult(
        protocol="p", corpus="c", provenance="unstated", clip_id=columns.pop("clip_id", ()),
        subject=columns.pop("subject", ()), true=np.asarray(true), stated=np.asarray(predicted), probabilities=None,
        class_names=NAMES, **numbers, **columns,
    )  # fmt: skip


def test_metrics_file(tmp_path):
    results = make_results()
    entries = json.loads(write_metrics(tmp_path / "metrics.json", results).read_text())
    assert list(entries) == ["paper", "subject"]
    for result in results:
        entry = entries[result.protocol]
        right = np.mean(result.predicted == result.true)
        assert entry["accuracy"] == pytest.approx(right)
        assert entry["error_rate"] == pytest.approx(1 - right)
        assert entry["n_clips"] == len(set(result.clip_id))
        assert entry["n_items"] == len(result.true) == np.sum(entry["confusion"])
        assert entry["n_subjects"] == len(set(result.subject))
        assert (entry["corpus"], entry["provenance"], entry["seeds"]) == ("smic", "surrogate", [0])
        assert entry["model"] == "HybridAttention3DNet"
        assert set(entry["per_class"]) == set(NAMES)
        assert {"uf1", "uar", "f1_macro", "f1_weighted", "chance", "majority", "audit"} <= set(entry)
        for interval in (entry["clip_interval"], entry["intervals"]["accuracy"]):
            assert interval["low"] < entry["accuracy"] < interval["high"]
        assert f"{entry['n_clips']} clips" in entry["clip_interval"]["method"]
    assert entries["paper"]["n_clips"] < entries["paper"]["n_items"]  # several copies of some clips


def test_the_headline_interval_is_over_people():
    # Of 16 people with 2 to 39 clips, some are recognised and some are not: nothing but whole people vary.
    result = make_result("loso", 0.7)
    names, clips = np.unique(result.subject, return_counts=True)
    lost = set(names[np.argsort(clips)[::3]])
    predicted = np.where([name in lost for name in result.subject], (result.true + 1) % 3, result.true)
    result = replace(result, probabilities=np.eye(3, dtype=np.float32)[predicted])
    entry = result.scores()
    assert entry["intervals"]["accuracy"]["method"] == "effective-sample Wilson over 16 people"
    counts = np.stack([
        metrics.confusion_matrix(result.true[mine], predicted[mine], 3)
        for mine in (np.array([each == name for each in result.subject]) for name in names)
    ])  # fmt: skip
    for name, interval in people_intervals(counts, STATISTICS).items():
        assert entry["intervals"][name]["low"] == pytest.approx(interval.low)
        assert entry["intervals"][name]["high"] == pytest.approx(interval.high)
    width = entry["intervals"]["accuracy"]["high"] - entry["intervals"]["accuracy"]["low"]
    over_clips = entry["clip_interval"]["high"] - entry["clip_interval"]["low"]
    assert width > 2.5 * over_clips, "clips of one person are all right or all wrong here"
    # The same clips, each of a person of its own: now the two agree.
    alone = replace(result, subject=result.clip_id).scores()["intervals"]["accuracy"]
    assert alone["high"] - alone["low"] == pytest.approx(over_clips, rel=0.05)


def test_copies_and_seeds_do_not_narrow_intervals():
    one = make_result("loso", 0.7)
    three = repeat(one)
    assert three.scores()["clip_interval"] == one.scores()["clip_interval"]
    for name, interval in three.scores()["intervals"].items():
        assert interval["low"] == pytest.approx(one.scores()["intervals"][name]["low"])
        assert interval["high"] == pytest.approx(one.scores()["intervals"][name]["high"])
    assert three.scores()["seeds"] == [0, 1, 2]


@pytest.mark.parametrize("order", ["the same", "another"])
def test_seeds_without_clip_ids_do_not_count_as_clips(order):
    one = replace(make_result("loso", 0.7), clip_id=(), subject=())
    three = repeat(one)
    if order == "another":  # each seed lists its clips in an order of its own
        shuffled = np.concatenate([np.random.default_rng(seed).permutation(164) + 164 * seed for seed in range(3)])
        three = replace(three, true=three.true[shuffled], probabilities=three.probabilities[shuffled])
    entry = three.scores()
    assert (entry["n_clips"], entry["n_items"], three.clip_index is None) == (164, 492, order == "another")
    assert entry["clip_interval"] == one.scores()["clip_interval"]
    interval, expected = entry["intervals"]["accuracy"], one.scores()["intervals"]["accuracy"]
    assert interval["method"] == expected["method"] == "effective-sample Wilson over 164 clips"
    assert interval["high"] - interval["low"] == pytest.approx(expected["high"] - expected["low"], rel=0.03)


def test_clip_names_that_repeat_between_people_and_corpora_are_different_clips():
    columns = {"true": [0, 1, 2, 0], "predicted": [0, 1, 1, 0], "clip_id": ("EP01", "EP01", "EP01", "EP02")}
    with pytest.raises(PredictionsError, match=r"clip EP01 is predicted twice, in rows 1 and 2; .* `subject`"):
        make_plain(**columns)
    with pytest.raises(PredictionsError, match=r"clip 1/EP01 is predicted twice, in rows 1 and 3; .* `corpus`"):
        make_plain(**columns, subject=("1", "2", "1", "1"))
    result = make_plain(**columns, subject=("1", "2", "1", "1"), corpora=("casme2", "casme2", "samm", "samm"))
    assert result.num_clips == 4
    assert result.describe_row(2) == "samm/1/EP01"
    assert sorted(set(result.people)) == ["casme2/1", "casme2/2", "samm/1"], "subject 1 of two corpora is two people"
    assert result.scores()["n_subjects"] == 3


def test_one_person_and_two_are_said_to_be_too_few():
    columns = {"true": [0, 1, 2, 0], "predicted": [0, 1, 1, 0]}
    assert make_plain(**columns, subject=("a",) * 4).scores()["intervals"] is None
    two = make_plain(**columns, subject=("a", "a", "b", "b")).scores()["intervals"]["uar"]
    assert two["note"] == "too few people"


def test_results_that_do_not_fit_together_are_refused(tmp_path):
    result = make_result("loso", 0.7)
    with pytest.raises(PredictionsError, match="164 true classes but 163 of subject"):
        replace(result, subject=result.subject[1:])
    with pytest.raises(PredictionsError, match="3 probabilities per row for 2 classes"):
        replace(result, class_names=NAMES[:2])
    with pytest.raises(PredictionsError, match="Did the training diverge"):
        replace(result, probabilities=np.full((164, 3), np.nan))
    with pytest.raises(PredictionsError, match="neither predicted classes nor probabilities"):
        replace(result, probabilities=None)
    other = replace(result, protocol="other", class_names=("x", "y", "z"))
    with pytest.raises(PredictionsError, match=r"other has classes .*'x'"):
        write_predictions(tmp_path / "p.csv", [result, other])
    with pytest.raises(PredictionsError, match="loso has no probabilities"):
        write_predictions(tmp_path / "p.csv", [replace(result, stated=result.predicted, probabilities=None)])
    assert not list(tmp_path.iterdir())


def test_scores_are_those_of_the_metrics_module():
    result = make_result("subject", 0.7)
    confusion = metrics.confusion_matrix(result.true, result.predicted, 3)
    assert result.scores()["confusion"] == confusion.tolist()
    assert result.scores()["uf1"] == metrics.uf1(confusion)
