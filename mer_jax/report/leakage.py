"""The leak report: what each protocol and each choice of the epoch does to the accuracy, as a table and a picture."""

from collections.abc import Sequence

from mer_jax.evaluation.intervals import Interval
from mer_jax.evaluation.leakage import DEFINITION, SELECTIONS, LeakRow
from mer_jax.report.figures import BLUE, GRAY, INK, VERMILLION, finish_figure, make_figure
from mer_jax.report.table import Table


def make_leak_table(rows: Sequence[LeakRow], reference: str, title: str, *, surrogate: bool) -> Table:
    """Formats the rows as a table.

    Args:
        rows: From `evaluation.leakage.measure_leakage`.
        reference: Name of the protocol that the others were compared with.
        title: Title of the table.
        surrogate: Whether the corpus is a surrogate.
    """
    header = (
        "Protocol and choice of the epoch", "accuracy %", "95 % over people", f"optimism against {reference}, points",
        "optimism, 95 %", "UF1", "UAR", "tested clip in training %", "tested person in training %", "items",
    )  # fmt: skip
    cells = [
        (
            f"{row.protocol}, {SELECTIONS[row.selection]}",
            f"{100 * row.scores['accuracy']:.1f}",
            _bounds(row.interval),
            "reference" if row.optimism is None else f"{100 * row.optimism:+.1f}",
            _bounds(row.optimism_interval, signed=True),
            *(f"{row.scores[name]:.3f}" for name in ("uf1", "uar")),
            *(f"{100 * share:.0f}" for share in (row.clip_in_train, row.subject_in_train)),
            str(row.num_items),
        )
        for row in rows
    ]
    note = (
        "Epochs chosen on the test estimate nothing, because the choice uses the answers. They show how much this "
        "shortcut adds."
    )
    return Table("leakage", title, header, tuple(cells), (DEFINITION, note), surrogate)


def draw_leakage(rows: Sequence[LeakRow], reference: str, *, surrogate: bool) -> bytes:
    """Draws the accuracy of each row with its interval, and writes the optimism beside it.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(1, 1, size=(9.5, 1.7 + 0.55 * len(rows)))
    axis = axes[0, 0]
    for place, row in enumerate(rows):
        cheats = row.selection == "test_best"
        color, marker = (VERMILLION, "s") if cheats or row.subject_in_train else (BLUE, "o")
        accuracy = row.scores["accuracy"]
        if row.interval:
            axis.plot([row.interval.low, row.interval.high], [place] * 2, color=color, linewidth=2.5)
        axis.plot(accuracy, place, marker, color=color, markersize=9, markerfacecolor="white" if cheats else color)
        text = f"{100 * accuracy:.1f} %"
        if row.optimism is not None:
            text += f"   {100 * row.optimism:+.1f} points"
        if row.optimism_interval:
            text += f" ({_bounds(row.optimism_interval, signed=True)})"
        axis.text(1.02, place, text, va="center", color=INK, fontsize=9)
        if row.protocol == reference and not cheats:
            axis.axvline(accuracy, color=GRAY, linestyle=":", linewidth=1.3)
    axis.set_yticks(range(len(rows)), [f"{row.protocol}\n{SELECTIONS[row.selection]}" for row in rows], fontsize=8.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel(f"accuracy, 95 % over subjects; right: the difference from {reference} on the same clips")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return finish_figure(figure, "What each shortcut adds", "surrogate" if surrogate else "licensed")


def _bounds(interval: Interval | None, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if interval is None:
        return "–"
    bounds = f"{100 * interval.low:{sign}.1f} to {100 * interval.high:{sign}.1f}"
    return f"{bounds} ({interval.note})" if interval.note else bounds
