"""One pass over a video: its faces are followed, and their movements spotted, in constant memory."""

import collections
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from mer_jax.prediction.video import WatchedFace, watch_faces
from mer_jax.spotting.faces import FaceSpotter
from mer_jax.spotting.interval import Interval
from mer_jax.vision.frames import FrameSource
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.libraries import cv2

OnFaces = Callable[[int, Sequence[WatchedFace]], None]


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
        The intervals in the order of their onsets, each with the place of its face from the left as in
        `VisionOptions.face`, None if it is alone in the frame of the onset.
    """
    spotter = spotter or FaceSpotter()
    kept_s = spotter.options.window_s + spotter.options.hop_s
    places: collections.deque[tuple[int, dict[int, float]]] = collections.deque()
    found: dict[Interval, str | None] = {}

    def add(intervals: Sequence[Interval]) -> None:
        for each in intervals:
            lefts = next((lefts for index, lefts in places if index >= each.onset_frame), {})
            order = sorted(lefts, key=lefts.__getitem__)
            is_one_of_several = len(order) > 1 and each.face_id in order
            found[each] = str(order.index(each.face_id) + 1) if is_one_of_several else None

    frame_s = float(np.median(np.diff(times_s)))
    for index, frame, faces in watch_faces(frames, landmarker, frame_s):
        time_s = float(times_s[index])
        places.append((index, {face.face_id: face.box[0] for face in faces}))
        while times_s[places[0][0]] < time_s - kept_s:
            places.popleft()
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        add(spotter.push(time_s, gray, {face.face_id: face.landmarks for face in faces}, frame=index))
        on_faces(index, faces)
    add(spotter.finish())
    return {each: found[each] for each in sorted(found, key=lambda each: (each.onset_frame, each.offset_frame))}
