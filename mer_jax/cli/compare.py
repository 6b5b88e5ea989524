"""`mer compare`: compare runs, or predictions of any systems, clip by clip, with significance tests."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from mer_jax.cli.command import expand_path
from mer_jax.cli.score import add_scoring_options, read_results
from mer_jax.errors import MerError

_MOST_DRAWS = 10_000_000


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer compare` and returns what runs it."""
    parser.add_argument(
        "runs", type=expand_path, nargs="+", metavar="RUN", help="a run folder or a predictions.csv; two or more"
    )
    add_scoring_options(parser)
    parser.add_argument("--draws", type=_positive, default=10_000, help="random permutations (%(default)s)")
    return _compare


def _compare(flags: argparse.Namespace) -> None:
    from mer_jax.evaluation.comparison import compare_all, correct_all, describe_comparisons

    if len(set(flags.runs)) != len(flags.runs) or len(flags.runs) < 2:
        raise MerError(f"got {', '.join(map(str, flags.runs))}; expected two or more different runs")
    systems = {
        name: {result.protocol: result for result in read_results(path, flags)}
        for name, path in zip(_tell_apart(flags.runs), flags.runs, strict=True)
    }
    comparisons = compare_all(systems, draws=flags.draws)
    if flags.json:
        pairs = zip(comparisons, correct_all(comparisons), strict=True)
        print(json.dumps([{**dataclasses.asdict(each), "holm": holm} for each, holm in pairs], indent=2))
        return
    if any(result.provenance == "surrogate" for results in systems.values() for result in results.values()):
        print("SURROGATE: rendered faces, not recordings of people\n")
    print(describe_comparisons(comparisons))


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_DRAWS:
        raise argparse.ArgumentTypeError(f"{number} is not from 1 to {_MOST_DRAWS}")
    return number


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """Returns the shortest path suffixes that differ."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
