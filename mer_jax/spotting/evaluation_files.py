"""`spotting.json`, `spotting.csv` and `matches.csv`: scores of spotting as files."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.provenance import mark_provenance
from mer_jax.spotting.counts import Counts
from mer_jax.spotting.evaluation import Evaluation
from mer_jax.spotting.interval import Interval
from mer_jax.spotting.measure import OVERALL
from mer_jax.system.files import format_csv, printable, write_atomically

_SCORE_COLUMNS = (
    "provenance", "kind", "iou", "labels", "predictions", "true_positives", "false_positives", "false_negatives",
    "precision", "recall", "f1",
)  # fmt: skip
_MATCH_COLUMNS = (
    "provenance", "file", "subject", "kind", "outcome", "onset_frame", "offset_frame", "score", "emotion",
    "label_onset_frame", "label_offset_frame", "label_emotion", "iou", "labelled_there",
)  # fmt: skip


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes all scores into a folder.

    Args:
        evaluation: The scores.
        folder: Created if it is missing.

    Returns:
        The files: `spotting.json` has everything, `spotting.csv` a row for each kind and IoU, `matches.csv` a row for
        each prediction and each label that was missed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "spotting.json": json.dumps(to_plain(evaluation), indent=2, allow_nan=False) + "\n",
        "spotting.csv": format_csv(_SCORE_COLUMNS, _list_scores(evaluation)),
        "matches.csv": format_csv(_MATCH_COLUMNS, _list_matches(evaluation)),
    }
    return [write_atomically(folder / name, content) for name, content in contents.items()]


def to_plain(evaluation: Evaluation) -> dict[str, Any]:
    """Returns all scores as plain values for JSON; what is undefined is None."""
    scores = evaluation.scores
    by_kind = {}
    for kind, own in scores.scores.items():
        by_kind[kind] = {
            **_count_plainly(own.counts),
            "f1_over_videos": own.f1_over_videos,
            "f1_over_people": own.f1_over_people,
            "average_precision": own.average_precision,
            "false_alarms_per_minute": own.false_alarms_per_minute,
        }
    recognition = {}
    for kind, own in evaluation.recognition.items():
        if own:
            recognition[kind] = {**_fields(own), "f1": own.f1, "uar": own.uar, "strs": own.strs}
    plain: dict[str, Any] = {
        "provenance": mark_provenance(evaluation.provenance),
        "iou": scores.iou,
        "num_videos": len(scores.videos),
        "minutes": scores.minutes,
        "scores": by_kind,
        "by_iou": {
            f"{iou:g}": {kind: _count_plainly(own) for kind, own in counts.items()}
            for iou, counts in scores.by_iou.items()
        },
        "quiet_videos": {**_fields(scores.quiet), "false_alarms_per_minute": scores.quiet.false_alarms_per_minute},
        "false_alarms": scores.count_false_alarms(),
        "duration_unit": evaluation.duration_unit,
        "durations": list(evaluation.durations),
        "labels_by_duration_s": list(evaluation.length_bins),
        "kappa": evaluation.kappa,
        "recognition": recognition,
        "published": [
            {"script": script.script, "steps": [
                {"reason": step.reason, "counts": {kind: _count_plainly(own) for kind, own in step.counts.items()}}
                for step in script.steps
            ]}
            for script in evaluation.published
        ],
        "videos": [
            {"file": printable(video.name), "subject": video.subject, "duration_s": video.duration_s,
             "counts": dict(video.counts)}
            for video in scores.videos
        ],
        "notes": list(evaluation.notes),
    }  # fmt: skip
    if theirs := evaluation.published_recognition:
        plain["published_recognition"] = {**_fields(theirs), "uar": theirs.uar}
    return _make_plain(plain)


def _list_scores(evaluation: Evaluation) -> Iterator[list[object]]:
    for iou, counts in evaluation.scores.by_iou.items():
        for kind in (*evaluation.scores.kinds, OVERALL):
            own = _make_plain(_count_plainly(counts[kind]))
            start = [mark_provenance(evaluation.provenance), kind, f"{iou:g}"]
            yield [*start, *(_cell(own[name]) for name in _SCORE_COLUMNS[3:])]


def _list_matches(evaluation: Evaluation) -> Iterator[list[object]]:
    for video in evaluation.scores.videos:
        answers, emotions = (side[video.name] for side in evaluation.emotions)
        start = [mark_provenance(evaluation.provenance), printable(video.name), printable(video.subject or "")]
        reasons = iter(video.false_alarms)
        match_of = {each.predicted: each for each in video.matches}
        for index, each in enumerate(video.predicted):
            own = [*_ends(each), "" if each.score is None else f"{each.score:g}", printable(answers[index] or "")]
            if match := match_of.get(index):
                found = [
                    *_ends(video.truth[match.truth]),
                    printable(emotions[match.truth] or ""),
                    f"{match.iou:.4f}",
                    "",
                ]
                yield [*start, each.kind, "hit", *own, *found]
            else:
                yield [*start, each.kind, "false alarm", *own, *[""] * 4, next(reasons)]
        found_labels = {each.truth for each in video.matches}
        for index, each in enumerate(video.truth):
            if index not in found_labels:
                own = [*_ends(each), printable(emotions[index] or ""), "", ""]
                yield [*start, each.kind, "miss", *[""] * 4, *own]


def _ends(interval: Interval) -> list[int]:
    return [interval.onset_frame, interval.offset_frame]


def _count_plainly(counts: Counts) -> dict[str, Any]:
    return {
        "labels": counts.num_labels,
        "predictions": counts.num_predictions,
        **_fields(counts),
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
    }


def _fields(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def _cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _make_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        value = _fields(value)
    if isinstance(value, dict):
        return {name: _make_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
