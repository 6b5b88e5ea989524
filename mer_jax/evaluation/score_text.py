"""Scores as text for a terminal, with their definitions."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mer_jax.evaluation.intervals import TOO_FEW_PEOPLE
from mer_jax.evaluation.results import DEFINITIONS

WIDTH = 100  # characters per line of the definitions
# Scores of the first table, in this order.
SCORES = ("accuracy", "error_rate", "uf1", "uar", "f1_macro", "f1_weighted", "f1_micro", "precision_macro")


def describe_scores(entry: Mapping[str, Any], title: str) -> str:
    """Formats an entry of `metrics.json` as tables.

    Args:
        entry: From `ProtocolResult.scores`.
        title: Title of the first line.

    Returns:
        Text of many lines.
    """
    people = f"{entry['n_subjects']} people" if entry["n_subjects"] else "people unknown (no column `subject`)"
    items = f"{entry['n_items']} items of {entry['n_clips']} clips, {people}"
    classes = ", ".join(f"{name} {scores['support']}" for name, scores in entry["per_class"].items())
    parts = [f"{title}: {items}\ntrue classes: {classes}"]
    if entry["provenance"] == "surrogate":
        parts[0] = f"SURROGATE: rendered faces, not recordings of people\n{parts[0]}"
    parts.append(_describe_main(entry))
    rows = [[name, *_format(s[key] for key in ("precision", "recall", "f1")), s["support"], s["predicted"]]
            for name, s in entry["per_class"].items()]  # fmt: skip
    parts.append(lay_out(["class", "precision", "recall", "F1", "true", "predicted"], rows))
    rows = [[name, *row] for name, row in zip(entry["class_names"], entry["confusion"], strict=True)]
    parts.append(lay_out(["true class", *(f"predicted {name}" for name in entry["class_names"])], rows))
    if entry["per_corpus"]:
        keys = ("accuracy", "uf1", "uar", "f1_macro", "precision_macro")
        rows = [
            [name, *_format(part[key] for key in keys), part["n_items"]] for name, part in entry["per_corpus"].items()
        ]
        parts.append(lay_out(["corpus", *keys, "items"], rows))
    means = entry["fold_means"]
    if means["folds"] > 1:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items() if name != "folds")
        parts.append(f"mean over {means['folds']} folds, for comparison: {shown}")
    if entry["seed_spread"]:
        shown = ", ".join(f"{name} {s['mean']:.4f} ± {s['sd']:.4f}" for name, s in entry["seed_spread"].items())
        parts.append(f"mean and standard deviation over {len(entry['seeds'])} seeds: {shown}")
    if entry["calibration"]:
        parts.append(f"calibration: ECE {entry['calibration']['ece']:.4f}, Brier {entry['calibration']['brier']:.4f}")
    return "\n\n".join(parts)


def describe_definitions(entries: Sequence[Mapping[str, Any]]) -> str:
    """Formats the definition of each score that `describe_scores` prints for these entries, one paragraph each."""
    needs = {"ece": "calibration", "brier": "calibration", "seeds": "seed_spread", "test_best": "test_best"}
    names = [name for name in DEFINITIONS if name not in needs or any(entry[needs[name]] for entry in entries)]
    width = max(map(len, names)) + 2
    return "\n".join(
        textwrap.fill(f"{name:<{width}}{DEFINITIONS[name]}", WIDTH, subsequent_indent=" " * width) for name in names
    )


def lay_out(header: Sequence[str], rows: Sequence[Sequence[object]], *, num_left: int = 1) -> str:
    """Formats a table in aligned columns.

    Args:
        header: Names of the columns.
        rows: Cells, shown by `str`.
        num_left: How many columns, from the first, are aligned to the left; the others are aligned to the right.

    Example:
        >>> print(lay_out(["a", "count"], [["first", 1], ["b", 22]]))
        a      count
        first      1
        b         22
    """
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if column < num_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _describe_main(entry: Mapping[str, Any]) -> str:
    intervals, clips = entry["intervals"] or {}, entry["clip_interval"]
    rows = []
    for name in SCORES:
        interval = intervals.get(name)
        bounds = f"{interval['low']:.4f} to {interval['high']:.4f}" if interval else ""
        baselines = [f"{entry[kind][name]:.4f}" if name in entry[kind] else "" for kind in ("chance", "majority")]
        rows.append([name, f"{entry[name]:.4f}", bounds, *baselines])
    over = "people" if entry["n_subjects"] else "clips"
    table = lay_out(["score", "value", f"95 % over {over}", "chance", "majority"], rows)
    if intervals:
        some = intervals["accuracy"]
        method = some["method"] + (f": {some['note']}" if some["note"] else "")
    else:
        method = f"none: {TOO_FEW_PEOPLE}" if entry["n_subjects"] else "none: there is one clip"
    return (
        f"{table}\n95 % interval: {method}\n"
        f"95 % interval of the accuracy as if clips were independent: {clips['low']:.4f} to {clips['high']:.4f} "
        f"({clips['method']})"
    )


def _format(values: Iterable[float | None]) -> list[str]:
    return ["–" if value is None else f"{value:.4f}" for value in values]
