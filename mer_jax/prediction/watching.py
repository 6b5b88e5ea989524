"""One pass over a video: faces are followed, their movements spotted and classified, in constant memory."""

import collections
from collections.abc import Callable, Sequence

import numpy as np

from mer_jax.prediction.clip import ClipReader
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.video import (
    Clock,
    PredictedInterval,
    PredictedVideo,
    WatchedFace,
    check_length,
    describe_video,
    frame_duration,
    predict_interval,
    watch_faces,
)
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import Interval
from mer_jax.vision.frames import Frame, FrameSource
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2
from mer_jax.vision.remembered import RememberedFrames

OnFrame = Callable[[float, Frame, Sequence[WatchedFace]], None]

_PASS_BYTES = 2**29  # 582 frames of 640x480
_MEDIAN_FRAMES = 1000  # by which the duration of a frame is told while a video is read


class PlacedSpotter:
    """Spots the movements of all faces of frames that come one by one, and says which face each is of.

    Args:
        spotter: Whose thresholds apply; None takes the defaults.
    """

    def __init__(self, spotter: FaceSpotter | None = None):
        self._spotter = spotter or FaceSpotter()
        self._kept_s = self._spotter.options.longest_wait_s
        self._places: collections.deque[tuple[int, float, dict[int, float]]] = collections.deque()

    def push(self, index: int, time_s: float, frame: Frame, faces: Sequence[WatchedFace]) -> dict[Interval, str | None]:
        """Takes the next frame.

        Args:
            index: Its number, 0-based; increases.
            time_s: Its time in seconds; increases.
            frame: RGB.
            faces: Its faces.

        Returns:
            Intervals that are certain now in the order of their onsets, each with the place of its face from the left
            as in `VisionOptions.face`, None if it is alone in the frame of the onset.
        """
        self._places.append((index, time_s, {face.face_id: face.box[0] for face in faces}))
        while self._places[0][1] < time_s - self._kept_s:
            self._places.popleft()
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        landmarks = {face.face_id: face.landmarks for face in faces}
        return self._place(self._spotter.push(time_s, gray, landmarks, frame=index))

    def finish(self) -> dict[Interval, str | None]:
        """Returns the intervals of the last seconds; call it after the last frame."""
        return self._place(self._spotter.finish())

    def time_of(self, index: int) -> float:
        """Returns the time of a frame of the last seconds.

        Args:
            index: Its number; that of a dropped frame has the time of the next one.
        """
        return next((time_s for number, time_s, _ in self._places if number >= index), self._places[-1][1])

    def _place(self, intervals: Sequence[Interval]) -> dict[Interval, str | None]:
        placed: dict[Interval, str | None] = {}
        for each in intervals:
            lefts = next((lefts for index, _, lefts in self._places if index >= each.onset_frame), {})
            order = sorted(lefts, key=lefts.__getitem__)
            is_one_of_several = len(order) > 1 and each.face_id in order
            placed[each] = str(order.index(each.face_id) + 1) if is_one_of_several else None
        return placed


def spot_video(
    frames: FrameSource,
    landmarker: FaceLandmarker,
    clock: Clock,
    *,
    spotter: FaceSpotter | None = None,
    on_frame: OnFrame = lambda time_s, frame, faces: None,
    on_interval: Callable[[Interval, str | None], None] = lambda interval, place: None,
) -> dict[Interval, str | None]:
    """Spots the movements of all faces of a video while it is read.

    Args:
        frames: The video, upright.
        landmarker: Detects the faces.
        clock: Time of each frame.
        spotter: Whose thresholds apply; None takes the defaults.
        on_frame: Called after each frame with its time in seconds, the frame and its faces.
        on_interval: Called with each interval and the place of its face as soon as it is certain.

    Returns:
        The intervals in the order of their onsets, each with the place of its face as from `PlacedSpotter.push`.
    """
    placed = PlacedSpotter(spotter)
    found: dict[Interval, str | None] = {}

    def take(new: dict[Interval, str | None]) -> None:
        found.update(new)
        for each, place in new.items():
            on_interval(each, place)

    for index, time_s, frame, faces in watch_faces(frames, landmarker, clock):
        take(placed.push(index, time_s, frame, faces))
        on_frame(time_s, frame, faces)
    take(placed.finish())
    return {each: found[each] for each in sorted(found, key=lambda each: (each.onset_frame, each.offset_frame))}


def spot_and_predict(
    model: TrainedModel,
    frames: FrameSource,
    clock: Clock,
    *,
    name: str,
    path: str,
    reader: ClipReader | None = None,
    spotter: FaceSpotter | None = None,
    on_frame: OnFrame = lambda time_s, frame, faces: None,
    on_interval: Callable[[PredictedInterval], None] = lambda predicted: None,
) -> PredictedVideo:
    """Spots the movements of all faces of a video and classifies its expressions, in one pass and constant memory.

    Args:
        model: The model.
        frames: The video, upright.
        clock: Time of each frame.
        name: For the user.
        path: Of the file.
        reader: Prepares clips; None takes that of the model.
        spotter: Whose thresholds apply; None takes the defaults.
        on_frame: Called after each frame with its time in seconds, the frame and its faces.
        on_interval: Called with each interval as soon as it is certain and has its answer. Its end may still change by
            a part of a frame where frames do not all last as long.

    Raises:
        DecodeError: There are fewer than two frames, or one cannot be decoded.
        ModelError: See `TrainedModel.reader`.
    """
    check_length(frames, name)
    asked = reader or model.reader()
    recent = RememberedFrames(frames, usual_bytes=_PASS_BYTES)  # an expression is certain seconds after its last frame
    times: list[float] = []
    predicted: list[PredictedInterval] = []

    def watch(time_s: float, frame: Frame, faces: Sequence[WatchedFace]) -> None:
        times.append(time_s)
        on_frame(time_s, frame, faces)

    def classify(interval: Interval, place: str | None) -> None:
        each = predict_interval(
            asked, recent, interval, clock, frame_s=frame_duration(times[-_MEDIAN_FRAMES:]), face=place
        )
        predicted.append(each)
        on_interval(each)

    spot_video(recent, asked.landmarker, clock, spotter=spotter, on_frame=watch, on_interval=classify)
    return describe_video(model, frames, predicted, name=name, path=path, times_s=np.array(times), spotted=True)
