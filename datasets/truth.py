"""Writes the annotated intervals of long videos as CSV, to score a spotter against.

    python -m datasets.truth casme_squared --manual_dir DIR --out FOLDER

`truth.csv` has a row for each annotated expression, `videos.csv` one for each video, those without an expression
included; frames are positions in the video, 0-based, offset included. Of a surrogate, `disturbances.csv` has the
blinks, gaze shifts, speech and movements of the head in the same columns.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets.build import find_manual_dir
from datasets.long_videos import LongCorpus, find_long_release, long_corpora
from mer_jax.cli.command import run_command
from mer_jax.data.provenance import mark_provenance
from mer_jax.errors import CorpusError
from mer_jax.spotting.interval import Interval
from mer_jax.system.files import format_csv, output_folder, printable, write_atomically

COLUMNS = (
    "file", "subject", "frame_rate", "num_frames", "onset_frame", "apex_frame", "offset_frame", "type", "label",
    "provenance",
)  # fmt: skip
DISTURBANCES_NAME = "SURROGATE_disturbances.csv"  # in the root folder of a surrogate
EMOTION, COARSE = "emotion", "coarse"
LABELS = (EMOTION, COARSE)


def truth_rows(corpus: LongCorpus, labels: str = EMOTION) -> Iterable[tuple[Any, ...]]:
    """Yields a row for each annotated expression, with the cells of `COLUMNS`.

    Args:
        corpus: As read.
        labels: "emotion" as annotated, or "coarse": negative, positive, surprise and others.
    """
    for video in corpus.videos:
        for each in video.expressions:
            interval = each.interval
            frames = (interval.onset_frame, interval.apex_frame, interval.offset_frame)
            label = each.emotion if labels == EMOTION else each.coarse_emotion
            told = (video.name, video.subject, f"{video.frame_rate:g}", video.num_frames)
            yield (*told, *frames, interval.kind, label, mark_provenance(corpus.provenance))


def read_disturbances(corpus: LongCorpus) -> dict[str, tuple[tuple[Interval, str], ...]]:
    """Reads what else happens in the videos of a surrogate.

    Args:
        corpus: As read.

    Returns:
        For each video the intervals (blink, gaze, speech, turn) and what each is, such as nod or look away, in the
        order of their onsets; empty for videos without any.

    Raises:
        CorpusError: It is no surrogate, or its file of disturbances is missing or damaged.
    """
    path = corpus.root.parent / DISTURBANCES_NAME
    if corpus.provenance != "surrogate":
        raise CorpusError(f"{corpus.root} holds recordings; only a surrogate knows its disturbances")
    found: dict[str, list[tuple[Interval, str]]] = {video.name: [] for video in corpus.videos}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                onset, apex, offset = (int(row[f"{name}_frame"]) for name in ("onset", "apex", "offset"))
                interval = Interval(onset_frame=onset, apex_frame=apex, offset_frame=offset, kind=row["type"])
                found[row["file"]].append((interval, row["label"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CorpusError(f"{path} cannot be read: {error!r}. Render the surrogate again.") from error
    return {name: tuple(each) for name, each in found.items()}


def write_truth(corpus: LongCorpus, out: Path, *, labels: str = EMOTION) -> list[Path]:
    """Writes `truth.csv`, `videos.csv` and, of a surrogate, `disturbances.csv`.

    Args:
        corpus: As read.
        out: Folder; made if it is not there.
        labels: See `truth_rows`.

    Returns:
        The files.

    Raises:
        CorpusError: The surrogate's file of disturbances is missing or damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    provenance = mark_provenance(corpus.provenance)
    videos = [
        (video.name, video.subject, f"{video.frame_rate:g}", video.num_frames, provenance) for video in corpus.videos
    ]
    tables = {
        "truth.csv": format_csv(COLUMNS, truth_rows(corpus, labels)),
        "videos.csv": format_csv((*COLUMNS[:4], COLUMNS[-1]), videos),
    }
    if corpus.provenance == "surrogate":
        disturbances = read_disturbances(corpus)
        tables["disturbances.csv"] = format_csv(
            COLUMNS,
            (
                (*told[:4], each.onset_frame, each.apex_frame, each.offset_frame, each.kind, label, provenance)
                for told in videos
                for each, label in disturbances[told[0]]
            ),
        )
    return [write_atomically(out / name, text) for name, text in tables.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.truth", description="Write the annotated intervals of long videos as CSV."
    )
    parser.add_argument("corpus", help=f"one of {', '.join(long_corpora())}")
    parser.add_argument("--manual_dir", help="folder that the corpus was unpacked into (default: $MER_MANUAL_DIR)")
    parser.add_argument("--out", required=True, help="folder for truth.csv and videos.csv")
    parser.add_argument(
        "--labels", default=EMOTION, choices=LABELS, help="what the column label has (default: emotion)"
    )
    flags = parser.parse_args(arguments)

    def command() -> None:
        out = output_folder(flags.out, "--out")
        corpus = find_long_release(flags.corpus).read_long(find_manual_dir(flags.corpus, flags.manual_dir))
        for line in corpus.lines():
            print(printable(line))
        for path in write_truth(corpus, out, labels=flags.labels):
            print(printable(f"wrote {path}"))

    return run_command(command, on_interrupt="interrupted; files that are there are whole")


if __name__ == "__main__":
    sys.exit(main())
