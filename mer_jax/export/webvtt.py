"""`.vtt`: the intervals as subtitles. Source: WebVTT, W3C candidate recommendation."""

from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo


def format_webvtt(video: PredictedVideo) -> str:
    """Returns the subtitles; what they may be used for stands in a note, and in a cue where there are others."""
    notes = usage_notes(video.provenance, spotted=video.spotted)
    blocks = ["WEBVTT", *(f"NOTE {_escape(note)}" for note in notes)]
    for each in video.intervals:
        text = each.text if len(video.face_ids) < 2 else f"face {each.interval.face_id}: {each.text}"
        blocks.append(f"{_time(each.onset_s)} --> {_time(each.end_s)}\n{_escape(text)}")
    return "\n\n".join(blocks) + "\n"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float) -> str:
    total = round(1000 * seconds)
    return f"{total // 3_600_000:02d}:{total // 60_000 % 60:02d}:{total // 1000 % 60:02d}.{total % 1000:03d}"
