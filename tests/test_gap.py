import re
from dataclasses import replace

import numpy as np
import pytest

from mer_jax.evaluation.gap import find_honest, find_reference, measure_gap, summarize
from tests.toy_results import make_result, make_results


def test_gap_known_answers():
    paper, subject = make_results()
    entries = {each.protocol: each.scores() for each in (paper, subject)}
    gap = measure_gap(entries)
    assert (gap.honest, find_honest(entries)) == ("subject", "subject")
    assert gap.difference == pytest.approx(entries["paper"]["accuracy"] - entries["subject"]["accuracy"])
    assert gap.interval.low < gap.difference < gap.interval.high
    assert "over 16 people" in gap.interval.method
    assert gap.p_value < 0.05
    assert gap.clip_in_train == paper.audit["test_clip_in_train"]
    start = r"18\.3 points of accuracy more than the subject-disjoint one \(95 % interval \+\d.* by permutation"
    assert re.search(start, gap.verdict)
    assert measure_gap({"paper": entries["paper"]}) is None
    assert measure_gap({"subject": entries["subject"]}) is None


def test_gap_of_equal_protocols_is_not_significant():
    subject = make_results()[1].scores()
    gap = measure_gap({"paper": make_results()[0].scores() | {"accuracy": subject["accuracy"],
                       "per_subject": subject["per_subject"]}, "subject": subject})  # fmt: skip
    assert (gap.difference, gap.p_value) == (0.0, 1.0)
    assert gap.verdict.endswith("which is not significant.")


def test_a_gap_to_the_other_side_is_no_leak():
    paper, subject = (each.scores() for each in make_results())
    gap = measure_gap({"paper": subject | {"audit": paper["audit"]}, "subject": paper | {"audit": subject["audit"]}})
    assert "18.3 points of accuracy less" in gap.verdict
    assert gap.verdict.endswith("which no leak explains.")


def test_significance_of_a_gap_is_that_of_the_permutation_over_people():
    # 4 people with 40 clips each, all of them right under one protocol and half under the other. Over clips the
    # difference is beyond doubt (p < 1e-20); of 2**4 signs, 2 are as large: p = .125.
    people = {f"s{number}": {"right": 40, "items": 40} for number in range(4)}
    half = {name: {"right": 20, "items": 40} for name in people}
    paper, subject = (each.scores() for each in make_results())
    gap = measure_gap({"paper": paper | {"accuracy": 1.0, "per_subject": people},
                       "subject": subject | {"accuracy": 0.5, "per_subject": half}})  # fmt: skip
    assert gap.p_value == 0.125
    assert gap.verdict.endswith("which is not significant.")


def test_the_reference_is_the_customary_subject_disjoint_protocol():
    assert find_reference(["paper", "subject", "loso"]) == "loso"
    assert find_reference(["paper", "clip"]) is None
    loso, subject = make_result("loso", 0.7), make_result("subject", 0.7)
    entries = {"subject": subject.scores(), "loso": loso.scores()}
    assert find_honest(entries) == "loso"
    assert find_honest({"own": subject.scores()}) == "own", "a protocol of a contributor's"
    assert find_honest({"loso": loso.scores() | {"audit": {"disjoint_by": "clip"}}}) is None


def test_summary_for_the_terminal():
    entries = {each.protocol: each.scores() for each in make_results()}
    lines = summarize(entries).splitlines()
    assert lines[0] == "HybridAttention3DNet on smic (SURROGATE)"
    people, clips = entries["paper"]["intervals"]["accuracy"], entries["paper"]["clip_interval"]
    bounds = f"{people['low']:.3f} to {people['high']:.3f}"
    assert lines[1].startswith(f"  paper    accuracy 0.878 (95 % over people {bounds})  UF1")
    independent = f"as if clips were independent (Wilson): {clips['low']:.3f} to {clips['high']:.3f}"
    assert lines[2].strip() == f"{entries['paper']['n_clips']} clips of 16 people; {independent}"
    assert lines[5] == measure_gap(entries).verdict
    assert len(summarize({"subject": entries["subject"]}).splitlines()) == 3
    entry = entries["subject"] | {"missing_folds": [{"name": "group2"}], "test_best": {"accuracy": 0.9}}
    lines = summarize({"subject": entry}).splitlines()
    assert lines[3].strip() == "diagnostic, not a result: accuracy 0.900 with epochs chosen on the TEST"
    assert lines[4].strip() == "MISSING: group2"


def test_summary_says_when_people_are_few_or_unknown():
    result = make_result("loso", 0.7)
    two = replace(result, subject=tuple("ab"[number % 2] for number in range(len(result.true))))
    assert ", too few people)" in summarize({"loso": two.scores()})
    one = replace(result, subject=("a",) * len(result.true))
    assert "(no interval: too few people)" in summarize({"loso": one.scores()})
    assert "(95 % over clips, people unknown 0." in summarize({"loso": replace(result, subject=()).scores()})
    assert np.isfinite(two.scores()["accuracy"])
