"""The streaming spotter: frames go in one by one, intervals come out some seconds later."""

import collections
import dataclasses

import numpy as np

from mer_jax.spotting.expressions import find_movements
from mer_jax.spotting.interval import EXPRESSIONS, Interval
from mer_jax.spotting.options import SpottingOptions
from mer_jax.spotting.series import sample_motion
from mer_jax.vision.region_motion import FaceMotion

_FEWEST_SAMPLES = 8


@dataclasses.dataclass(frozen=True)
class _Seen:
    frame: int
    time_s: float
    motion: FaceMotion


class Spotter:
    """Finds intervals of movement in the motion of one face.

    It keeps `options.window_s` seconds, whatever the length of the video, and works at any frame rate, also a varying
    one: its rules are in seconds. An interval is reported once, when nothing that comes later can change it.

    Attributes:
        options: Thresholds.

    Args:
        options: Thresholds; None takes the defaults.
        face_id: Number of the face, for the intervals.

    Example:
        >>> spotter = Spotter()  # a face's motion comes from RegionTracker.track; here nobody is seen
        >>> [spotter.push(number / 30, None) for number in range(3)]
        [[], [], []]
        >>> spotter.finish()
        []
    """

    def __init__(self, options: SpottingOptions | None = None, *, face_id: int = 0):
        self.options = options or SpottingOptions()
        self._face_id = face_id
        self._seen: collections.deque[_Seen] = collections.deque()
        self._frame = 0
        self._reported_s = -np.inf  # apexes up to this time are reported
        self._looked_s = -np.inf
        self._last: dict[str, Interval] = {}  # micro and macro under one name: a later look may call one the other

    def push(self, time_s: float, motion: FaceMotion | None, *, frame: int | None = None) -> list[Interval]:
        """Takes the next frame.

        Args:
            time_s: Its time in seconds; increases from frame to frame.
            motion: Of the face, from `RegionTracker.track`; None if it is not seen.
            frame: Its number, 0-based; None counts the calls.

        Returns:
            Intervals that are certain now, in the order of their onsets; mostly none.
        """
        number = self._frame if frame is None else frame
        self._frame = number + 1
        if motion is not None:
            self._seen.append(_Seen(number, time_s, motion))
        while self._seen and self._seen[0].time_s < time_s - self.options.window_s:
            self._seen.popleft()
        if time_s < self._looked_s + self.options.hop_s:
            return []
        self._looked_s = time_s
        return self._look(time_s - self.options.delay_s)

    def finish(self) -> list[Interval]:
        """Returns the intervals of the last seconds; call it after the last frame."""
        return self._look(np.inf)

    def _look(self, until_s: float) -> list[Interval]:
        if len(self._seen) < 3 or until_s <= self._seen[0].time_s:
            return []
        times = np.array([each.time_s for each in self._seen])
        series = sample_motion(times, [each.motion for each in self._seen], self.options.rate_hz)
        if len(series.times_s) < _FEWEST_SAMPLES:
            return []
        intervals = []
        for kind, span in find_movements(series, self.options):
            if not self._reported_s < series.times_s[span.apex] <= until_s:
                continue
            first, apex, last = (
                self._nearest(times, series.times_s[each]) for each in (span.first, span.apex, span.last)
            )
            name = "expression" if kind in EXPRESSIONS else kind
            before = self._last.get(name)
            if last <= first or (before is not None and first <= before.offset_frame):
                continue  # a part of the one that was reported
            interval = Interval(
                onset_frame=first, offset_frame=last, apex_frame=apex, face_id=self._face_id, kind=kind,
                score=span.score,
            )  # fmt: skip
            self._last[name] = interval
            intervals.append(interval)
        self._reported_s = max(self._reported_s, until_s)
        return intervals

    def _nearest(self, times: np.ndarray, time_s: float) -> int:
        return self._seen[int(np.abs(times - time_s).argmin())].frame
