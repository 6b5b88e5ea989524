"""Percentiles of durations in constant memory."""

import numpy as np

_BINS = 20_000  # of a millisecond each; the last one is for whatever is longer


class LatencyHistogram:
    """Counts durations by the millisecond.

    Example:
        >>> latency = LatencyHistogram()
        >>> for duration_s in (0.010, 0.012, 0.200):
        ...     latency.add(duration_s)
        >>> latency.count, latency.percentile_ms(50), latency.percentile_ms(95)
        (3, 12, 200)
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, duration_s: float) -> None:
        """Adds a duration.

        Args:
            duration_s: Seconds, 0 or more.
        """
        self._counts[min(_BINS - 1, max(0, round(1000 * duration_s)))] += 1

    @property
    def count(self) -> int:
        """Number of durations."""
        return int(self._counts.sum())

    def percentile_ms(self, percent: float) -> int | None:
        """Returns the shortest duration that so many percent do not exceed, in ms; None without any.

        Args:
            percent: From 0 to 100.
        """
        if not self.count:
            return None
        return int(np.searchsorted(np.cumsum(self._counts), np.ceil(self.count * percent / 100)))
