"""`mer published`: print the published tables with protocol, reliability and corrections."""

import argparse
from collections.abc import Callable

from mer_jax.errors import MerError


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer published` and returns what runs it."""
    parser.add_argument(
        "table", nargs="?", default="", help="2 to 7 of the paper, megc2019, or systems; all of them by default"
    )
    parser.add_argument("--corpus", default="", help="rows of one corpus, such as smic")
    return _published


def _published(flags: argparse.Namespace) -> None:
    from mer_jax.evaluation.published import load_published

    rows = load_published()
    tables = list(dict.fromkeys(row.table.split()[0] for row in rows))
    wanted = [name for name in tables if not flags.table or name.lower() == flags.table.lower()]
    corpora = sorted({row.corpus for row in rows})
    if not wanted and flags.table != "systems":
        raise MerError(f"got {flags.table}; expected one of {', '.join([*tables, 'systems'])}")
    if flags.corpus and flags.corpus not in corpora:
        raise MerError(f"got --corpus {flags.corpus}; expected one of {', '.join(corpora)}")
    for name in wanted:
        shown = [row for row in rows if row.table.split()[0] == name and flags.corpus in ("", row.corpus)]
        if shown:
            print(f"{_describe_table(name, shown)}\n")
    if flags.table in ("", "systems"):
        print(_describe_systems())


def _describe_table(name, rows) -> str:
    from mer_jax.evaluation.published import PROTOCOLS, SOURCES, TRUST, collect_footnotes, find_system
    from mer_jax.evaluation.score_text import lay_out

    notes = collect_footnotes(rows)
    letter = {note: f"({chr(ord('a') + index)})" for index, note in enumerate(notes)}
    table = []
    for row in rows:
        system = find_system(row)
        scores = [row.f1, row.uf1, row.uar]
        table.append(
            (
                f"{row.method}, {row.year}" + (" (left out of the table)" if "omitted" in row.table else ""),
                row.corpus,
                row.protocol,
                row.trust,
                (f"{system.verdict} {system.model}".strip() if system else row.model) or "-",
                str(row.classes or "?"),
                "-" if row.accuracy is None else f"{100 * row.accuracy:.2f}",
                *("-" if score is None else f"{score:.4f}" for score in scores),
                "".join(letter[note] for note in row.notes),
            )
        )
    header = ("method", "corpus", "protocol", "trust", "ours", "classes", "accuracy %", "F1", "UF1", "UAR", "notes")
    title = f"Table {name} of the paper" if name.isdecimal() else "Composite of MEGC 2019"
    lines = [title, lay_out(header, table, num_left=5)]
    for label, texts in (("protocol", PROTOCOLS), ("trust", TRUST), ("source", SOURCES)):
        used = dict.fromkeys(getattr(row, label) for row in rows)
        lines += [f"{label} {key}: {texts[key]}" for key in used]
    return "\n".join([*lines, *(f"{letter[note]} {text}" for note, text in notes.items())])


def _describe_systems() -> str:
    from mer_jax.evaluation.published import VERDICTS, load_systems
    from mer_jax.evaluation.score_text import lay_out

    header = ("system", "reference", "verdict", "ours", "code", "not published, or not done")
    rows = [
        (
            each.system,
            f"[{each.reference}]" if each.reference else "",
            each.verdict,
            each.model or "-",
            each.code,
            each.missing,
        )
        for each in load_systems()
    ]
    lines = ["Systems: which of them can be built", lay_out(header, rows, num_left=len(header))]
    return "\n".join([*lines, *(f"{key}: {text}" for key, text in VERDICTS.items())])
