"""Intervals from `intervals.jsonl` of `mer predict`, which lists videos without intervals too, with their length."""

import json
from pathlib import Path
from typing import Any

from mer_jax.data.provenance import is_surrogate
from mer_jax.errors import IntervalsError
from mer_jax.spotting.interval_table import IntervalRow, IntervalTable, VideoFacts


def read_json_lines(path: Path) -> IntervalTable:
    """Reads the intervals of one or several videos.

    Args:
        path: The file.

    Raises:
        IntervalsError: Not such a file.
    """
    rows: list[IntervalRow] = []
    videos: dict[str, VideoFacts] = {}
    surrogate, name, number = False, "", 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            entry = json.loads(line)
            if entry["type"] == "video":
                name, duration = entry["file"], float(entry["duration_s"])
                videos[name] = VideoFacts(duration_s=duration, frame_rate=entry["frames"] / duration)
                surrogate |= is_surrogate(entry["provenance"])
            else:
                rows.append(_read_interval(entry, name, f"line {number}"))
    except OSError as error:
        raise IntervalsError(f"{path} cannot be read: {error.strerror}; expected intervals.jsonl") from error
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise IntervalsError(f"{path}, line {number}: not what `mer predict` writes; predict again") from error
    if not videos:
        raise IntervalsError(f"{path} is empty; expected a line for each video")
    return IntervalTable(
        path=path,
        rows=tuple(rows),
        videos=videos,
        provenance="surrogate" if surrogate else "unstated",
        notes=(f"{path.name}: {len(videos)} videos with their length",),
    )


def _read_interval(entry: dict[str, Any], name: str, place: str) -> IntervalRow:
    return IntervalRow(
        video=name,
        place=place,
        kind=entry["kind"],
        onset_frame=entry["onset_frame"],
        offset_frame=entry["offset_frame"],
        apex_frame=entry["apex_frame"],
        onset_s=entry["onset_s"],
        offset_s=entry["offset_s"],
        face_id=entry["face_id"],
        score=entry["score"],
        label=entry["answer"]["label"],
    )
