import pytest

from mer_jax import models
from mer_jax.evaluation.published import (
    NOTES,
    PROTOCOLS,
    SOURCES,
    TRUST,
    collect_footnotes,
    find_published,
    load_published,
    select_published,
)

ROWS = load_published()


def test_every_key_has_its_text_and_every_text_its_rows():
    for column, texts in (("source", SOURCES), ("protocol", PROTOCOLS), ("trust", TRUST)):
        assert {getattr(row, column) for row in ROWS} == set(texts)
    assert {note for row in ROWS for note in row.notes} == set(NOTES)


def test_tables_are_as_long_as_printed():
    lengths = {table: sum(row.table == table for row in ROWS) for table in "234567"}
    assert lengths == {"2": 4, "3": 4, "4": 11, "5": 12, "6": 13, "7": 14}


def test_scores_are_shares_and_no_row_is_empty():
    for row in ROWS:
        scores = [row.accuracy, row.f1, row.uf1, row.uar, row.error_rate]
        known = [score for score in scores if score is not None]
        assert known, row
        assert all(0.05 < score < 1 or score == row.error_rate for score in known), row
    keys = [(row.table, row.corpus, row.method) for row in ROWS]
    assert len(set(keys)) == len(keys)


def test_models_of_ours_exist():
    assert all(hasattr(models, row.model) for row in ROWS if row.model)


def test_the_papers_slips_follow_from_its_own_numbers():
    third = {row.corpus: row for row in ROWS if row.table == "3"}
    sums = {corpus: round(row.accuracy + row.error_rate, 4) for corpus, row in third.items()}
    assert sums == {"casme_squared": 1.0, "smic": 0.99, "samm": 1.0, "casme2": 1.0}
    assert {corpus for corpus, row in third.items() if "smic_error" in row.notes} == {"smic"}
    assert min(third, key=lambda corpus: third[corpus].accuracy) == "smic"
    second = {row.corpus: row for row in ROWS if row.table == "2"}
    assert {c for c in second if second[c].f1 > third[c].f1} == {"samm", "casme2"}
    # 37 errors at 6.05 %: of all sizes, 612 alone fits; and which accuracies are shares of it.
    assert [n for n in range(300, 1000) if round(100 * 37 / n, 2) == 6.05] == [612]
    for row in ROWS:
        if (row.table, row.protocol) == ("4", "paper"):
            fits = any(round(k / 612, 4) == row.accuracy for k in range(613))
            assert fits == ("not_612" not in row.notes), row
    dual = find_published("casme2", "DualPath3DNet")
    assert dual.accuracy < second["casme2"].accuracy
    assert dual.footnotes[0].startswith("The text says that two paths improve accuracy")


def test_corrections_stand_beside_what_is_copied():
    full = {row.method: row for row in select_published("megc2019")}
    assert (full["STSTNet"].uar, full["STSTNet"].trust) == (0.7605, "wrong_uar")
    assert full["STSTNet, corrected UAR"].uar == 0.7186
    assert full["HTNet"].trust == "test_best"
    assert (full["HTNet, from its stored predictions"].uf1, full["HTNet, from its stored predictions"].uar) == (
        0.8313,
        0.8175,
    )
    assert ".7605" in collect_footnotes([full["STSTNet"]])["ststnet_uar"]


def test_what_is_printed_of_our_models():
    assert find_published("casme_squared", "HybridAttention3DNet").f1 == 0.9395
    assert find_published("smic", "SinglePath3DNet").accuracy == pytest.approx(0.9149)
    assert find_published("mmew", "HybridAttention3DNet") is None
    assert find_published("smic", "") is None
