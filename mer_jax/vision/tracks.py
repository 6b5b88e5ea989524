"""Face tracking: linking faces from frame to frame, among several and across gaps.

It does not recognise people. A face continues the track whose last position and size it fits best, however long ago
that was: someone who leaves and returns to the same seat is one track, someone who returns elsewhere is two.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mer_jax.errors import SeveralFacesError
from mer_jax.vision.frame_runs import frame_runs
from mer_jax.vision.landmarks import Landmarks

# A face belongs to a track if its centre has moved by less than this many face widths since the track's last frame and
# its width has changed by less than this factor. Two people side by side are 1 to 1.5 widths apart.
_FARTHEST_WIDTHS = 0.7
_LARGEST_GROWTH = 1.6


@dataclasses.dataclass(frozen=True)
class Track:
    """One face over time.

    Attributes:
        faces: Frame number, 0-based, to the face there, in temporal order; frames without it are absent.
    """

    faces: dict[int, Landmarks]

    @property
    def first_frame(self) -> int:
        """First frame with this face."""
        return next(iter(self.faces))

    @property
    def last_frame(self) -> int:
        """Last frame with this face."""
        return next(reversed(self.faces.keys()))

    @property
    def median_width_px(self) -> float:
        """Median width of the face, pixels of the frame."""
        return float(np.median([face.width_px for face in self.faces.values()]))

    def absences(self, frames: Sequence[int]) -> list[tuple[int, int]]:
        """Returns the (first, last) frames of each gap in the track.

        Args:
            frames: The examined frames, in temporal order.
        """
        absent = [index for index in frames if self.first_frame < index < self.last_frame and index not in self.faces]
        return frame_runs(absent, frames)


def link_faces(detections: Mapping[int, Sequence[Landmarks]]) -> list[Track]:
    """Links the faces of each frame into tracks, sorted by number of frames, then width, descending.

    Args:
        detections: Frame number to the faces detected there, in temporal order; empty for a frame without a face.
    """
    tracks: list[dict[int, Landmarks]] = []
    for frame, faces in detections.items():
        pairs = [
            (distance, number, index)
            for number, track in enumerate(tracks)
            for index, face in enumerate(faces)
            if (distance := _distance(track[next(reversed(track))], face)) is not None
        ]
        taken_tracks, taken_faces = set(), set()
        for _, number, index in sorted(pairs):
            if number not in taken_tracks and index not in taken_faces:
                tracks[number][frame] = faces[index]
                taken_tracks.add(number)
                taken_faces.add(index)
        tracks += [{frame: face} for index, face in enumerate(faces) if index not in taken_faces]
    return sorted(map(Track, tracks), key=lambda track: (-len(track.faces), -track.median_width_px))


def choose_face(faces: Sequence[Landmarks], choice: str, place: str) -> Landmarks | None:
    """Chooses a face in the first frame of a clip; None if the choice is not there.

    Args:
        faces: The faces of one frame, the widest first.
        choice: `VisionOptions.face`.
        place: Name of the frame, for the message.

    Raises:
        SeveralFacesError: The choice is `ask` and there are several faces.
    """
    if choice.isdecimal():
        ordered = sorted(faces, key=lambda face: face.box[0])
        return ordered[int(choice) - 1] if int(choice) <= len(ordered) else None
    if choice == "ask" and len(faces) > 1:
        raise SeveralFacesError(
            f"{len(faces)} faces in {place}: {describe_faces(faces)}. Choose one of them by its number "
            "(face='1'), or 'largest', or 'track', which follows the one that is largest at first."
        )
    return faces[0] if faces else None


def follow_face(faces: Sequence[Landmarks], previous: Landmarks) -> Landmarks | None:
    """Returns the face that continues `previous`, or None."""
    distances = [(distance, i) for i, face in enumerate(faces) if (distance := _distance(previous, face)) is not None]
    return faces[min(distances)[1]] if distances else None


def describe_faces(faces: Sequence[Landmarks]) -> str:
    """Describes faces for a message: number from the left, position and width.

    Example:
        >>> import numpy as np
        >>> mesh = np.zeros((478, 3), np.float32)
        >>> mesh[1:] = 80
        >>> describe_faces([Landmarks(mesh)])
        '1 at x 40, y 40, 80 px wide'
    """
    ordered = sorted(faces, key=lambda face: face.box[0])
    return "; ".join(
        f"{number} at x {(face.box[0] + face.box[2]) / 2:.0f}, y {(face.box[1] + face.box[3]) / 2:.0f}, "
        f"{face.width_px:.0f} px wide"
        for number, face in enumerate(ordered, 1)
    )


def _distance(before: Landmarks, now: Landmarks) -> float | None:
    """Returns how far a face has moved, in its own widths; None if it is another face."""
    size = max(before.width_px, now.width_px)
    if size > _LARGEST_GROWTH * min(before.width_px, now.width_px):
        return None
    distance = float(np.linalg.norm(now.mesh[:, :2].mean(axis=0) - before.mesh[:, :2].mean(axis=0))) / size
    return distance if distance < _FARTHEST_WIDTHS else None
