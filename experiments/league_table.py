"""The league table of `experiments.league`: CSV, Markdown, picture and page."""

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.runner import FAILURE
from mer_jax.evaluation.intervals import TOO_FEW_PEOPLE
from mer_jax.evaluation.published import TRUST, VERDICTS, PublishedScore, find_system, find_system_of, select_published
from mer_jax.models import family_of
from mer_jax.report.league import LeagueBar, draw_league
from mer_jax.report.page import load_template
from mer_jax.report.table import Table
from mer_jax.system.files import write_atomically

PAPER_FAMILY = "the paper's"  # which publishes no layer sizes
LINE = "LinearFlow"  # what a network has to beat
MISSING = "–"


@dataclasses.dataclass(frozen=True)
class Row:
    """One network or baseline in the league.

    Attributes:
        name: Class.
        family: See `mer_jax.models.family_of`.
        mark: `own` where the system is not published well enough and sizes are ours, else "".
        honest: Entry of metrics.json without known people in training; None without a result.
        known: Entry with clips divided at random; None without a result.
        parameters: Trained numbers; None for a baseline, or without a result.
        published: What is published of it on this corpus, in one line.
        failure: Why there is no result; "" if there is one, or the run is not finished.
    """

    name: str
    family: str
    mark: str
    honest: Mapping[str, Any] | None = None
    known: Mapping[str, Any] | None = None
    parameters: int | None = None
    published: str = ""
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Training time of both protocols, summed over folds."""
        return sum(fold["seconds"] for entry in (self.honest, self.known) if entry for fold in entry["folds"])


def collect_rows(out: Path, known: Mapping[str, type], count: Callable[[str], int | None]) -> list[Row]:
    """Collects the runs of a league, best first; those without a result come last.

    Args:
        out: Folder of the league.
        known: Every network and baseline by name.
        count: From a name to the number of trained parameters, None for a baseline.
    """
    corpus = json.loads((out / "league.json").read_text())["corpus"]
    rows = []
    for name, owner in known.items():
        folder, system = out / name, find_system_of(name)
        row = Row(
            name=name,
            family=family_of(owner),
            mark="own" if family_of(owner) == PAPER_FAMILY or (system and system.verdict == "B") else "",
            published=describe_published(corpus, name),
        )
        if (folder / FAILURE).exists():
            row = dataclasses.replace(row, failure=(folder / FAILURE).read_text().strip().splitlines()[0])
        elif (folder / "report.html").exists():
            entries = json.loads((folder / "metrics.json").read_text())
            row = dataclasses.replace(
                row,
                honest=next((entry for protocol, entry in entries.items() if protocol != "clip"), None),
                known=entries.get("clip"),
                parameters=count(name),
            )
        rows.append(row)
    return sorted(rows, key=lambda row: (row.honest is None, -row.honest["uf1"] if row.honest else 0))


def describe_published(corpus: str, name: str) -> str:
    """What is published of one of our networks on a corpus: the row of the composite, or of the paper's tables."""
    rows = [row for row in select_published(corpus) if _model_of(row) == name]
    row = next((each for each in rows if each.uf1 is not None), rows[0] if rows else None)
    if row is None:
        return ""
    scores = {"UF1": row.uf1, "F1": row.f1}
    shown = [f"{label} {score:.3f}" for label, score in scores.items() if score is not None]
    shown += [f"{100 * row.accuracy:.1f} %"] if row.accuracy is not None else []
    return f"{', '.join(shown)} ({row.trust})"


def _model_of(row: PublishedScore) -> str:
    system = find_system(row)
    return row.model or (system.model if system else "")


