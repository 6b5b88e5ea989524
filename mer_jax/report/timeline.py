"""`timeline.png`: where in a video something was found, and what."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mer_jax.data.provenance import surrogate_mark
from mer_jax.export.tiers import divide_into_tiers
from mer_jax.prediction.usage import MEANING
from mer_jax.prediction.video import PredictedVideo
from mer_jax.report.figures import BLUE, DPI, GRAY, INK, VERMILLION
from mer_jax.system.files import printable

_BINS = 1500  # of the motion curve: more cannot be seen
_FIRST_BIN_S = 1 / 256  # as long as they are for a video of 5.9 s
_MOST_TEXTS = 60  # in one tier: more cannot be read; tiers of blinks and the like say what they are


class MotionCurve:
    """The motion of faces over a video of any length: the maximum in each of 750 to 1500 bins.

    Bins are a fraction of a frame long at first; whenever the video outgrows them, pairs of them become one.
    """

    def __init__(self) -> None:
        self._bin_s = _FIRST_BIN_S
        self._values: dict[int, np.ndarray] = {}

    def add(self, face_id: int, time_s: float, motion: float) -> None:
        """Adds the motion of one face in one frame.

        Args:
            face_id: Number of the face.
            time_s: Time of the frame, 0 or more.
            motion: In gray levels.
        """
        while time_s >= _BINS * self._bin_s:
            self._bin_s *= 2
            self._values = {each: _join_pairs(values) for each, values in self._values.items()}
        values = self._values.setdefault(face_id, np.full(_BINS, np.nan))
        place = int(time_s / self._bin_s)
        values[place] = np.fmax(values[place], motion)

    def lines(self) -> Sequence[tuple[int, np.ndarray, np.ndarray]]:
        """Face number, times in seconds and motion, of each face that moved; bins without a frame are left out."""
        times = (np.arange(_BINS) + 0.5) * self._bin_s
        known = {face_id: np.isfinite(values) for face_id, values in sorted(self._values.items())}
        return [(face_id, times[mask], self._values[face_id][mask]) for face_id, mask in known.items()]


def _join_pairs(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.fmax(values[::2], values[1::2]), np.full(_BINS // 2, np.nan)])


def draw_timeline(video: PredictedVideo, curve: MotionCurve) -> bytes:
    """Draws the tiers of a video over the motion of its faces.

    Args:
        video: What was found.
        curve: Motion of the faces.

    Returns:
        A PNG.
    """
    tiers = divide_into_tiers(video)
    figure = Figure(figsize=(11, 2.9 + 0.5 * len(tiers)), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[0.5 * len(tiers) + 0.2, 1.3])
    for row, (_, intervals) in enumerate(tiers.items()):
        spans = [(each.onset_s, each.end_s - each.onset_s) for each in intervals]
        colours = [BLUE if each.prediction.label else GRAY for each in intervals]
        upper.broken_barh(spans, (row - 0.3, 0.6), facecolors=colours)
        for each in [one for one in intervals if one.is_classified][:_MOST_TEXTS]:
            upper.text(each.onset_s, row - 0.42, each.text, fontsize=7, color=INK, va="bottom", clip_on=True)
    upper.set_yticks(range(len(tiers)), list(tiers))
    upper.set_ylim(len(tiers) - 0.5, -0.7)
    if not video.intervals:
        upper.text(0.5, 0.5, "nothing found", transform=upper.transAxes, ha="center", va="center", color=GRAY)
    for face_id, times, values in curve.lines():
        colour = (BLUE, VERMILLION, GRAY, INK)[face_id % 4]
        lower.plot(times, values, linewidth=0.8, label=f"face {face_id}", color=colour)
    if len(curve.lines()) > 1:
        lower.legend(fontsize=7, loc="upper right")
    lower.set_xlim(0, video.duration_s)
    lower.set_xlabel("seconds from the first frame")
    lower.set_ylabel("change of\ngray levels")
    mark = surrogate_mark(video.provenance, after=", ")
    figure.suptitle(f"{printable(video.name)}: {mark}model {video.model}".replace("$", r"\$"), fontsize=10)
    figure.supxlabel(MEANING, fontsize=6.5, color=GRAY)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
