"""One pass over a video: its faces are followed, and their movements spotted, in constant memory."""

import collections
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from mer_jax.prediction.video import WatchedFace, watch_faces
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import Interval
from mer_jax.vision.frames import Frame, FrameSource
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2

OnFaces = Callable[[int, Sequence[WatchedFace]], None]


class PlacedSpotter:
    """Spots the movements of all faces of frames that come one by one, and says which face each is of.

    Args:
        spotter: Whose thresholds apply; None takes the defaults.
    """

    def __init__(self, spotter: FaceSpotter | None = None):
        self._spotter = spotter or FaceSpotter()
        options = self._spotter.options
        self._kept_s = options.window_s + options.hop_s
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
    times_s: Float64[np.ndarray, " t"],
    *,
    spotter: FaceSpotter | None = None,
    on_faces: OnFaces = lambda index, faces: None,
) -> dict[Interval, str | None]:
    """Spots the movements of all faces of a video.

    Args:
        frames: The video, upright.
        landmarker: Detects the faces.
        times_s: Time of each frame, from `read_times`.
        spotter: Whose thresholds apply; None takes the defaults.
        on_faces: Called after each frame with its number and its faces.

    Returns:
        The intervals in the order of their onsets, each with the place of its face as from `PlacedSpotter.push`.
    """
    placed = PlacedSpotter(spotter)
    found: dict[Interval, str | None] = {}
    for index, frame, faces in watch_faces(frames, landmarker, times_s):
        found |= placed.push(index, float(times_s[index]), frame, faces)
        on_faces(index, faces)
    found |= placed.finish()
    return {each: found[each] for each in sorted(found, key=lambda each: (each.onset_frame, each.offset_frame))}
