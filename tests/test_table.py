import csv
import io
import xml.etree.ElementTree

import matplotlib.image
import numpy as np
import pytest

from experiments.tables import Ours
from mer_jax.report.paper_figure import draw_paper_figure
from mer_jax.report.table import Table
from tests.toy_results import make_result

TABLE = Table(
    name="t",
    title="Methods on A&B",
    header=("Method", "accuracy %", "F1"),
    rows=(("a|b_c", "93.95", "0.9395"), ("<other>", "–", "0.1")),
    footnotes=("One & two.",),
    surrogate=True,
    changed="epochs: 3 instead of 200",
)


@pytest.mark.parametrize("form", ["to_markdown", "to_latex", "to_csv", "to_html"])
def test_every_form_says_what_it_is(form):
    text = getattr(TABLE, form)()
    assert "surrogate" in text.lower()
    assert "epochs: 3 instead of 200" in text
    assert "93.95" in text
    plain = Table(TABLE.name, TABLE.title, TABLE.header, TABLE.rows)
    assert "surrogate" not in getattr(plain, form)().lower()


def test_markdown_and_csv_keep_their_columns():
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "**SURROGATE · Methods on A&B (ours: not as published)**"
    assert lines[2:5] == ["| Method | accuracy % | F1 |", "|---|---:|---:|", r"| a\|b_c | 93.95 | 0.9395 |"]
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows[1] == ["a|b_c", "93.95", "0.9395", "surrogate", "epochs: 3 instead of 200"]


def test_html_and_latex_escape():
    root = xml.etree.ElementTree.fromstring(f"<div>{TABLE.to_html()}</div>")
    assert [cell.text for cell in root.iter("th") if cell.get("scope") == "row"] == ["a|b_c", "<other>"]
    latex = TABLE.to_latex()
    assert r"a|b\_c & 93.95 & 0.9395 \\" in latex
    assert r"accuracy \%" in latex
    assert r"(a) One \& two." in latex
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2


def test_picture_is_drawn_and_repeats():
    picture = TABLE.draw()
    assert picture == TABLE.draw()
    pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3]
    rust = (np.abs(pixels - np.array([0xA8, 0x43, 0x00]) / 255).max(-1) < 0.05).sum()
    assert rust > 100, "the foot says SURROGATE"


def test_paper_figure_has_a_line_for_each_source():
    lines = {"paper": [0.9] * 4, "ours, LOSO": [0.5, float("nan"), 0.4, 0.3]}
    data = {score: {"smic": lines, "samm": lines} for score in ("accuracy", "f1")}
    picture = draw_paper_figure(data, {"smic": "SMIC", "samm": "SAMM"}, surrogate=True, changed="epochs")
    assert picture != draw_paper_figure(data, {"smic": "SMIC", "samm": "SAMM"}, surrogate=False)


def test_cells_of_ours_have_the_interval_over_people():
    entry = make_result("loso", 0.7).scores()
    people, clips = entry["intervals"]["accuracy"], entry["clip_interval"]
    assert round(100 * people["low"], 1) != round(100 * clips["low"], 1)
    accuracy, spread, f1 = Ours(entry, (0.6, entry["accuracy"])).cells
    assert accuracy == f"{100 * entry['accuracy']:.2f} ({100 * people['low']:.1f}–{100 * people['high']:.1f})"
    assert (spread, f1) == (f"60.0–{100 * entry['accuracy']:.1f}", f"{entry['f1_macro']:.4f}")
    assert Ours(entry | {"intervals": None}, ()).cells[0] == f"{100 * entry['accuracy']:.2f} (too few people)"
