"""One table as Markdown, LaTeX, CSV, HTML and PNG."""

import csv
import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mer_jax.report.figures import DPI, INK, RUST, SURROGATE_FOOT

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table with its title, footnotes and reservations.

    The first column is text, the others are numbers; each row is as long as the header. Footnotes have the letters of
    `footnote_mark`. Every form says if numbers are of a surrogate, and which settings are not as published.
    """

    name: str  # stem of its file names
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...] = ()
    surrogate: bool = False
    changed: str = ""  # settings of ours that are not as published

    @property
    def caption(self) -> str:
        """The title, marked for surrogate numbers."""
        title = f"SURROGATE · {self.title}" if self.surrogate else self.title
        return f"{title} (ours: not as published)" if self.changed else title

    @property
    def remarks(self) -> tuple[str, ...]:
        """The lines below the table."""
        marked = tuple(f"{footnote_mark(index)} {text}" for index, text in enumerate(self.footnotes))
        changed = (f"Not as published: {self.changed}.",) if self.changed else ()
        return ((SURROGATE_FOOT,) if self.surrogate else ()) + changed + marked

    def to_markdown(self) -> str:
        """Formats a pipe table."""

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

        rule = "|---|" + "---:|" * (len(self.header) - 1)
        body = [line(self.header), rule, *map(line, self.rows)]
        return (
            "\n".join([f"**{self.caption}**", "", *body, "", *(f"{each}  " for each in self.remarks)]).rstrip() + "\n"
        )

    def to_latex(self) -> str:
        """Formats a table environment, which needs the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(map(_escape_latex, cells)) + r" \\"

        columns = "l" + "r" * (len(self.header) - 1)
        parts = [
            r"\begin{table}", r"\centering", rf"\caption{{{_escape_latex(self.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(self.header), r"\midrule", *map(line, self.rows),
            r"\bottomrule", r"\end{tabular}", *(rf"\par {_escape_latex(each)}" for each in self.remarks),
            r"\end{table}",
        ]  # fmt: skip
        return "\n".join(parts) + "\n"

    def to_csv(self) -> str:
        """Formats the cells unchanged, with columns for provenance and changed settings."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.header, "provenance of ours", "not as published"])
        writer.writerows([*row, "surrogate" if self.surrogate else "licensed", self.changed] for row in self.rows)
        return text.getvalue()

    def to_html(self) -> str:
        """Formats a table element and its remarks, to be put into a page."""

        def cells(row: Sequence[str]) -> str:
            first, *others = map(html.escape, row)
            return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{each}</td>" for each in others) + "</tr>"

        head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in self.header)
        body = "\n".join(map(cells, self.rows))
        remarks = "".join(f'<p class="note">{html.escape(each)}</p>' for each in self.remarks)
        label = html.escape(self.caption)
        return (
            f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table class="sortable">'
            f"<caption><span>{label}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
            f"</div>\n{remarks}\n"
        )

    def draw(self) -> bytes:
        """Draws the table as a PNG."""
        heads = [textwrap.fill(name, 16) for name in self.header]
        lines = max(name.count("\n") for name in heads) + 1
        widths = [max(*(len(line) for line in head.split("\n")), *(len(row[i]) for row in self.rows), 5)
                  for i, head in enumerate(heads)]  # fmt: skip
        remarks = [line for each in self.remarks[: -len(self.footnotes) or None] for line in textwrap.wrap(each, 110)]
        width = max(7.5, 0.083 * sum(widths) + 0.15 * len(widths))
        height = 0.27 * (len(self.rows) + lines) + 0.22 * len(remarks) + 0.6
        figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        foot = 0.22 * len(remarks) / height
        axis = figure.add_axes((0.01, foot + 0.02, 0.98, 0.93 - foot - 0.25 / height))
        axis.set_axis_off()
        drawn = axis.table(
            [list(row) for row in self.rows],
            colLabels=heads,
            colWidths=[each / sum(widths) for each in widths],
            bbox=Bbox.from_bounds(0, 0, 1, 1),
            cellLoc="right",
        )
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(9)
        for (row, column), cell in drawn.get_celld().items():
            cell.visible_edges = "B"
            cell.PAD = 0.03
            cell.set_height(cell.get_height() * (lines if row == 0 else 1))
            cell.set_linewidth(1.0 if row == 0 else 0.3)
            cell.get_text().set_color(INK)
            if row == 0:
                cell.set_text_props(weight="bold")
            if column == 0:
                cell.set_text_props(ha="left")
                cell._loc = "left"  # pyright: ignore[reportAttributeAccessIssue]: it has no setter
        figure.text(0.01, 1 - 0.08 / height, self.caption, va="top", fontsize=11, color=INK, weight="bold")
        figure.text(0.01, 0.01, "\n".join(remarks), va="bottom", fontsize=8, color=RUST, weight="bold")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue()


def footnote_mark(index: int) -> str:
    """The letter of a footnote, counted from 0; numbers could be mistaken for references.

    Example:
        >>> footnote_mark(0), footnote_mark(27)
        ('(a)', '(bb)')
    """
    return f"({chr(ord('a') + index % 26) * (1 + index // 26)})"


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
