"""A project of BORIS with one observation, and its intervals under the names of BORIS's aggregated export.

A state event has two rows, start and stop; the behaviour is the kind, the modifier the label.

Source: files that BORIS 8 and 9 write (`project_format_version` 7.0) and their columns; no code of it.
"""

import csv
import datetime
import io
import json
from typing import Any

from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo
from mer_jax.system.files import printable

_KEYS = "abcdefghijklmnopqrstuvwxyz"
NO_ANSWER = "no answer"
COLUMNS = (
    "Observation id", "Observation date", "Description", "Media file name", "Total length", "FPS", "Subject",
    "Behavior", "Behavioral category", "Modifiers", "Behavior type", "Start (s)", "Stop (s)", "Duration (s)",
    "Image index start", "Image index stop", "Comment start", "Comment stop",
)  # fmt: skip


def format_boris(video: PredictedVideo, *, now: datetime.datetime | None = None) -> str:
    """Returns the project.

    Args:
        video: What was found.
        now: Date of the project; None takes the time of the call.
    """
    date = (now or datetime.datetime.now(datetime.UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    media, notes = printable(video.path), "\n".join(usage_notes(video.provenance, spotted=video.spotted))
    events: list[list[Any]] = []
    for each in video.intervals:
        interval = each.interval
        fixed = [_subject(interval.face_id), interval.kind, each.prediction.label or NO_ANSWER, each.text]
        events += [
            [round(each.onset_s, 3), *fixed, interval.onset_frame],
            [round(each.end_s, 3), *fixed, interval.offset_frame],
        ]
    kinds = sorted({each.interval.kind for each in video.intervals})
    labels = {"name": "label", "description": "", "type": 0, "values": [*video.class_names, NO_ANSWER]}
    behaviours = {
        str(number): {
            "type": "State event", "key": _KEYS[number % len(_KEYS)], "code": kind, "description": "", "color": "",
            "category": "", "modifiers": {"0": labels}, "excluded": "", "coding map": "",
        }
        for number, kind in enumerate(kinds)
    }  # fmt: skip
    subjects = {
        str(number): {"key": str(number % 10), "name": _subject(face_id), "description": ""}
        for number, face_id in enumerate(video.face_ids)
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": printable(video.name),
        "project_description": notes,
        "project_format_version": "7.0",
        "subjects_conf": subjects,
        "behaviors_conf": behaviours,
        "observations": {
            printable(video.name): {
                "file": {"1": [media], **{str(player): [] for player in range(2, 9)}},
                "type": "MEDIA",
                "date": date,
                "description": f"mer_jax, model {video.model}\n{notes}",
                "time offset": 0.0,
                "events": sorted(events, key=lambda event: event[0]),
                "observation time interval": [0, 0],
                "independent_variables": {},
                "visualize_spectrogram": False,
                "visualize_waveform": False,
                "media_creation_date_as_offset": False,
                "media_scan_sampling_duration": 0,
                "image_display_duration": 1,
                "close_behaviors_between_videos": False,
                "media_info": {
                    "length": {media: video.duration_s},
                    "fps": {media: 1 / video.frame_s},
                    "hasVideo": {media: True},
                    "hasAudio": {media: False},
                    "offset": {"1": 0.0},
                },
            }
        },
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return json.dumps(project, indent=1, ensure_ascii=False) + "\n"


def format_boris_table(video: PredictedVideo, *, now: datetime.datetime | None = None) -> str:
    """Returns the intervals under the column names of BORIS's aggregated events.

    Args:
        video: What was found.
        now: See `format_boris`.
    """
    date = (now or datetime.datetime.now(datetime.UTC)).strftime("%Y-%m-%d %H:%M:%S")
    notes = " ".join(usage_notes(video.provenance, spotted=video.spotted))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in video.intervals:
        interval = each.interval
        writer.writerow(
            [
                printable(video.name), date, notes, printable(video.path), f"{video.duration_s:.3f}",
                f"{1 / video.frame_s:.3f}", _subject(interval.face_id), interval.kind, "",
                each.prediction.label or NO_ANSWER, "STATE", f"{each.onset_s:.3f}", f"{each.end_s:.3f}",
                f"{each.end_s - each.onset_s:.3f}", interval.onset_frame, interval.offset_frame, each.text, "",
            ]
        )  # fmt: skip
    return text.getvalue()


def _subject(face_id: int) -> str:
    return f"face {face_id}"
