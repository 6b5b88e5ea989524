"""`_events.tsv` with its sidecar `_events.json`. Source: BIDS specification 1.10, "Task events"."""

import json

from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo

_COLUMNS = ("onset", "duration", "trial_type", "label", "confidence", "face_id")


def format_events(video: PredictedVideo) -> str:
    """Returns the table: tabs, seconds, and `n/a` for what is missing."""
    rows = ["\t".join(_COLUMNS)]
    for each in video.intervals:
        answer, seconds = each.prediction, (each.onset_s, each.end_s - each.onset_s)
        confidence = f"{answer.confidence:.4f}" if answer.probabilities else "n/a"
        label = (answer.label or "n/a").replace("\t", " ")
        fixed = [f"{value:.6f}" for value in seconds]
        rows.append("\t".join([*fixed, each.interval.kind, label, confidence, str(each.interval.face_id)]))
    return "\n".join(rows) + "\n"


def describe_events(video: PredictedVideo) -> str:
    """Returns the sidecar: what the columns mean, and what they may be used for."""
    notes = " ".join(usage_notes(video.provenance, spotted=video.spotted))
    labels = {name: f"the model's class {name}" for name in video.class_names}
    described = {
        "onset": {"Description": "First frame, from the beginning of the video", "Units": "s"},
        "duration": {"Description": "To the end of the last frame", "Units": "s"},
        "trial_type": {"LongName": "Kind of interval", "Description": f"mer_jax, model {video.model}. {notes}"},
        "label": {"Description": "Class, n/a where the model does not answer", "Levels": labels},
        "confidence": {"Description": "Calibrated probability of the most probable class, 0 to 1"},
        "face_id": {"Description": "Number of the face, from 0"},
    }
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"
