import pytest

from mer_jax import baselines, models
from mer_jax.cli.main import main
from mer_jax.evaluation.published import (
    NOTES,
    PROTOCOLS,
    SOURCES,
    TRUST,
    VERDICTS,
    collect_footnotes,
    find_published,
    find_system,
    find_system_of,
    load_published,
    load_systems,
    select_published,
)

ROWS = load_published()


def test_every_key_has_its_text_and_every_text_its_rows():
    for column, texts in (("source", SOURCES), ("protocol", PROTOCOLS), ("trust", TRUST)):
        assert {getattr(row, column) for row in ROWS} == set(texts)
    assert {note for row in ROWS for note in row.notes} == set(NOTES)


def test_tables_are_as_long_as_printed():
    lengths = {table: sum(row.table == table for row in ROWS) for table in "234567"}
    assert [row.method for row in ROWS if row.table == "5 omitted"] == ["SE-DenseNet-T+EVM [25]"]
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


def test_every_compared_system_has_a_verdict_and_says_what_is_missing():
    compared = [row for row in ROWS if row.protocol == "unstated"]
    assert {row.method for row in compared if find_system(row) is None} == set()
    assert all(find_system(row).reference in row.method for row in compared)
    for system in load_systems():
        assert system.verdict in VERDICTS
        assert all((system.idea, system.code, system.missing)), system
        assert bool(system.model) == (system.verdict in "AB" and "not built yet" not in system.missing), system
    assert find_system(next(row for row in ROWS if row.method == "Hybrid Attention-3DNet")) is None


def test_systems_that_are_built_are_there():
    names = {*models.__all__, *baselines.__all__}
    assert [each.model for each in load_systems() if each.model and each.model not in names] == []
    assert find_system_of("STSTNet").system == "STSTNet"
    later = {"Dual-Inception", "RCN", "SelfME", "EDMDBN", "MOL", "FDP", "FED-PsyAU", "SODA4MER", "CausalNet", "Ra-ICL"}
    assert later <= {each.system for each in load_systems() if not each.model}
    assert find_system_of("") is None


def test_doubts_about_the_quoted_numbers_follow_from_the_numbers():
    table = {number: {row.method: row for row in ROWS if row.table == number} for number in ("4", "5", "6", "7")}
    (omitted,) = [row for row in ROWS if row.table == "5 omitted"]
    assert omitted.accuracy > max(row.accuracy or 0 for row in table["5"].values())
    assert table["4"]["MSFME-IR [21]"].f1 == table["4"]["MER-DBNN [10]"].f1
    assert table["7"]["BDCN [27]"].f1 > table["7"]["Hybrid Attention-3DNet"].f1
    fits = {method: {n for n in range(1, 400) for k in range(n) if round(k / n, 4) == share}
            for method, share in (("RMER", 0.7692), ("MED", 0.8094), ("DS", 0.7878))}  # fmt: skip
    assert min(fits["RMER"]) <= 26
    assert min(fits["MED"]) == 278
    assert 164 not in fits["DS"]
    assert 300 in {n for n in range(1, 400) for k in range(n) if round(k / n, 4) == 0.7633}
    assert {row.classes for row in ROWS if row.method in ("ADMME [31]", "STCPNet [12]")} == {5}


def test_published_tables_are_printed_with_their_doubts(capsys):
    assert main(["published", "5"]) == 0
    out = capsys.readouterr().out
    assert "SE-DenseNet-T+EVM [25], 2022 (left out of the table)" in out
    assert "(g) Left out of table 5" in out
    assert "Table 6" not in out
    assert main(["published", "megc2019", "--corpus", "samm"]) == 0
    out = capsys.readouterr().out
    assert "wrong_uar" in out
    assert "casme2" not in out
    assert main(["published", "systems"]) == 0
    assert "C: not published well enough" in capsys.readouterr().out
    assert main(["published", "9"]) == 1
    assert "got 9; expected one of 2, 3, 4, 5, 6, 7, MEGC2019, systems" in capsys.readouterr().err
