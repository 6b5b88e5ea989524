"""The picture of a league: UF1 of every network with its interval, and what knowing the people adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from mer_jax.report.figures import BLUE, GRAY, INK, VERMILLION, finish_figure, make_figure


@dataclass(frozen=True)
class LeagueBar:
    """One network or baseline.

    Attributes:
        name: As printed.
        honest: UF1 leaving one subject out.
        interval: Its 95 % interval over people; None where there is none.
        known: UF1 with clips divided at random; None where there is none.
        is_line: Whether it is the one that others have to beat.
    """

    name: str
    honest: float
    interval: tuple[float, float] | None
    known: float | None
    is_line: bool = False


def draw_league(bars: Sequence[LeagueBar], title: str, provenance: str, *, line: str) -> bytes:
    """Draws a row for each network: a dot with its interval, and a diamond for the random division.

    Args:
        bars: From the best to the worst.
        title: Of the picture.
        provenance: "licensed" or "surrogate"; the latter is marked.
        line: Name of the baseline whose score is drawn as a line through all rows.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(1, 1, size=(10.0, 1.8 + 0.3 * max(1, len(bars))))
    axis = axes[0, 0]
    first_known = next((place for place, bar in enumerate(bars) if bar.known is not None), None)
    for place, bar in enumerate(bars):
        if bar.interval:
            axis.plot(bar.interval, (place, place), color=GRAY, linewidth=2, zorder=1)
        if bar.known is not None:
            axis.plot((bar.honest, bar.known), (place, place), color=VERMILLION, linestyle=":", linewidth=1, zorder=1)
            axis.plot(
                bar.known, place, "D", color=VERMILLION, markersize=5,
                label="clips divided at random, people on both sides" if place == first_known else None,
            )  # fmt: skip
        axis.plot(
            bar.honest, place, "o", color=BLUE, markersize=6,
            label="leaving one subject out, 95 % interval over people" if place == 0 else None,
        )  # fmt: skip
        if bar.is_line:
            axis.axvline(bar.honest, color=INK, linewidth=0.8, linestyle="--", label=f"{line}: the line to cross")
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars])
    axis.set_ylim(max(1, len(bars)) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.set_xlabel("UF1")
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if bars:
        axis.legend(loc="upper left", fontsize=9, framealpha=1)  # empty: the best come first, and are on the right
    return finish_figure(figure, title, provenance)
