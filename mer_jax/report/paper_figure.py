"""Figure 10 of the paper: accuracy and F1 of four networks on four corpora, published and ours."""

import textwrap
from collections.abc import Mapping, Sequence

from mer_jax.report.figures import BLUE, GRAY, INK, VERMILLION, finish_figure, make_figure

NET_LABELS = ("DP", "HA", "SE", "HA-SE")  # in the order of the values
SCORE_LABELS = {"accuracy": "accuracy", "f1": "F1"}
_STYLES = ((INK, "D", "-"), (VERMILLION, "s", "--"), (BLUE, "o", "-."), (GRAY, "^", ":"))


def draw_paper_figure(
    data: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    corpus_names: Mapping[str, str],
    *,
    surrogate: bool,
    changed: str = "",
) -> bytes:
    """Draws a row of panels for each score, a panel for each corpus, and a line for each source of numbers.

    Args:
        data: Values of four networks by score (`accuracy`, `f1`), corpus and line; NaN where there is none.
        corpus_names: Printed name of each corpus, by its key in `data`.
        surrogate: Whether ours are of surrogate corpora; the legend then distinguishes them from the published line.
        changed: Settings that differ from the published ones.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(len(data), len(corpus_names), size=(3.3 * len(corpus_names), 3.1 * len(data) + 1.2))
    for row, (score, corpora) in zip(axes, data.items(), strict=True):
        for axis, (corpus, lines) in zip(row, corpora.items(), strict=True):
            for (color, marker, style), (name, values) in zip(_STYLES, lines.items(), strict=False):
                real = name == "paper"
                label = f"{name} (published, real faces)" if real and surrogate else name
                label = f"{label}, SURROGATE" if surrogate and not real else label
                axis.plot(range(len(values)), values, color=color, marker=marker, linestyle=style, label=label)
            axis.set_xticks(range(len(NET_LABELS)), NET_LABELS)
            axis.set_ylim(0, 1.02)
            axis.grid(alpha=0.25)
            axis.set_title(f"{corpus_names[corpus]}: {SCORE_LABELS[score]}", fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9, frameon=False)
    title = "Figure 10 of the paper, published and ours"
    if changed:
        title += "\n" + textwrap.fill(f"Ours are not as published: {changed}", 120)
    return finish_figure(figure, title, "surrogate" if surrogate else "licensed")
