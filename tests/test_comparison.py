import json
from dataclasses import replace

import numpy as np
import pytest

from mer_jax.cli.main import main
from mer_jax.evaluation import metrics
from mer_jax.evaluation.comparison import compare_all, compare_results, describe_comparisons
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.evaluation.predictions import write_predictions
from mer_jax.evaluation.significance import correct_holm, exact_mcnemar
from tests.toy_results import NAMES, make_result


def shuffle(result, seed=0):
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(len(result.true))
    names = ("clip_id", "subject", "fold", "copy", "seed", "true", "probabilities")
    columns = {
        name: tuple(column[row] for row in order)
        if isinstance(column := getattr(result, name), tuple)
        else column[order]
        for name in names
    }
    return replace(result, **columns)


def other_system(result, seed=5):
    """Another system on the same clips."""
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), len(result.true))
    return replace(result, probabilities=probabilities.astype(np.float32))


def test_items_are_paired_by_clip_whatever_their_order():
    first = make_result("loso", 0.7)
    second = other_system(first)
    comparison = compare_results("loso", ("a", "b"), first, shuffle(second), draws=200)
    assert (comparison.num_items, comparison.only_in) == (164, (0, 0))
    assert comparison.mcnemar == exact_mcnemar(first.correct, second.correct)
    assert comparison.scores["uf1"] == (first.scores()["uf1"], second.scores()["uf1"])
    assert comparison.permutations["accuracy"].p_value == pytest.approx(1 / 201)  # a net against dice
    interval = comparison.intervals["accuracy"]
    assert 0 < interval.low < comparison.scores["accuracy"][0] - comparison.scores["accuracy"][1] < interval.high


def test_a_system_does_not_differ_from_itself():
    result = make_result("loso", 0.7)
    comparison = compare_results("loso", ("a", "b"), result, shuffle(result), draws=50)
    assert comparison.mcnemar.p_value == 1.0
    assert {test.p_value for test in comparison.permutations.values()} == {1.0}


def test_classes_in_another_order_are_the_same_classes():
    first = make_result("loso", 0.7)
    names = first.class_names[::-1]
    turned = replace(first, class_names=names, true=2 - first.true, probabilities=first.probabilities[:, ::-1])
    comparison = compare_results("loso", ("a", "b"), first, turned, draws=50)
    assert (comparison.mcnemar.only_first, comparison.mcnemar.only_second) == (0, 0)
    assert comparison.scores["uar"][0] == comparison.scores["uar"][1]


def test_only_common_items_count_and_the_others_are_told():
    first = make_result("loso", 0.7)
    keep = np.arange(100)
    names = ("clip_id", "subject")
    part = replace(
        first,
        **{name: getattr(first, name)[:100] for name in names},
        **{name: getattr(first, name)[keep] for name in ("fold", "copy", "seed", "true", "probabilities")},
    )
    comparison = compare_results("loso", ("a", "b"), first, part, draws=50)
    assert (comparison.num_items, comparison.only_in) == (100, (64, 0))
    expected = metrics.accuracy(metrics.confusion_matrix(part.true, part.predicted, 3))
    assert comparison.scores["accuracy"] == (expected, expected)


def test_other_seeds_pair_unless_there_are_several():
    first = make_result("loso", 0.7)
    other = replace(first, seed=first.seed + 3)
    assert compare_results("loso", ("a", "b"), first, other, draws=9).paired_by == "clip and copy"
    double = {name: np.concatenate([getattr(first, name)] * 2) for name in ("fold", "copy", "true", "probabilities")}
    both = replace(first, clip_id=first.clip_id * 2, subject=first.subject * 2, seed=np.repeat([0, 1], 164), **double)
    comparison = compare_results("loso", ("a", "b"), both, both, draws=9)
    assert comparison.mcnemar is None
    assert comparison.num_items == 328
    assert "several seeds: not independent" in describe_comparisons([comparison])


def test_clip_names_that_repeat_between_people_are_paired_by_person():
    first = make_result("loso", 0.7)
    number = dict.fromkeys(first.subject, 0)
    names = []
    for name in first.subject:  # EP01, EP02, ... of each person, as in CASME II
        number[name] += 1
        names.append(f"EP{number[name]:02d}")
    repeated = replace(first, clip_id=tuple(names))
    comparison = compare_results("loso", ("a", "b"), repeated, shuffle(other_system(repeated)), draws=9)
    assert comparison.num_items == 164
    assert comparison.paired_by == "person, clip and copy"
    expected = compare_results("loso", ("a", "b"), first, other_system(first), draws=9)
    assert comparison.scores == expected.scores


