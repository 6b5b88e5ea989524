"""`intervals.csv`: one row an interval. Frames are 0-based, times are seconds from the first frame."""

import csv
import io
from collections.abc import Sequence

from mer_jax.data.provenance import mark_provenance
from mer_jax.prediction.video import PredictedVideo
from mer_jax.system.files import printable

COLUMNS = (
    "file", "face_id", "onset_frame", "apex_frame", "offset_frame", "onset_s", "apex_s", "offset_s", "duration_s",
    "type", "label", "score", "best_guess", "confidence", "abstained", "verdict", "findings", "provenance", "model",
)  # fmt: skip


def format_intervals(videos: Sequence[PredictedVideo], class_names: Sequence[str]) -> str:
    """Returns the table of the intervals of one or several videos.

    Args:
        videos: In order.
        class_names: Of the model; each gets a column `p_<class>`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"p_{name}" for name in class_names)])
    for video in videos:
        for each in video.intervals:
            interval, answer = each.interval, each.prediction
            apex = ("", "") if interval.apex_frame is None else (interval.apex_frame, f"{each.apex_s:.6f}")
            probabilities = [_number(answer.probabilities.get(name)) for name in class_names]
            writer.writerow(
                [
                    printable(video.name), interval.face_id, interval.onset_frame, apex[0], interval.offset_frame,
                    f"{each.onset_s:.6f}", apex[1], f"{each.offset_s:.6f}", f"{each.end_s - each.onset_s:.6f}",
                    interval.kind, answer.label or "", _number(interval.score), answer.best_guess or "",
                    f"{answer.confidence:.6f}", printable("; ".join(answer.abstained)), answer.verdict or "",
                    printable("; ".join(answer.findings)), mark_provenance(answer.provenance), video.model,
                    *probabilities,
                ]
            )  # fmt: skip
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
