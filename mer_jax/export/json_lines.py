"""`intervals.jsonl`: a line on the video, a line on each interval."""

import dataclasses
import json

from mer_jax.data.provenance import mark_provenance
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo
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
            "spotted": video.spotted,
            "model": video.model,
            "class_names": list(video.class_names),
            "provenance": mark_provenance(video.provenance),
            "use": list(usage_notes(video.provenance, spotted=video.spotted)),
        }
    ]
    for each in video.intervals:
        times = {"onset_s": each.onset_s, "apex_s": each.apex_s, "offset_s": each.offset_s, "end_s": each.end_s}
        answer = each.prediction.to_plain()
        lines.append({"type": "interval", **dataclasses.asdict(each.interval), **times, "answer": answer})
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
