"""`intervals.jsonl`: a line on the video, a line on each interval."""

import dataclasses
import json
from typing import Any

from mer_jax.data.provenance import mark_provenance
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedInterval, PredictedVideo
from mer_jax.system.files import printable


def format_json_lines(video: PredictedVideo) -> str:
    """Returns the lines; the first one has what the others may be used for."""
    lines = [
        {
            "type": "video",
            "file": printable(video.name),
            "frames": len(video.times_s),
            "duration_s": video.duration_s,
            "width": video.width,
            "height": video.height,
            "corrections": list(map(printable, video.corrections)),
            "intervals": len(video.intervals),
            "frames_with_face": video.frames_with_face,
            "spotted": video.spotted,
            "model": video.model,
            "class_names": list(video.class_names),
            "provenance": mark_provenance(video.provenance),
            "use": list(usage_notes(video.provenance, spotted=video.spotted)),
        }
    ]
    lines += [describe_interval(each) for each in video.intervals]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)


def describe_interval(predicted: PredictedInterval) -> dict[str, Any]:
    """Returns what the line of an interval holds."""
    times = {name: getattr(predicted, name) for name in ("onset_s", "apex_s", "offset_s", "end_s")}
    own = dataclasses.asdict(predicted.interval)
    return {"type": "interval", **own, **times, "answer": predicted.prediction.to_plain()}
