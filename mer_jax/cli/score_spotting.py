"""`mer score-spotting`: score intervals of expressions in long videos against labelled ones, from CSV or ELAN."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mer_jax.cli.command import check_frame_rate, expand_path
from mer_jax.errors import ConfigError, near_names
from mer_jax.system.files import output_folder, printable

if TYPE_CHECKING:
    from mer_jax.spotting.interval_table import IntervalTable


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer score-spotting` and returns what runs it."""
    forms = "a .csv, .eaf or intervals.jsonl file, a folder of `mer predict`, or a folder of .eaf files"
    parser.add_argument("predicted", type=expand_path, help=f"predicted intervals: {forms}")
    parser.add_argument("truth", type=expand_path, help="labelled intervals, in one of the same forms")
    parser.add_argument(
        "--videos",
        type=expand_path,
        help="CSV of all videos: file, and duration_s or num_frames, frame_rate, subject; for rates per minute, "
        "intervals over people, and videos without any interval",
    )
    parser.add_argument("--iou", type=float, default=0.5, help="least overlap of a hit, above 0 to 1 (default: 0.5)")
    parser.add_argument("--frame_rate", type=float, help="frames per second, where a file has only times")
    parser.add_argument(
        "--tier",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="kind of a tier, annotation text or type of your own: micro, macro, given, blink, gaze, speech or turn; "
        "may be repeated",
    )
    parser.add_argument(
        "--as-published", action="store_true", help="add what published scripts answer, and why it differs"
    )
    parser.add_argument("--out", help="folder for spotting.json, spotting.csv and matches.csv")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return _score_spotting


def _score_spotting(flags: argparse.Namespace) -> None:
    from mer_jax.spotting.evaluation import evaluate_tables
    from mer_jax.spotting.evaluation_files import to_plain, write_evaluation
    from mer_jax.spotting.evaluation_text import describe_evaluation
    from mer_jax.spotting.read_intervals import read_intervals, read_videos

    check_frame_rate(flags.frame_rate)
    if not 0 < flags.iou <= 1:
        raise ConfigError(f"got --iou {flags.iou:g}; expected a number above 0, to 1")
    out = output_folder(flags.out, "--out") if flags.out else None
    kinds = _parse_tiers(flags.tier)
    tables = [read_intervals(path, kinds) for path in (flags.predicted, flags.truth)]
    _check_tiers(kinds, tables)
    evaluation = evaluate_tables(
        *tables,
        videos=read_videos(flags.videos, frame_rate=flags.frame_rate) if flags.videos else None,
        frame_rate=flags.frame_rate,
        iou=flags.iou,
        as_published=flags.as_published,
    )
    written = write_evaluation(evaluation, out) if out else []
    if flags.json:
        print(json.dumps(to_plain(evaluation), indent=2, allow_nan=False))
        return
    print(describe_evaluation(evaluation))
    for path in written:
        print(printable(str(path)))


def _parse_tiers(texts: Sequence[str]) -> dict[str, str]:
    from mer_jax.spotting.interval_table import CHOICES

    kinds = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        if not name.strip() or kind.strip() not in CHOICES:
            raise ConfigError(f"got --tier {text}; expected NAME=KIND with a kind among {', '.join(CHOICES)}")
        kinds[name.strip()] = kind.strip()
    return kinds


def _check_tiers(kinds: dict[str, str], tables: "Sequence[IntervalTable]") -> None:
    known = {name for table in tables for name in table.names}
    for name in kinds:
        if name not in known:
            hint = near_names(name, known) if known else "they have none"
            raise ConfigError(f"got --tier {name}={kinds[name]}, and no file has a tier or type of this name; {hint}")
