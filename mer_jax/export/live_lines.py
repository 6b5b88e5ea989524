"""JSON lines of `mer live`: one that begins, one for each movement, one that ends."""

import datetime
import json
from typing import Any

import mer_jax
from mer_jax.data.provenance import mark_provenance
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.live import LiveInterval
from mer_jax.prediction.live_session import LiveSession
from mer_jax.prediction.usage import usage_notes
from mer_jax.spotting.options import SpottingOptions
from mer_jax.system.files import printable
from mer_jax.system.latency import LatencyHistogram


def begin_record(
    source: str, width: int, height: int, model: ModelDescription, options: SpottingOptions
) -> dict[str, Any]:
    """Returns the first record: what watches what, and what the answers may be used for.

    Args:
        source: Its name, without a password.
        width: Of the frames, pixels.
        height: Of the frames, pixels.
        model: What classifies.
        options: Thresholds of the spotter.
    """
    return {
        "type": "begin",
        "source": printable(source),
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "width": width,
        "height": height,
        "reported_after_apex_s": [options.delay_s, options.delay_s + options.hop_s],
        "model": model.name,
        "class_names": list(model.class_names),
        "threshold": model.threshold,
        "provenance": mark_provenance(model.provenance),
        "mer_jax": mer_jax.__version__,
        "use": list(usage_notes(model.provenance, spotted=True)),
    }


def interval_record(each: LiveInterval, model: ModelDescription, latency_s: float | None) -> dict[str, Any]:
    """Returns the record of a movement; `answer` is null for what is not classified.

    Args:
        each: The movement.
        model: What classified.
        latency_s: From the arrival of the frame after which it was certain to this record; None after the last frame.
    """
    interval, answer = each.interval, each.answer
    return {
        "type": "interval",
        "kind": interval.kind,
        "label": None if answer is None else answer.label,
        "face_id": interval.face_id,
        "onset_s": round(each.onset_s, 4),
        "apex_s": None if each.apex_s is None else round(each.apex_s, 4),
        "offset_s": round(each.offset_s, 4),
        "known_s": round(each.known_s, 4),
        "latency_ms": None if latency_s is None else round(1000 * latency_s, 1),
        "onset_frame": interval.onset_frame,
        "apex_frame": interval.apex_frame,
        "offset_frame": interval.offset_frame,
        "score": interval.score,
        "provenance": mark_provenance(model.provenance),
        "answer": None if answer is None else answer.to_plain(),
    }


def end_record(reason: str, session: LiveSession, duration_s: float, model: ModelDescription) -> dict[str, Any]:
    """Returns the last record.

    Args:
        reason: Why it ended.
        session: What it was.
        duration_s: From the first frame, by this machine's clock.
        model: What classified.
    """
    return {
        "type": "end",
        "reason": printable(reason),
        "duration_s": round(duration_s, 3),
        "frames": session.source.arrived,
        "analysed": session.analysed,
        "dropped": session.source.dropped,
        "intervals": session.movements,
        "frame_to_analysed_ms": _summarize(session.processing),
        "frame_to_answer_ms": _summarize(session.answering),
        "offset_to_known_ms": _summarize(session.waiting),
        "provenance": mark_provenance(model.provenance),
    }


def describe_status(session: LiveSession, at_s: float, rate: float, model: ModelDescription) -> str:
    """Returns a line on how a session goes.

    Args:
        session: The session.
        at_s: Since it began, seconds.
        rate: Frames per second that arrive.
        model: What classifies.
    """
    source, answering = session.source, ""
    if session.answering.count:
        answering = f", to answer {_describe(session.answering)}"
    return (
        f"{at_s:.0f} s: {rate:.1f} frames/s, {source.dropped} of {source.arrived} dropped, frame to analysed "
        f"{_describe(session.processing)}{answering}, {session.movements} "
        f"movement{'' if session.movements == 1 else 's'}{' (SURROGATE)' if model.is_surrogate else ''}"
    )


def format_record(record: dict[str, Any]) -> str:
    """Returns a record as one line."""
    return json.dumps(record, allow_nan=False) + "\n"


def describe_interval(each: LiveInterval, model: ModelDescription) -> str:
    """Returns a movement in words, for a window or a terminal."""
    said = ""
    if (answer := each.answer) is not None:
        said = f": {f'{mark(model)} ' if mark(model) else ''}{answer.shown_label} {answer.confidence:.2f}"
    return f"{each.onset_s:.2f} to {each.offset_s:.2f} s, face {each.interval.face_id}, {each.interval.kind}{said}"


def _summarize(latency: LatencyHistogram) -> dict[str, int | None]:
    return {"count": latency.count, "median": latency.percentile_ms(50), "p95": latency.percentile_ms(95)}


def _describe(latency: LatencyHistogram) -> str:
    if not latency.count:
        return "-"
    return f"{latency.percentile_ms(50)} ms (95 %: {latency.percentile_ms(95)} ms)"


def mark(model: ModelDescription) -> str:
    """Returns SURROGATE for a model of rendered faces, otherwise nothing."""
    return "SURROGATE" if model.is_surrogate else ""
