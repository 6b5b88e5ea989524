"""`mer score`: score a predictions.csv of any system; only the columns `true` and `predicted` are required."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mer_jax.cli.command import expand_path, split_names

if TYPE_CHECKING:
    from mer_jax.evaluation.results import ProtocolResult


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer score` and returns what runs it."""
    parser.add_argument("predictions", type=expand_path, help="a predictions.csv, or a run folder that contains one")
    add_scoring_options(parser)
    return _score


def _score(flags: argparse.Namespace) -> None:
    from mer_jax.evaluation.score_text import describe_definitions, describe_scores

    results = read_results(flags.predictions, flags)
    entries = {result.protocol: result.scores() for result in results}
    if flags.json:
        print(json.dumps(entries, indent=2, allow_nan=False))
        return
    for name, entry in entries.items():
        print(describe_scores(entry, f"{flags.predictions}, {name}"), end="\n\n")
    print(describe_definitions(list(entries.values())))


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all commands on predictions share."""
    parser.add_argument("--classes", default="", help="all class names, separated by commas, if a file lacks some")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def read_results(path: Path, flags: argparse.Namespace) -> "tuple[ProtocolResult, ...]":
    """Reads a predictions file, or that of a run folder, with the options of `add_scoring_options`."""
    from mer_jax.evaluation.predictions import read_predictions

    names = split_names(flags.classes)
    return read_predictions(path / "predictions.csv" if path.is_dir() else path, class_names=names)
