"""Movements of faces in frames that arrive one by one: spotted, classified and handed out while the stream goes on.

Spotting takes a part of the time of a frame. Classifying an expression may take longer, so it is done in a thread of
its own, on frames that were kept; no frame has to wait for it.
"""

import collections
import contextlib
import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from mer_jax.errors import MerError
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.result import Prediction
from mer_jax.prediction.video import FaceWatcher, WatchedFace
from mer_jax.prediction.watching import PlacedSpotter
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import EXPRESSIONS, Interval
from mer_jax.spotting.options import SpottingOptions
from mer_jax.vision.frames import ArrayFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.live_source import LiveFrame
from mer_jax.vision.recent_frames import NumberedFrames, RecentFrames

_MOST_WAITING = 4  # expressions, each of which holds its frames in memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveInterval:
    """One movement. Times are seconds from the first frame of the stream.

    Attributes:
        interval: Frames, kind and score.
        onset_s: Time of the first frame.
        apex_s: Time of the largest movement; None if it is unknown.
        offset_s: Time of the last frame.
        known_s: Time of the frame after which it was certain.
        arrived_s: When this frame arrived, by `time.monotonic`.
        answer: Of the model; None for movements that are not classified.
    """

    interval: Interval
    onset_s: float
    apex_s: float | None
    offset_s: float
    known_s: float
    arrived_s: float
    answer: Prediction | None = None


class LivePredictor:
    """Streaming predictor: spots and classifies movements in frames that arrive one by one; a context manager.

    The last seconds of the stream are kept in memory, and forgotten as it goes on.

    Attributes:
        options: Thresholds of the spotter.
        faces: Those of the last frame.

    Args:
        model: Classifies the expressions.
        options: Thresholds of the spotter; None takes the defaults.

    Raises:
        ModelError: See `TrainedModel.reader`.
    """

    def __init__(self, model: TrainedModel, options: SpottingOptions | None = None):
        spotter = FaceSpotter(options)
        self.options = options = spotter.options
        self.faces: tuple[WatchedFace, ...] = ()
        self._model = model
        with contextlib.ExitStack() as opened:
            # The frames of the corpus may have lain on their side; a live picture does not.
            self._reader = opened.enter_context(contextlib.closing(model.reader(turn="none")))
            self._landmarker = opened.enter_context(FaceLandmarker())
            self._worker = ThreadPoolExecutor(1, "mer live classifier")
            opened.callback(self._worker.shutdown, cancel_futures=True)
            self._warm_up()
            self._opened = opened.pop_all()
        self._watcher, self._spotter = FaceWatcher(self._landmarker), PlacedSpotter(spotter)
        self._recent = RecentFrames(options.delay_s + options.hop_s + options.longest_s)
        self._last: LiveFrame | None = None
        self._waiting: collections.deque[tuple[LiveInterval, Future[Prediction]]] = collections.deque()

    @property
    def held_s(self) -> float | None:
        """Seconds of the stream that fit into memory, if these are fewer than a long expression needs; None if not."""
        return self._recent.held_s

    def push(self, frame: LiveFrame) -> list[LiveInterval]:
        """Takes the next frame.

        Args:
            frame: From `LiveSource.take`.

        Returns:
            Movements that have their answer now; mostly none.
        """
        self._last = frame
        self._recent.add(frame.number, frame.time_s, frame.picture)
        self.faces = self._watcher.watch(frame.time_s, frame.picture)
        found = self._spotter.push(frame.number, frame.time_s, frame.picture, self.faces)
        return [*self._take_in(found, frame), *self.answered()]

    def answered(self) -> list[LiveInterval]:
        """Returns expressions whose answer has come since the last call."""
        done = []
        while self._waiting and self._waiting[0][1].done():
            each, answer = self._waiting.popleft()
            done.append(dataclasses.replace(each, answer=answer.result()))
        return done

    def finish(self) -> list[LiveInterval]:
        """Returns the movements of the last seconds, and waits for their answers; call it after the last frame."""
        if self._last is None:
            return []
        ready = self._take_in(self._spotter.finish(), self._last, is_patient=True)
        while self._waiting:
            each, answer = self._waiting.popleft()
            ready.append(dataclasses.replace(each, answer=answer.result()))
        return ready

    def close(self) -> None:
        """Stops the face detectors, and forgets every frame."""
        self._opened.close()

    def __enter__(self) -> "LivePredictor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Loads and compiles what the first expression would have to wait for."""
        self._model.warm_up()
        nothing = np.zeros((2, 64, 64, 3), np.uint8)
        self._landmarker.detect(nothing[0])
        self._reader.predict_interval(ArrayFrames(nothing))

    def _take_in(
        self, found: dict[Interval, str | None], frame: LiveFrame, *, is_patient: bool = False
    ) -> list[LiveInterval]:
        """Submits expressions to the classifier thread and returns all other movements."""
        ready = []
        for interval, place in found.items():
            apex = interval.apex_frame
            each = LiveInterval(
                interval=interval,
                onset_s=self._spotter.time_of(interval.onset_frame),
                apex_s=None if apex is None else self._spotter.time_of(apex),
                offset_s=self._spotter.time_of(interval.offset_frame),
                known_s=frame.time_s,
                arrived_s=frame.arrived_s,
            )
            if interval.kind not in EXPRESSIONS:
                ready.append(each)
                continue
            frames = self._recent.cut(interval.onset_frame, interval.offset_frame)
            if frames is None:
                reason = "its first frames are not in memory any more"
            elif len(self._waiting) >= _MOST_WAITING and not is_patient:
                reason = f"{_MOST_WAITING} expressions wait for the classifier: this machine is too slow"
            else:
                self._waiting.append((each, self._worker.submit(self._classify, frames, interval, place)))
                continue
            ready.append(dataclasses.replace(each, answer=self._abstain(interval, reason)))
        return ready

    def _classify(self, frames: NumberedFrames, interval: Interval, place: str | None) -> Prediction:
        numbers, apex = frames.numbers, interval.apex_frame
        peak = None if apex is None else numbers.index(apex)
        try:
            answer = self._reader.predict_interval(frames, 0, len(frames) - 1, peak, face=place)
        except MerError as error:  # one clip is no reason to end a session
            return self._abstain(interval, str(error))
        return dataclasses.replace(
            answer,
            onset_frame=numbers[0],
            offset_frame=numbers[-1],
            frames_used=tuple(numbers[index] for index in answer.frames_used),
        )

    def _abstain(self, interval: Interval, reason: str) -> Prediction:
        return Prediction.without_answer(
            reason,
            provenance=self._model.description.provenance,
            onset_frame=interval.onset_frame,
            offset_frame=interval.offset_frame,
        )