def test_people_may_be_named_by_either_system():
    first = make_result("loso", 0.7)
    second = shuffle(other_system(first))
    expected = compare_results("loso", ("a", "b"), first, second)
    for pair in ((replace(first, subject=()), second), (first, replace(second, subject=()))):
        comparison = compare_results("loso", ("a", "b"), *pair)
        assert comparison.intervals == expected.intervals
        assert comparison.permutations == expected.permutations
    unknown = compare_results("loso", ("a", "b"), replace(first, subject=()), replace(second, subject=()))
    assert unknown.intervals == unknown.permutations == {}


def test_seeds_without_clip_ids_are_not_independent_clips():
    first = replace(make_result("loso", 0.7), clip_id=(), subject=())
    columns = {name: np.concatenate([getattr(first, name)] * 2) for name in ("fold", "copy", "true", "probabilities")}
    both = replace(first, seed=np.repeat([0, 1], 164), **columns)
    assert compare_results("loso", ("a", "b"), first, other_system(first), draws=9).mcnemar is not None
    assert compare_results("loso", ("a", "b"), both, other_system(both), draws=9).mcnemar is None


def test_nothing_but_the_permutation_over_people_is_called_significant():
    # One person of four has 61 clips, all right by the first system and wrong by the second; the others do not differ.
    subject = ("big",) * 61 + ("x",) * 5 + ("y",) * 5 + ("z",) * 5
    true = np.arange(76) % 3
    right = np.eye(3, dtype=np.float32)[true]
    wrong = right.copy()
    wrong[:61] = np.roll(right[:61], 1, axis=1)
    columns = {name: np.zeros(76, int) for name in ("fold", "copy", "seed")}
    ids = tuple(f"c{number}" for number in range(76))
    first = replace(make_result("loso", 0.7), clip_id=ids, subject=subject, true=true, probabilities=right, **columns)
    comparison = compare_results("loso", ("a", "b"), first, replace(first, probabilities=wrong))
    assert comparison.mcnemar.p_value < 1e-10
    assert comparison.permutations["accuracy"].p_value == 1.0
    lines = describe_comparisons([comparison]).splitlines()
    assert lines[0].split()[-1] == "significant"
    assert lines[1].split()[-1] == "no"


def test_what_does_not_fit_is_refused():
    first = make_result("loso", 0.7)
    for change, message in (
        (
            {"class_names": ("x", "y", "z")},
            "a has the classes negative, positive, surprise, b x, y, z; expected the same",
        ),
        ({"true": (first.true + 1) % 3}, "is truly 'positive' in a and 'surprise' in b; expected the same truth"),
        ({"clip_id": tuple(f"x{i}" for i in range(164))}, "a and b have no item in common: clip s1/s1_clip"),
        ({"clip_id": ()}, "b has no column clip_id but the other has"),
    ):
        with pytest.raises(PredictionsError, match=message):
            compare_results("loso", ("a", "b"), first, replace(first, **change), draws=9)
    with pytest.raises(PredictionsError, match="a has the protocols loso, paper, b x, y; expected one in common"):
        compare_all({"a": {"loso": first, "paper": first}, "b": {"x": first, "y": first}}, draws=9)


def test_three_systems_are_corrected_together():
    first = make_result("loso", 0.7)
    systems = {"a": first, "b": other_system(first, 5), "c": other_system(first, 6)}
    comparisons = compare_all({name: {"loso": each} for name, each in systems.items()}, draws=500)
    assert [each.names for each in comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    text = describe_comparisons(comparisons)
    for corrected in correct_holm([each.mcnemar.p_value for each in comparisons]):
        assert f"{corrected:.4f}" in text


def test_the_command_compares_run_folders_and_files(tmp_path, capsys):
    first = make_result("loso", 0.7)
    for name, result in (("one", first), ("two", other_system(first))):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name / "predictions.csv", [result])
    plain = tmp_path / "plain.csv"
    lines = [f"{c},{NAMES[t]},{NAMES[p]}" for c, t, p in zip(first.clip_id, first.true, first.predicted, strict=True)]
    plain.write_text("clip_id,true,predicted\n" + "\n".join(lines))
    runs = [str(tmp_path / "one"), str(tmp_path / "two"), str(plain)]
    assert main(["compare", *runs, "--draws", "100"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("SURROGATE")
    assert "loso | predictions" in text
    assert main(["compare", *runs[:2], "--json", "--draws", "100"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["names"] == ["one", "two"]
    assert entry["holm"]["mcnemar"] == entry["mcnemar"]["p_value"], "one comparison needs no correction"
    assert main(["compare", runs[0]]) == 1
    assert "expected two or more different runs" in capsys.readouterr().err
