"""What a model answers about one video: the one value that every file, table and page is written from."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

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
        mark = "SURROGATE " if answer.provenance == "surrogate" else ""
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


def read_times(frames: FrameSource, frame_rate: float | None = None) -> Float64[np.ndarray, " t"]:
    """Returns the time of each frame in seconds, from 0.

    Args:
        frames: The video.
        frame_rate: Frames per second, for a source without times, such as a folder; it overrules times.

    Raises:
        ConfigError: The source has no times, and there is no rate.
    """
    if frame_rate is not None:
        return np.arange(len(frames)) / frame_rate
    times = frames.timestamps_s
    if times is None:
        raise ConfigError(f"{frames.name} has frames without times; expected --frame_rate, such as --frame_rate 200")
    return np.asarray(times - times[0], np.float64)


def frame_duration(times_s: Float64[np.ndarray, " t"]) -> float:
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
    faces: Mapping[Interval, str | None] | None = None,
    spotted: bool = False,
    reader: ClipReader | None = None,
    on_interval: Callable[[int, int], None] = lambda done, total: None,
) -> PredictedVideo:
    """Classifies intervals of a video, each on its own frames.

    Args:
        model: The model.
        frames: The video.
        intervals: Where to look; None takes the whole as one clip. Blinks, glances, speech and turns are passed on and
            not classified.
        name: For the user.
        path: Of the file.
        times_s: From `read_times`.
        faces: Of some intervals, whom to follow; see `VisionOptions.face`. None and the others: as the reader does.
        spotted: Whether a spotter found the intervals.
        reader: Prepares clips; None takes that of the model.
        on_interval: Called after each interval with the number done and to do.

    Raises:
        ConfigError: An interval that the video does not have.
        DecodeError: A frame that is needed cannot be decoded.
        ModelError: See `TrainedModel.reader`.
    """
    if len(frames) < 2:
        raise DecodeError(f"{name} has {len(frames)} frame; expected a clip of 2 or more")
    if intervals is None:
        intervals = [Interval(onset_frame=0, offset_frame=len(frames) - 1, kind=WHOLE)]
    reader = reader or model.reader()
    remembered = RememberedFrames(frames)  # the frames of an interval are read several times
    frame_s = frame_duration(times_s)
    predicted = []
    for number, each in enumerate(sorted(intervals, key=lambda each: (each.onset_frame, each.offset_frame)), 1):
        lasts_s = float(times_s[each.offset_frame] - times_s[each.onset_frame]) + frame_s
        if each.kind in OTHER_MOVEMENTS:
            answer = _unasked(each, model.description.provenance)
        else:
            answer = reader.predict_interval(
                remembered, each.onset_frame, each.offset_frame, each.apex_frame, face=(faces or {}).get(each)
            )
        if not spotted and (reason := find_too_long(lasts_s)):
            answer = dataclasses.replace(answer, label=None, abstained=(*answer.abstained, reason))
        predicted.append(
            PredictedInterval(
                interval=each,
                prediction=answer,
                onset_s=float(times_s[each.onset_frame]),
                apex_s=None if each.apex_frame is None else float(times_s[each.apex_frame]),
                offset_s=float(times_s[each.offset_frame]),
                end_s=float(times_s[each.offset_frame]) + frame_s,
            )
        )
        on_interval(number, len(intervals))
    height, width = frames[0].shape[:2]
    return PredictedVideo(
        name=name,
        path=path,
        times_s=times_s,
        frame_s=frame_s,
        width=width,
        height=height,
        intervals=tuple(predicted),
        corrections=tuple(frames.corrections),
        model=model.description.name,
        class_names=model.class_names,
        provenance=model.description.provenance,
        threshold=model.description.threshold,
        spotted=spotted,
    )


def _unasked(interval: Interval, provenance: str) -> Prediction:
    return Prediction.without_answer(
        f"{interval.kind}: not classified",
        provenance=provenance,
        onset_frame=interval.onset_frame,
        offset_frame=interval.offset_frame,
    )


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
    frames: FrameSource, landmarker: FaceLandmarker, times_s: Float64[np.ndarray, " t"]
) -> Iterator[tuple[int, Frame, tuple[WatchedFace, ...]]]:
    """Follows the faces through a video, one frame at a time and in constant memory.

    Args:
        frames: The video.
        landmarker: Detects the faces.
        times_s: Time of each frame, from `read_times`; from 25 frames per second on, faces are detected in some only.

    Yields:
        Number of the frame, the frame, and its faces in the order of their numbers.
    """
    watcher = FaceWatcher(landmarker)
    for index in range(len(frames)):
        frame = frames[index]
        yield index, frame, watcher.watch(float(times_s[index]), frame)


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
