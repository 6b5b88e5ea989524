"""`inspect.html`: what `mer inspect` found in each clip, in one file that opens offline."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mer_jax.report.page import load_template

_WIDTH, _HEIGHT, _PAD = 560.0, 90.0, 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One quantity along a clip.

    Attributes:
        name: With its unit.
        index: Frame numbers.
        values: At these frames; NaN leaves a gap.
        marks: Frames to mark with a line.
        level: Draw a line at this value, if it is in range.
    """

    name: str
    index: np.ndarray
    values: Float[np.ndarray, "n"]
    marks: Sequence[int] = ()
    level: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class InspectedClip:
    """One clip on the page.

    Attributes:
        name: Of the clip.
        facts: Name to text, shown as a list.
        summary: The numbers by their names in `columns`; NaN is shown as a dash.
        findings: (level, text), errors first.
        jpeg: Its contact sheet; None where the page has no room for it.
        curves: Along the clip.
    """

    name: str
    facts: Mapping[str, str]
    summary: Mapping[str, float]
    findings: Sequence[tuple[str, str]]
    jpeg: bytes | None
    curves: Sequence[Curve]

    @property
    def verdict(self) -> str:
        """The worst level of its findings."""
        levels = {level for level, _ in self.findings}
        return next((word for word in ("error", "warning") if word in levels), "ok")


def render_inspection(
    clips: Sequence[InspectedClip],
    *,
    title: str,
    columns: Mapping[str, str],
    overview: Mapping[str, Mapping[str, float]],
    environment: Mapping[str, str],
) -> str:
    """Renders the page.

    Args:
        clips: In the order to show them.
        title: What was inspected.
        columns: Name of a number in the summaries to what it means.
        overview: Over all clips: name to `median`, `min`, `max` and `clips`.
        environment: Versions and options, by name.
    """
    return load_template("inspect.html.j2").render(
        clips=clips,
        title=title,
        columns=columns,
        overview=overview,
        environment=environment,
        counts={word: sum(clip.verdict == word for clip in clips) for word in ("ok", "warning", "error")},
        pictures=[None if clip.jpeg is None else base64.b64encode(clip.jpeg).decode() for clip in clips],
        charts=[[_draw(curve) for curve in clip.curves] for clip in clips],
        number=_format_number,
    )


def _format_number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _draw(curve: Curve) -> dict:
    """Places of a curve in the pixels of an SVG: polylines between gaps, and where the marks go."""
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
