"""The loop of a live session: takes the newest frame, hands out movements, and measures its own latency."""

import time
from collections.abc import Callable

from mer_jax.errors import DecodeError
from mer_jax.prediction.live import LiveInterval, LivePredictor
from mer_jax.system.latency import LatencyHistogram
from mer_jax.vision.live_source import LiveFrame, LiveSource

_POLL_S = 0.1  # how often an interrupt and late answers are looked for while no frame comes

OnInterval = Callable[[LiveInterval, float | None], None]


class LiveSession:
    """A live session: one source and one predictor.

    Attributes:
        source: Where frames come from.
        analysed: Frames that were analysed: those that arrived without those that were dropped.
        movements: Movements that were reported.
        processing: From the arrival of a frame until it was analysed.
        answering: From the arrival of the frame after which a movement was certain until it was reported.
        waiting: From the offset of a movement until that frame: what the rules of the spotter wait for.

    Args:
        source: Where frames come from; entered already.
        predictor: What watches.
        on_interval: Called with each movement and its latency in seconds, None for those after the last frame.
    """

    def __init__(self, source: LiveSource, predictor: LivePredictor, on_interval: OnInterval):
        self.source = source
        self.analysed = self.movements = 0
        self.processing, self.answering, self.waiting = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
        self._predictor, self._on_interval = predictor, on_interval

    def run(
        self,
        first: LiveFrame,
        *,
        duration_s: float | None = None,
        on_frame: Callable[[LiveFrame], bool] = lambda frame: True,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> str:
        """Watches until the source ends.

        Args:
            first: The first frame.
            duration_s: Longest duration by this machine's clock; None for as long as frames come.
            on_frame: Called after each frame; returns whether to go on.
            is_stopped: Asked before each frame and while none comes.

        Returns:
            Why it ended: `ended`, `seconds`, `stopped` (by `on_frame`) or `interrupted` (by `is_stopped`).

        Raises:
            DecodeError: The source has failed. `finish` gives the movements of the last seconds all the same.
        """
        frame: LiveFrame | None = first
        while not is_stopped():
            if frame is not None:
                self._report(self._predictor.push(frame))
                self.processing.add(time.monotonic() - frame.arrived_s)
                self.analysed += 1
                if not on_frame(frame):
                    return "stopped"
            elif self.source.is_over:
                return "ended"
            else:
                self._report(self._predictor.answered())
            if duration_s is not None and time.monotonic() - first.arrived_s >= duration_s:
                return "seconds"
            frame = self.source.take(_POLL_S)
        return "interrupted"

    def finish(self) -> None:
        """Reports the movements of the last seconds, which nothing will change any more."""
        self._report(self._predictor.finish(), is_last=True)

    def _report(self, movements: list[LiveInterval], *, is_last: bool = False) -> None:
        for each in movements:
            latency_s = None if is_last else time.monotonic() - each.arrived_s
            if latency_s is not None:
                self.answering.add(latency_s)
                self.waiting.add(each.known_s - each.offset_s)
            self.movements += 1
            self._on_interval(each, latency_s)


def wait_for_first(source: LiveSource, is_stopped: Callable[[], bool] = lambda: False) -> LiveFrame | None:
    """Waits for the first frame of a source.

    Args:
        source: Entered already.
        is_stopped: Asked while none comes.

    Returns:
        The frame; None if it was stopped.

    Raises:
        DecodeError: None comes.
    """
    while not is_stopped():
        if (frame := source.take(_POLL_S)) is not None:
            return frame
        if source.is_over:
            raise DecodeError(f"{source.name} has no frame that can be decoded")
    return None
