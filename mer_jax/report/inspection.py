"""`inspect.html`, `inspect.json` and contact sheets: what `mer inspect` found, in files that open offline."""

import base64
import dataclasses
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

import mer_jax
from mer_jax.report.page import load_template
from mer_jax.system.files import printable, write_atomically
from mer_jax.vision.contact_sheet import draw_clip, encode_jpeg, encode_png, stack_sheets
from mer_jax.vision.inspection import InspectedClip, Inspection
from mer_jax.vision.libraries import cv2, load_mediapipe
from mer_jax.vision.options import VISION_VERSION
from mer_jax.vision.quality import SUMMARY, ClipQuality
from mer_jax.vision.sources import describe_passed_over
from mer_jax.vision.verdict import Verdict

_WIDTH, _HEIGHT, _PAD = 560.0, 90.0, 4.0  # of a chart, pixels
_PICTURES_ON_PAGE = 30  # a page with more is slow to open; clips with findings come first


@dataclasses.dataclass(frozen=True, eq=False)
class _Curve:
    """One quantity along a clip.

    Attributes:
        name: With its unit.
        index: Frame numbers.
        values: At these frames; NaN leaves a gap.
        marks: Frames to mark with a vertical line.
        level: Draws a horizontal line at this value, if it is in range.
    """

    name: str
    index: Int[np.ndarray, "n"]
    values: Float[np.ndarray, "n"]
    marks: Sequence[int] = ()
    level: float | None = None


def write_inspection(inspection: Inspection, out: Path) -> Path:
    """Writes the page, the JSON file and the contact sheets.

    Args:
        inspection: What was found.
        out: Folder to write to; created if it does not exist.

    Returns:
        The path of the page.
    """
    out.mkdir(parents=True, exist_ok=True)
    measured = {name: clip.quality for name, clip in inspection.clips.items() if clip.quality is not None}
    pictures = {name: draw_clip(quality, name) for name, quality in measured.items()}
    for number, sheet in enumerate(stack_sheets(list(pictures.values())) if pictures else [], 1):
        write_atomically(out / f"contact_sheet{'' if number == 1 else f'_{number}'}.png", encode_png(sheet))
    ordered = sorted(measured, key=lambda name: inspection.clips[name].verdict is Verdict.OK)
    jpegs = {name: encode_jpeg(pictures[name]) for name in ordered[:_PICTURES_ON_PAGE]}
    write_atomically(out / "inspect.json", json.dumps(inspection.to_plain(), indent=2))
    return write_atomically(out / "inspect.html", _render(inspection, jpegs))


def _render(inspection: Inspection, jpegs: Mapping[str, bytes]) -> str:
    clips = inspection.clips
    unmeasured = dict.fromkeys(SUMMARY, np.nan)
    entries = [
        {
            "name": printable(name),
            "verdict": clip.verdict.value,
            "findings": [(finding.level, printable(str(finding))) for finding in clip.findings],
            "facts": _facts(clip.quality) if clip.quality else {},
            "summary": clip.quality.summary if clip.quality else unmeasured,
            "picture": base64.b64encode(jpegs[name]).decode() if name in jpegs else None,
            "charts": [_draw(curve) for curve in _curves(clip.quality)] if clip.quality else [],
        }
        for name, clip in clips.items()
    ]
    return load_template("inspect.html.j2").render(
        clips=entries,
        title=printable(inspection.source),
        passed_over=describe_passed_over(inspection.passed_over),
        columns=SUMMARY,
        overview=inspection.overview,
        environment=_environment(inspection),
        counts={verdict.value: _count(clips.values(), verdict) for verdict in Verdict},
        number=_format_number,
    )


def _count(clips: Iterable[InspectedClip], verdict: Verdict) -> int:
    return sum(clip.verdict is verdict for clip in clips)


def _facts(clip: ClipQuality) -> dict[str, str]:
    facts = {"frames": str(clip.num_frames)}
    if clip.frame_size:
        facts["size"] = f"{clip.frame_size[0]}x{clip.frame_size[1]} pixels"
    if clip.frames_per_s:
        facts["rate"] = f"{clip.frames_per_s:.4g} frames/s"
    facts["faces"] = f"{clip.num_tracks} tracked over the clip"
    if clip.blinks:
        facts["eyes closed"] = ", ".join(f"{first}-{last}" for first, last in clip.blinks)
    if clip.apex_frame is not None:
        facts["largest motion"] = f"frame {clip.apex_frame}; whether it is an expression is not judged"
    return facts


def _curves(clip: ClipQuality) -> list[_Curve]:
    figures = clip.figures
    if clip.track is None or len(figures.index) < 2:
        return []
    apex = [] if clip.apex_frame is None else [clip.apex_frame]
    curves = [
        _Curve("motion, gray levels", clip.movement_index, clip.movement, apex),
        _Curve("eyes closed, 0 to 1", figures.index, figures.eye_closure, level=0.5),
        _Curve("yaw, degrees", figures.index, figures.yaw, level=0.0),
        _Curve("pitch, degrees", figures.index, figures.pitch, level=0.0),
        _Curve("sharpness", figures.index, figures.sharpness),
        _Curve("brightness of the frame, gray levels", figures.index, figures.brightness),
    ]
    return [curve for curve in curves if len(curve.index) > 1]


def _environment(inspection: Inspection) -> dict[str, str]:
    chosen = ", ".join(f"{name}={value}" for name, value in dataclasses.asdict(inspection.options).items())
    return {
        "source": printable(inspection.source),
        "options": f"{chosen} (fingerprint {inspection.options.fingerprint()}, version {VISION_VERSION})",
        "versions": f"mer_jax {mer_jax.__version__}, Python {platform.python_version()}, OpenCV {cv2.__version__}, "
        f"MediaPipe {load_mediapipe().__version__}",
    }


def _format_number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _draw(curve: _Curve) -> dict[str, Any]:
    """Returns a curve in SVG pixels: polylines between gaps, and the positions of marks and level."""
    finite = curve.values[np.isfinite(curve.values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low = min(low, 0.0)
    high = high if high > low else low + 1
    first, last = (int(curve.index[0]), int(curve.index[-1])) if len(curve.index) else (0, 1)

    def x(frame: float) -> float:
        return _PAD + (_WIDTH - 2 * _PAD) * (frame - first) / max(1, last - first)

    def y(value: float) -> float:
        return _HEIGHT - _PAD - (_HEIGHT - 2 * _PAD) * (value - low) / (high - low)

    lines: list[list[str]] = [[]]
    for frame, value in zip(curve.index.tolist(), curve.values.tolist(), strict=True):
        if np.isfinite(value):
            lines[-1].append(f"{x(frame):.1f},{y(value):.1f}")
        elif lines[-1]:
            lines.append([])
    within = curve.level is not None and low <= curve.level <= high
    return {
        "name": curve.name, "width": _WIDTH, "height": _HEIGHT, "first": first, "last": last,
        "low": _format_number(low), "high": _format_number(high),
        "lines": [" ".join(line if len(line) > 1 else line * 2) for line in lines if line],
        "marks": [(f"{x(mark):.1f}", mark) for mark in curve.marks],
        "level": f"{y(curve.level):.1f}" if within and curve.level is not None else None,
    }  # fmt: skip
