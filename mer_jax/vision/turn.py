"""Frames that lie on their side or upside down: finding out, and turning them upright."""

from collections import Counter
from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from mer_jax.vision.frames import Frame, FrameSource, GrayFrame, WrappedFrames
from mer_jax.vision.landmarks import FaceLandmarker, roll_degrees
from mer_jax.vision.libraries import cv2

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_AUTO_PICTURES = 4  # frames that `auto` examines
_FEWEST_VOTES = 2


class TurnedFrames(WrappedFrames):
    """Frames of another source, turned clockwise.

    Args:
        source: The other source.
        degrees: 90, 180 or 270.
    """

    def __init__(self, source: FrameSource, degrees: int) -> None:
        super().__init__(source)
        self._rotation = _ROTATIONS[degrees]
        self._degrees = degrees

    @property
    def corrections(self) -> tuple[str, ...]:
        """Those of the source, and the rotation."""
        return (*self._source.corrections, f"frames are turned by {self._degrees} degrees clockwise")

    def __getitem__(self, index: SupportsIndex) -> Frame:
        return cv2.rotate(self._source[index], self._rotation)

    def gray(self, index: SupportsIndex) -> GrayFrame:
        """Returns frame `index` as luma."""
        return cv2.rotate(self._source.gray(index), self._rotation)


def turn_frames(frames: FrameSource, turn: str, landmarker: FaceLandmarker) -> FrameSource:
    """Turns all frames as the options say.

    Args:
        frames: The clip.
        turn: `VisionOptions.turn`.
        landmarker: Detects the faces that `auto` decides by.
    """
    if turn == "auto":
        chosen = np.unique(np.linspace(0, len(frames) - 1, _AUTO_PICTURES).round().astype(int)).tolist()
        degrees = find_turn((frames[index] for index in chosen), landmarker)
    else:
        degrees = 0 if turn == "none" else int(turn)
    return TurnedFrames(frames, degrees) if degrees else frames


def find_turn(pictures: Iterable[Frame], landmarker: FaceLandmarker) -> int:
    """Finds out how frames have to be turned so that the face in them is upright.

    The detector fits an upright mesh to every third upside-down face, but follows faces that lie on their side. So each
    frame is examined in all four orientations, each of which votes for an orientation of the face in the frame; at
    most one of the four can be wrong in this way.

    Args:
        pictures: A few frames of one clip.
        landmarker: Detects the faces.

    Returns:
        Degrees clockwise: 90, 180 or 270; 0 if the face is upright, or no majority of the votes says otherwise.
    """
    votes: Counter[int] = Counter()
    for picture in pictures:
        for turned in (0, *_ROTATIONS):
            face = landmarker.detect(cv2.rotate(picture, _ROTATIONS[turned]) if turned else picture)
            if face is not None:
                votes[round((turned - roll_degrees(face.ibug)) / 90) * 90 % 360] += 1
    if not votes:
        return 0
    (turn, count), total = votes.most_common(1)[0], votes.total()
    return turn if count >= _FEWEST_VOTES and 2 * count > total else 0
