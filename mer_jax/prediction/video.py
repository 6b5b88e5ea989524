"""What a model answers about one video: the one value that every file, table and page is written from."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64

from mer_jax.data.provenance import surrogate_mark
from mer_jax.errors import ConfigError, DecodeError
from mer_jax.prediction.clip import ClipReader
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.result import Prediction
from mer_jax.spotting.interval import OTHER_MOVEMENTS, WHOLE, Interval
from mer_jax.vision.frames import Frame, FrameSource
from mer_jax.vision.landmarks import FaceLandmarker, Landmarks
from mer_jax.vision.libraries import cv2
from mer_jax.vision.remembered import RememberedFrames
from mer_jax.vision.tracks import follow_face

Clock = Callable[[int], float]  # number of a frame -> its time in seconds since the first

_DETECTIONS_PER_S = 12.5  # from twice this rate on, boxes are held in between
_MOTION_SIZE = (64, 64)  # of the face, for the curve of its motion
_LONGEST_S = 4.0  # an expression of the face lasts half a second to four seconds, a micro-expression less
_FORGOTTEN_S = 2.0  # a face that was away for longer is a new one


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictedInterval:
    """One interval with its answer. Times are seconds from the first frame of the video.

    Attributes:
        interval: Frames, kind and score.
        prediction: The answer.
        onset_s: Time of the first frame.
        apex_s: Time of the apex; None if it is unknown.
        offset_s: Time of the last frame.
        end_s: When the last frame ends: the end in annotation programs.
    """

    interval: Interval
    prediction: Prediction
    onset_s: float
    apex_s: float | None
    offset_s: float
    end_s: float

    @property
    def is_classified(self) -> bool:
        """Whether the model was asked: not of a blink, a glance, speech or a turn."""
        return self.interval.kind not in OTHER_MOVEMENTS

    @property
    def text(self) -> str:
        """Kind, label and confidence, as annotations show them; of movements that are not classified, the kind.

        The mark SURROGATE is part of it where the model was trained on rendered faces.
        """
        if not self.is_classified:
            return self.interval.kind
        answer = self.prediction
        mark = surrogate_mark(answer.provenance, after=" ")
        return f"{mark}{self.interval.kind}: {answer.shown_label} {answer.confidence:.2f}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictedVideo:
    """All intervals of one video.

    Attributes:
        name: As the user sees it.
        path: The file or folder, absolute.
        times_s: Time of each frame in seconds, from 0.
        frame_s: Duration of a frame: the median distance between two.
        width: Of the frames, pixels.
        height: Of the frames, pixels.
        intervals: In the order of their onset.
        corrections: What was corrected in every frame.
        model: Name of the model.
        class_names: Of the model.
        provenance: Of what the model was trained on.
        threshold: Confidence below which there is no answer.
        spotted: Whether the intervals were spotted.
        frames_with_face: Number of frames that show a face; None before all of them were looked at.
    """

    name: str
    path: str
    times_s: Float64[np.ndarray, " t"]
    frame_s: float
    width: int
    height: int
    intervals: tuple[PredictedInterval, ...]
    corrections: tuple[str, ...]
    model: str
    class_names: tuple[str, ...]
    provenance: str
    threshold: float
    spotted: bool = False
    frames_with_face: int | None = None

    @property
    def duration_s(self) -> float:
        """From the beginning of the first to the end of the last frame."""
        return float(self.times_s[-1]) + self.frame_s

    @property
    def face_ids(self) -> tuple[int, ...]:
        """Numbers of the faces with an interval."""
        return tuple(sorted({each.interval.face_id for each in self.intervals}))


@dataclasses.dataclass(frozen=True)
class WatchedFace:
    """One face in one frame.

    Attributes:
        face_id: Number of the face, from 0 in the order of their first frames, the widest first.
        box: Left, top, right and bottom, pixels.
        is_detected: Whether it was detected in this frame, rather than held from an earlier one.
        motion: Mean difference of its gray levels to the frame before, 0 to 255; None in its first frame.
        landmarks: Those of this frame; None where the box is held.
    """

    face_id: int
    box: tuple[float, float, float, float]
    is_detected: bool
    motion: float | None
    landmarks: Landmarks | None = None


def read_clock(frames: FrameSource, frame_rate: float | None = None) -> Clock:
    """Returns a function that maps a frame index to its time in seconds from the start of the video.

    It decodes only up to that frame.

    Args:
        frames: The video.
        frame_rate: Frames per second, for a source without times, such as a folder; it overrules times.

    Raises:
        ConfigError: The source has no times, and there is no rate.
    """
    if frame_rate is not None:
        return lambda index: index / frame_rate
    first_s = frames.time_s(0)
    if first_s is None:
        raise ConfigError(f"{frames.name} has frames without times; expected --frame_rate, such as --frame_rate 200")

    def clock(index: int) -> float:
        time_s = frames.time_s(index)
        assert time_s is not None  # the first frame has one
        return time_s - first_s

    return clock


def read_times(frames: FrameSource, frame_rate: float | None = None) -> Float64[np.ndarray, " t"]:
    """Returns the time of every frame in seconds from the start of the video; see `read_clock`."""
    return np.array([*map(read_clock(frames, frame_rate), range(len(frames)))], np.float64)


def frame_duration(times_s: Sequence[float] | Float64[np.ndarray, " t"]) -> float:
    """Returns the duration of a frame, in seconds: the median distance between two.

    Args:
        times_s: Time of each frame; two or more.
    """
    return float(np.median(np.diff(times_s)))


def find_too_long(lasts_s: float) -> str:
    """Returns why frames of this duration, in seconds, cannot be one expression; "" where they can."""
    if lasts_s <= _LONGEST_S:
        return ""
    return f"{lasts_s:.1f} s from onset to offset; one expression lasts {_LONGEST_S:.0f} s at most"


def predict_video(
    model: TrainedModel,
    frames: FrameSource,
    intervals: Sequence[Interval] | None = None,
    *,
    name: str,
    path: str,
    times_s: Float64[np.ndarray, " t"],
    reader: ClipReader | None = None,
    on_interval: Callable[[PredictedInterval], None] = lambda predicted: None,
) -> PredictedVideo:
    """Classifies intervals of a video, each on its own frames.

    Args:
        model: The model.
        frames: The video.
        intervals: Where to look; None takes the whole as one clip.
        name: For the user.
        path: Of the file.
        times_s: From `read_times`.
        reader: Prepares clips; None takes that of the model.
        on_interval: Called with each interval as soon as it has its answer.

    Raises:
        ConfigError: An interval that the video does not have.
        DecodeError: A frame that is needed cannot be decoded.
        ModelError: See `TrainedModel.reader`.
    """
    check_length(frames, name)
    if intervals is None:
        intervals = [Interval(onset_frame=0, offset_frame=len(frames) - 1, kind=WHOLE)]
    reader = reader or model.reader()
    remembered = RememberedFrames(frames)  # the frames of an interval are read several times
    frame_s = frame_duration(times_s)
    predicted = []
    for each in sorted(intervals, key=_place):
        one = predict_interval(reader, remembered, each, times_s.__getitem__, frame_s=frame_s)
        if reason := find_too_long(one.end_s - one.onset_s):
            answer = one.prediction
            answer = dataclasses.replace(answer, label=None, abstained=(*answer.abstained, reason))
            one = dataclasses.replace(one, prediction=answer)
        predicted.append(one)
        on_interval(one)
    return describe_video(model, frames, predicted, name=name, path=path, times_s=times_s, spotted=False)


def check_length(frames: FrameSource, name: str) -> None:
    """Raises `DecodeError` unless a video has two frames or more."""
    if not frames.holds(1):
        raise DecodeError(f"{name} has {len(frames)} frame; expected a clip of 2 or more")


def predict_interval(
    reader: ClipReader,
    frames: FrameSource,
    interval: Interval,
    clock: Clock,
    *,
    frame_s: float,
    face: str | None = None,
) -> PredictedInterval:
    """Classifies one interval of a video; blinks, glances, speech and turns are passed on.

    Args:
        reader: Prepares clips, and asks the model.
        frames: The video.
        interval: Where.
        clock: Time of its frames.
        frame_s: Duration of a frame in seconds.
        face: Whom to follow, see `VisionOptions.face`; None takes that of the reader.

    Raises:
        ConfigError: An interval that the video does not have.
        DecodeError: A frame that is needed cannot be decoded.
    """
    first, apex, last = interval.onset_frame, interval.apex_frame, interval.offset_frame
    if interval.kind in OTHER_MOVEMENTS:
        answer = Prediction.without_answer(
            f"{interval.kind}: not classified", provenance=reader.provenance, onset_frame=first, offset_frame=last
        )
    else:
        answer = reader.predict_interval(frames, first, last, apex, face=face)
    return PredictedInterval(
        interval=interval,
        prediction=answer,
        onset_s=float(clock(first)),
        apex_s=None if apex is None else float(clock(apex)),
        offset_s=float(clock(last)),
        end_s=float(clock(last)) + frame_s,
    )


def describe_video(
    model: TrainedModel,
    frames: FrameSource,
    intervals: Sequence[PredictedInterval],
    *,
    name: str,
    path: str,
    times_s: Float64[np.ndarray, " t"],
    spotted: bool,
) -> PredictedVideo:
    """Builds the `PredictedVideo` from its predicted intervals.

    Args:
        model: What answered.
        frames: The video.
        intervals: In any order; their ends follow from `times_s`.
        name: For the user.
        path: Of the file.
        times_s: From `read_times`.
        spotted: Whether a spotter found the intervals.
    """
    frame_s = frame_duration(times_s)
    ends = [dataclasses.replace(each, end_s=each.offset_s + frame_s) for each in intervals]
    height, width = frames[0].shape[:2]
    return PredictedVideo(
        name=name,
        path=path,
        times_s=times_s,
        frame_s=frame_s,
        width=width,
        height=height,
        intervals=tuple(sorted(ends, key=lambda each: _place(each.interval))),
        corrections=tuple(frames.corrections),
        model=model.description.name,
        class_names=model.class_names,
        provenance=model.description.provenance,
        threshold=model.description.threshold,
        spotted=spotted,
    )


def _place(interval: Interval) -> tuple[int, int]:
    return interval.onset_frame, interval.offset_frame


class FaceWatcher:
    """Follows the faces of frames that come one by one, at any rate, also a varying one, in constant memory.

    Args:
        landmarker: Detects the faces.
    """

    def __init__(self, landmarker: FaceLandmarker):
        self._landmarker = landmarker
        self._known: dict[int, Landmarks] = {}
        self._seen_s: dict[int, float] = {}  # time of the last detection
        self._patches: dict[int, np.ndarray] = {}
        self._next_id = 0
        self._looked_s = self._before_s = -np.inf

    def watch(self, time_s: float, frame: Frame) -> tuple[WatchedFace, ...]:
        """Returns the faces of the next frame in the order of their numbers.

        From 25 frames per second on, faces are detected in some of them only.

        Args:
            time_s: Its time; increases from frame to frame.
            frame: RGB.
        """
        next_s = time_s + (time_s - self._before_s)  # of the next frame, if it comes as this one did
        self._before_s = time_s
        is_looked_at = next_s - self._looked_s > 1 / _DETECTIONS_PER_S + 1e-6
        if is_looked_at:
            self._looked_s = time_s
            self._look(time_s, frame)
        faces, fresh = [], {}
        for face_id, landmarks in sorted(self._known.items()):
            if self._seen_s[face_id] < self._looked_s:
                continue
            fresh[face_id] = _cut(frame, landmarks.box)
            before = self._patches.get(face_id)
            motion = None if before is None else float(np.abs(fresh[face_id] - before).mean())
            faces.append(WatchedFace(face_id, landmarks.box, is_looked_at, motion, landmarks if is_looked_at else None))
        self._patches = fresh
        return tuple(faces)

    def _look(self, time_s: float, frame: Frame) -> None:
        left = list(self._landmarker.detect_all(frame))
        for face_id in [each for each in self._known if time_s - self._seen_s[each] > _FORGOTTEN_S]:
            del self._known[face_id], self._seen_s[face_id]
        for face_id, before in self._known.items():
            if (face := follow_face(left, before)) is not None:
                self._known[face_id], self._seen_s[face_id] = face, time_s
                left = [each for each in left if each is not face]
        for face in left:
            self._known[self._next_id], self._seen_s[self._next_id] = face, time_s
            self._next_id += 1


def watch_faces(
    frames: FrameSource, landmarker: FaceLandmarker, clock: Clock
) -> Iterator[tuple[int, float, Frame, tuple[WatchedFace, ...]]]:
    """Follows the faces through a video, one frame at a time, in constant memory, and reading no further.

    Args:
        frames: The video.
        landmarker: Detects the faces.
        clock: Time of each frame; from 25 frames per second on, faces are detected in some only.

    Yields:
        Number of the frame, its time in seconds, the frame, and its faces in the order of their numbers.
    """
    watcher = FaceWatcher(landmarker)
    for index, frame in enumerate(frames):
        time_s = float(clock(index))
        yield index, time_s, frame, watcher.watch(time_s, frame)


def number_faces(video: PredictedVideo, index: int, faces: Sequence[WatchedFace]) -> PredictedVideo:
    """Gives intervals that begin in a frame the number of the face that was classified.

    Args:
        video: With intervals of any face numbers.
        index: The frame.
        faces: From `watch_faces`.
    """
    numbered = []
    for each in video.intervals:
        box = each.prediction.face_box
        used = each.prediction.frames_used
        if faces and box is not None and used and used[0] == index:
            nearest = min(faces, key=lambda face, box=box: _distance(face.box, box))
            each = dataclasses.replace(each, interval=dataclasses.replace(each.interval, face_id=nearest.face_id))
        numbered.append(each)
    return dataclasses.replace(video, intervals=tuple(numbered))


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return abs(one[0] + one[2] - other[0] - other[2]) + abs(one[1] + one[3] - other[1] - other[3])


def _cut(frame: Frame, box: tuple[float, float, float, float]) -> np.ndarray:
    height, width = frame.shape[:2]
    left, top = max(0, min(int(box[0]), width - 2)), max(0, min(int(box[1]), height - 2))
    right, bottom = max(left + 2, min(int(box[2]), width)), max(top + 2, min(int(box[3]), height))
    patch = cv2.resize(frame[top:bottom, left:right], _MOTION_SIZE, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
