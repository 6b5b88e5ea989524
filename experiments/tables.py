"""Rebuilds tables 2 to 7 and figure 10 of the paper from a grid, published numbers beside ours.

    python -m experiments.tables [runs/grid]

Writes each table as Markdown, LaTeX, CSV and PNG, figure10.png, and tables.html with all of them, into the folder
`tables` of the grid. A run that is not finished leaves a dash.

Of the settings of batch size and epochs, the one with the lowest validation loss is shown, and beside it the range over
all of them. The paper shows its best setting and does not say how it was chosen; choosing by the test would be
optimistic.
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.cli.command import run_command
from mer_jax.errors import ConfigError
from mer_jax.evaluation.intervals import TOO_FEW_PEOPLE
from mer_jax.evaluation.published import (
    PAPER_CHOICE,
    PROTOCOLS,
    PublishedScore,
    collect_footnotes,
    find_published,
    load_published,
)
from mer_jax.report.page import load_template
from mer_jax.report.paper_figure import draw_paper_figure
from mer_jax.report.table import Table, footnote_mark
from mer_jax.system.files import write_atomically

CORPUS_NAMES = {"casme_squared": "CAS(ME)^2", "smic": "SMIC", "samm": "SAMM", "casme2": "CASME II"}
NET_OF_MODEL = {
    "SinglePath3DNet": "sp",
    "DualPath3DNet": "dp",
    "HybridAttention3DNet": "ha",
    "SqueezeExcitation3DNet": "se",
    "HybridAttention3DSENet": "hase",
}
SHOWN = {"paper": "paper's protocol", "loso": "LOSO"}
MISSING = "–"


@dataclass(frozen=True)
class Ours:
    """Results of all settings of one network on one corpus under one protocol."""

    entry: Mapping[str, Any]  # of metrics.json, for the setting with the lowest validation loss
    accuracies: tuple[float, ...]  # of all settings

    @property
    def cells(self) -> tuple[str, str, str]:
        """Accuracy with its interval over people, the range over the settings, and F1."""
        interval = (self.entry["intervals"] or {}).get("accuracy")
        bounds = f"{100 * interval['low']:.1f}–{100 * interval['high']:.1f}" if interval else TOO_FEW_PEOPLE
        if interval and interval["note"]:
            bounds += f", {interval['note']}"
        shown = f"{100 * self.entry['accuracy']:.2f} ({bounds})"
        spread = (
            MISSING
            if len(self.accuracies) < 2
            else f"{100 * min(self.accuracies):.1f}–{100 * max(self.accuracies):.1f}"
        )
        return shown, spread, f"{self.entry['f1_macro']:.4f}"


def write_tables(grid: Path) -> Path:
    """Writes all tables of a grid.

    Args:
        grid: Output folder of `experiments.grid`.

    Returns:
        Path of the page.

    Raises:
        ConfigError: The folder is not a grid.
    """
    if not (grid / "grid.json").exists():
        raise ConfigError(f"{grid} has no grid.json; expected the --out of `python -m experiments.grid`")
    description = json.loads((grid / "grid.json").read_text())
    ours = collect_ours(grid)
    changed = "; ".join(f"{name}: {text}" for name, text in description["changed"].items())
    tables = make_tables(ours, changed)
    figure = draw_paper_figure(_figure_data(ours), CORPUS_NAMES, surrogate=_is_surrogate(ours), changed=changed)
    folder = grid / "tables"
    folder.mkdir(exist_ok=True)
    for table in tables:
        for suffix, content in (
            ("md", table.to_markdown()),
            ("tex", table.to_latex()),
            ("csv", table.to_csv()),
            ("png", table.draw()),
        ):
            write_atomically(folder / f"{table.name}.{suffix}", content)
    write_atomically(folder / "figure10.png", figure)
    page = load_template("tables.html.j2").render(
        tables=[table.to_html() for table in tables],
        names=[(table.name, table.title) for table in tables],
        figure=base64.b64encode(figure).decode(),
        surrogate=_is_surrogate(ours),
        changed=changed,
        finished=sum(len(each.accuracies) for (_, _, protocol), each in ours.items() if protocol == "paper"),
    )
    return write_atomically(folder / "tables.html", page)


def collect_ours(grid: Path) -> dict[tuple[str, str, str], Ours]:
    """Collects the results of finished runs, by corpus, network and protocol."""
    found: dict[tuple[str, str, str], list[tuple[float, dict]]] = {}
    for path in sorted(grid.glob("*/metrics.json")):
        folder = path.parent
        if not (folder / "report.html").exists():
            continue
        experiment = json.loads((folder / "config.json").read_text())["experiment"]
        net = NET_OF_MODEL[experiment["model"]["class"]]
        history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        for protocol, entry in json.loads(path.read_text()).items():
            loss = _validation_loss(entry, [row for row in history if row["protocol"] == protocol])
            key = (experiment["corpus"], net, protocol)
            found.setdefault(key, []).append((loss, entry))
    return {
        key: Ours(min(runs, key=lambda run: run[0])[1], tuple(entry["accuracy"] for _, entry in runs))
        for key, runs in found.items()
    }


def make_tables(ours: Mapping[tuple[str, str, str], Ours], changed: str) -> list[Table]:
    """Creates tables 2 to 7.

    Args:
        ours: From `collect_ours`.
        changed: Settings that differ from the published ones.
    """
    surrogate = _is_surrogate(ours)
    legend = (
        f"Paper: {PROTOCOLS['paper']}. {PAPER_CHOICE}",
        "Ours: the setting with the lowest validation loss, with its 95 % interval over people; range: the lowest and "
        "the highest accuracy over all settings. F1 is the macro F1, pooled over folds; the paper does not say which "
        "F1 it prints.",
        "Ours, paper's protocol: clips and their augmented copies are divided, so copies of a tested clip are also in "
        "training. Ours, LOSO: leave one subject out.",
    )
    tables = []
    for number, model, title in (
        ("2", "SinglePath3DNet", "Table 2: the single-path network"),
        ("3", "HybridAttention3DNet", "Table 3: Hybrid Attention-3DNet"),
    ):
        published = {row.corpus: row for row in load_published() if row.table == number}
        with_error = number == "3"
        header = ["Corpus", *_header(surrogate, with_error=with_error)]
        rows = [
            [CORPUS_NAMES[corpus], *_row(row, ours, NET_OF_MODEL[model], with_error=with_error)]
            for corpus, row in published.items()
        ]
        tables.append(
            _make(f"table{number}", title, header, rows, list(published.values()), legend, surrogate, changed)
        )
    for number, name in zip("4567", CORPUS_NAMES.values(), strict=True):
        published = [row for row in load_published() if row.table == number]
        rows = [[f"{row.method}, {row.year}", *_row(row, ours, NET_OF_MODEL.get(row.model, ""))] for row in published]
        header = ["Method", *_header(surrogate)]
        title = f"Table {number}: methods on {name}"
        tables.append(_make(f"table{number}", title, header, rows, published, legend, surrogate, changed))
    return tables


def _header(surrogate: bool, *, with_error: bool = False) -> list[str]:
    mark = ", SURROGATE" if surrogate else ""
    header = ["paper: accuracy %", "paper: F1", *(["paper: error %"] if with_error else [])]
    for name in SHOWN.values():
        header += [f"ours, {name}{mark}: accuracy %", "range", "F1", *(["error %"] if with_error else [])]
    return header


def _row(row: PublishedScore, ours: Mapping, net: str, *, with_error: bool = False) -> list[str]:
    cells = [
        MISSING if row.accuracy is None else f"{100 * row.accuracy:.2f}",
        MISSING if row.f1 is None else f"{row.f1:.4f}",
    ]
    if with_error:
        cells.append(MISSING if row.error_rate is None else f"{100 * row.error_rate:.2f}")
    for protocol in SHOWN:
        mine = ours.get((row.corpus, net, protocol))
        cells += mine.cells if mine else [MISSING] * 3
        if with_error:
            cells.append(f"{100 * mine.entry['error_rate']:.2f}" if mine else MISSING)
    return cells


def _make(
    name: str,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    published: Sequence[PublishedScore],
    legend: Sequence[str],
    surrogate: bool,
    changed: str,
) -> Table:
    notes = collect_footnotes(published)
    mark = {note: footnote_mark(index) for index, note in enumerate(notes, len(legend))}
    marked = [
        (" ".join([first, *(mark[note] for note in row.notes)]), *others)
        for (first, *others), row in zip(rows, published, strict=True)
    ]
    return Table(name, title, tuple(header), tuple(marked), (*legend, *notes.values()), surrogate, changed)


def _figure_data(ours: Mapping[tuple[str, str, str], Ours]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Values of figure 10 by score, corpus and line, one for each network in the paper's order."""
    models = [model for model in NET_OF_MODEL if model != "SinglePath3DNet"]
    data: dict[str, dict[str, dict[str, list[float]]]] = {}
    for score, mine in (("accuracy", "accuracy"), ("f1", "f1_macro")):
        for corpus in CORPUS_NAMES:
            published = [find_published(corpus, model) for model in models]
            lines = {"paper": [getattr(row, score) or np.nan for row in published]}
            for protocol, name in SHOWN.items():
                values = [ours.get((corpus, NET_OF_MODEL[model], protocol)) for model in models]
                lines[f"ours, {name}"] = [each.entry[mine] if each else np.nan for each in values]
            data.setdefault(score, {})[corpus] = lines
    return data


def _validation_loss(entry: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> float:
    """Mean over folds of the validation loss at the chosen epoch; infinite if a fold failed."""
    chosen = {(fold["seed"], fold["fold"]): fold["best_epoch"] for fold in entry["folds"]}
    losses = [row["validation_loss"] for row in history if chosen.get((row["seed"], row["fold"])) == row["epoch"]]
    if entry["missing_folds"] or len(losses) < len(chosen):
        return float("inf")
    return float(np.mean(losses))


def _is_surrogate(ours: Mapping[Any, Ours]) -> bool:
    return any(each.entry["provenance"] != "licensed" for each in ours.values())


def main(argv: Sequence[str]) -> None:
    """The command."""
    if argv and argv[0] in ("-h", "--help"):
        print(__doc__)
        return
    if len(argv) > 1:
        raise ConfigError(f"got {' '.join(argv)}; expected one folder, the --out of `python -m experiments.grid`")
    print(write_tables(Path(argv[0] if argv else "runs/grid")))


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:]), on_interrupt="interrupted; no file is incomplete"))
