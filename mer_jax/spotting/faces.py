"""Spotting in the frames of a video with one face or several."""

from collections.abc import Mapping

from mer_jax.spotting.interval import Interval
from mer_jax.spotting.options import SpottingOptions
from mer_jax.spotting.spotter import Spotter
from mer_jax.vision.frames import GrayFrame
from mer_jax.vision.landmarks import Landmarks
from mer_jax.vision.region_motion import RegionTracker


class FaceSpotter:
    """Follows every face of a video and spots its movements; one tracker and one spotter a face.

    A face that is away until all its movements are certain is forgotten: whoever comes back later is a new one.

    Attributes:
        options: Thresholds.

    Args:
        options: Thresholds; None takes the defaults.
    """

    def __init__(self, options: SpottingOptions | None = None):
        self.options = options or SpottingOptions()
        self._faces: dict[int, tuple[RegionTracker, Spotter]] = {}
        self._seen_s: dict[int, float] = {}

    def push(
        self, time_s: float, gray: GrayFrame, faces: Mapping[int, Landmarks | None], *, frame: int
    ) -> list[Interval]:
        """Takes the next frame.

        Args:
            time_s: Its time in seconds; increases from frame to frame.
            gray: The frame.
            faces: The faces in it by their numbers: the landmarks if they were detected in this frame, None if the face
                is held from an earlier one. Detect each face at least 12.5 times a second, so that blinks are
                seen: `FaceWatcher` does, where a video has as many frames.
            frame: Its number, 0-based.

        Returns:
            Intervals that are certain now, in the order of their onsets.
        """
        found = []
        for face_id, face in faces.items():
            if face_id not in self._faces:
                self._faces[face_id] = RegionTracker(), Spotter(self.options, face_id=face_id)
            self._seen_s[face_id] = time_s
            tracker, spotter = self._faces[face_id]
            found += spotter.push(time_s, tracker.track(gray, time_s, face), frame=frame)
        for face_id in [each for each in self._faces if each not in faces]:
            tracker, spotter = self._faces[face_id]
            tracker.lose()
            if time_s - self._seen_s[face_id] <= self.options.delay_s + self.options.hop_s:
                found += spotter.push(time_s, None, frame=frame)
            else:  # all that it did is certain
                found += spotter.finish()
                del self._faces[face_id], self._seen_s[face_id]
        return sorted(found, key=lambda each: (each.onset_frame, each.offset_frame))

    def finish(self) -> list[Interval]:
        """Returns the intervals of the last seconds; call it after the last frame."""
        found = [each for _, spotter in self._faces.values() for each in spotter.finish()]
        return sorted(found, key=lambda each: (each.onset_frame, each.offset_frame))
