"""`.TextGrid`, the annotation format of Praat: interval tiers without gaps and overlaps.

Source: the manual of Praat, "TextGrid file formats", long text form.
"""

from collections.abc import Sequence

from mer_jax.export.tiers import divide_into_tiers
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedInterval, PredictedVideo


def format_textgrid(video: PredictedVideo) -> str:
    """Returns the file; a last tier over the whole video says what the annotations may be used for."""
    end_s = max([video.duration_s, *(each.end_s for each in video.intervals)])
    tiers = {name: _fill(intervals, end_s) for name, intervals in divide_into_tiers(video).items()}
    tiers["use"] = [(0.0, end_s, " ".join(usage_notes(video.provenance, spotted=video.spotted)))]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end_s:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, pieces) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quote(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end_s:.6f}", f"        intervals: size = {len(pieces)}"]
        for place, (start, end, text) in enumerate(pieces, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {end:.6f}", f"            text = {_quote(text)}"]
    return "\n".join(lines) + "\n"


def _fill(intervals: Sequence[PredictedInterval], end_s: float) -> list[tuple[float, float, str]]:
    """The intervals of a tier with empty ones between them."""
    pieces, now = [], 0.0
    for each in intervals:
        start = max(now, each.onset_s)
        if start - now > 1e-6:
            pieces.append((now, start, ""))
        pieces.append((start, each.end_s, each.text))
        now = each.end_s
    if end_s - now > 1e-6:
        pieces.append((now, end_s, ""))
    return pieces


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
