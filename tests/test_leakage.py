from dataclasses import replace

import numpy as np
import pytest

from mer_jax.evaluation.leakage import measure_leakage
from mer_jax.evaluation.metrics import PredictionsError
from mer_jax.report.leakage import draw_leakage, make_leak_table
from tests.toy_results import make_result


def results():
    """Under three protocols; for loso, the test-best epoch is one that gets five more clips right."""
    paper, subject, loso = make_result("paper", 0.9), make_result("subject", 0.7), make_result("loso", 0.65)
    better = loso.probabilities.copy()
    wrong = np.flatnonzero(~loso.correct)[:5]
    better[wrong] = np.eye(3)[loso.true[wrong]]
    return [paper, subject, replace(loso, test_best=better)]


def test_each_row_is_set_against_the_reference_on_the_same_clips():
    paper, subject, loso = results()
    rows = measure_leakage([paper, subject, loso], "loso")
    assert [(row.protocol, row.selection) for row in rows] == [
        ("paper", "validation"), ("subject", "validation"), ("loso", "validation"), ("loso", "test_best"),
    ]  # fmt: skip
    right = dict(zip(loso.clip_id, loso.correct, strict=True))
    expected = np.mean(paper.correct) - np.mean([right[clip] for clip in paper.clip_id])
    assert rows[0].optimism == pytest.approx(expected)
    assert rows[0].num_paired == rows[0].num_items == len(paper.true)
    assert rows[0].optimism_interval.low < rows[0].optimism < rows[0].optimism_interval.high
    assert rows[1].optimism == pytest.approx(np.mean(subject.correct) - np.mean(loso.correct))
    assert rows[2].optimism is None
    assert rows[3].optimism == pytest.approx(5 / 164)
    assert rows[0].clip_in_train > 0.9
    assert rows[1].clip_in_train == rows[1].subject_in_train == 0.0


def test_intervals_are_over_people():
    paper, subject, loso = results()
    rows = measure_leakage([paper, subject, loso], "loso")
    assert all("over 16 people" in row.interval.method for row in rows)
    assert all("16 people" in row.optimism_interval.method for row in rows if row.optimism_interval)
    headline = loso.scores()["intervals"]["accuracy"]
    assert (rows[2].interval.low, rows[2].interval.high) == (headline["low"], headline["high"])


def test_what_is_no_pair_is_not_compared():
    paper, _, loso = results()
    other = replace(paper, clip_id=tuple(f"x{i}" for i in range(len(paper.true))))
    row = measure_leakage([other, loso], "loso")[0]
    assert (row.optimism, row.optimism_interval, row.num_paired) == (None, None, 0)
    with pytest.raises(PredictionsError, match="no result of protocol 'loso'; expected it, to compare paper with"):
        measure_leakage([paper], "loso")


def test_table_and_picture_say_what_was_chosen_on_the_test():
    rows = measure_leakage(results(), "loso")
    table = make_leak_table(rows, "loso", "A net", surrogate=True)
    text = table.to_markdown()
    assert text.startswith("**SURROGATE · A net**")
    assert "| loso, epoch chosen on the TEST |" in text
    assert "| reference |" in text
    assert draw_leakage(rows, "loso", surrogate=True).startswith(b"\x89PNG")