def make_table(rows: list[Row], description: Mapping[str, Any]) -> Table:
    """Makes the table.

    Args:
        rows: From `collect_rows`.
        description: Content of league.json.
    """
    surrogate = _is_surrogate(rows)
    mark, other = (", SURROGATE", ", NOT COMPARABLE") if surrogate else ("", "")
    honest = "composite, leaving one subject out" if description["corpus"] == "megc2019" else "leaving one subject out"
    header = (
        "network or baseline", "family", f"UF1{mark}", "95 % over people", f"UAR{mark}", f"accuracy %{mark}",
        f"above {LINE}, UF1", f"random by clip: UF1{mark}", f"random by clip: accuracy %{mark}", "gap, UF1",
        "gap, points", "clips", "parameters", "seconds", f"PUBLISHED, other division{other}",
    )  # fmt: skip
    line = next((row.honest["uf1"] for row in rows if row.name == LINE and row.honest), None)
    cells = [tuple(_cells(row, line)) for row in rows]
    used = sorted({row.published.rpartition("(")[2].rstrip(")") for row in rows if row.published})
    notes = [
        f"UF1, UAR and accuracy: {honest}. Every network and baseline is tested on the same folds, with its inputs. "
        "Intervals are over people. Random by clip: clips are divided at random, so that people are on both sides, as "
        "in the paper; its augmented copies are not made, which networks of motion do not take. Gap: random by clip "
        "minus leaving one subject out; it is what knowing the people is worth.",
        f"Above {LINE}: the linear classifier on motion features is the line that a network has to cross.",
        _describe_budget(description),
        f"own: {VERDICTS['B']}.",
        *(f"{key}: {TRUST[key]}." for key in used),
        *(f"{row.name} has no result: {row.failure}" for row in rows if row.failure),
    ]
    changed = ", ".join(f"{field}={text}" for field, text in description["overrides"].items())
    title = f"League on {description['corpus']}, budget {description['budget']}"
    return Table("league", title, header, tuple(cells), tuple(notes), surrogate, changed)


def _describe_budget(description: Mapping[str, Any]) -> str:
    if description["budget"] == "equal":
        return (
            "Budget equal: Adam at 1e-3 falling by a cosine, batches of 8, ten epochs, of which the last is tested; no "
            "clip validates. Large networks have not converged then."
        )
    return (
        "Budget paper: each network's own optimiser, batch and epochs; of them the epoch with the lowest loss on a "
        "tenth of the clips, of people outside the test. Baselines do not use those clips either."
    )


def _cells(row: Row, line: float | None) -> list[str]:
    name = f"{row.name} ({row.mark})" if row.mark else row.name
    if row.honest is None:
        return [name, row.family, *[MISSING] * 12, row.published]
    interval = (row.honest["intervals"] or {}).get("uf1")
    bounds = f"{interval['low']:.3f}–{interval['high']:.3f}" if interval else TOO_FEW_PEOPLE
    known = row.known
    return [
        name,
        row.family,
        f"{row.honest['uf1']:.3f}",
        bounds,
        f"{row.honest['uar']:.3f}",
        f"{100 * row.honest['accuracy']:.1f}",
        "the line" if row.name == LINE else MISSING if line is None else f"{row.honest['uf1'] - line:+.3f}",
        f"{known['uf1']:.3f}" if known else MISSING,
        f"{100 * known['accuracy']:.1f}" if known else MISSING,
        f"{known['uf1'] - row.honest['uf1']:+.3f}" if known else MISSING,
        f"{100 * (known['accuracy'] - row.honest['accuracy']):+.1f}" if known else MISSING,
        str(row.honest["n_clips"]),
        MISSING if row.parameters is None else f"{row.parameters:,}",
        f"{row.seconds:.0f}",
        row.published,
    ]


def write_league(out: Path, known: Mapping[str, type], count: Callable[[str], int | None]) -> Path:
    """Writes league.csv, league.md, league.png and league.html.

    Args:
        out: Folder of the league.
        known: Every network and baseline by name.
        count: See `collect_rows`.

    Returns:
        Path of the page.
    """
    description = json.loads((out / "league.json").read_text())
    rows = collect_rows(out, known, count)
    table = make_table(rows, description)
    provenance = "surrogate" if table.surrogate else "licensed"
    title = f"{table.title}{', settings changed' if table.changed else ''}"
    picture = draw_league([_bar(row) for row in rows if row.honest], title, provenance, line=LINE)
    write_atomically(out / "league.csv", table.to_csv())
    write_atomically(out / "league.md", table.to_markdown())
    write_atomically(out / "league.png", picture)
    page = load_template("league.html.j2").render(
        table=table.to_html(),
        title=table.title,
        picture=base64.b64encode(picture).decode(),
        surrogate=table.surrogate,
        changed=table.changed,
        finished=sum(row.honest is not None for row in rows),
        number=len(rows),
        failures=[(row.name, row.failure) for row in rows if row.failure],
    )
    return write_atomically(out / "league.html", page)


def _bar(row: Row) -> LeagueBar:
    assert row.honest is not None
    interval = (row.honest["intervals"] or {}).get("uf1")
    return LeagueBar(
        name=f"{row.name} ({row.mark})" if row.mark else row.name,
        honest=row.honest["uf1"],
        interval=(interval["low"], interval["high"]) if interval else None,
        known=row.known["uf1"] if row.known else None,
        is_line=row.name == LINE,
    )


def _is_surrogate(rows: list[Row]) -> bool:
    return any(row.honest["provenance"] != "licensed" for row in rows if row.honest)
