"""`frames.csv`: one row a frame and face, under the column names of OpenFace and py-feat; row by row.

`frame` is 0-based, as in py-feat (OpenFace counts from 1); `timestamp` is in seconds from the first frame. A frame
without a face has a row with `success` 0. `confidence` and `FaceScore` are 1 where the face was detected in this frame,
0 where its box is held from an earlier one: from 25 frames per second on, not every one is searched.
"""

import csv
from collections.abc import Sequence
from io import TextIOBase

from mer_jax.prediction.video import PredictedInterval, PredictedVideo, WatchedFace

COLUMNS = (
    "frame", "face_id", "timestamp", "confidence", "success", "FaceRectX", "FaceRectY", "FaceRectWidth",
    "FaceRectHeight", "FaceScore", "motion", "interval",
)  # fmt: skip


class FramesWriter:
    """Writes the rows.

    Args:
        file: Opened with `newline=""`.
        video: Its intervals give the probabilities of the frames inside them.
    """

    def __init__(self, file: TextIOBase, video: PredictedVideo):
        self._writer = csv.writer(file, lineterminator="\n")
        self._video, self._finder = video, IntervalFinder(video)
        self._writer.writerow([*COLUMNS, *(f"p_{name}" for name in video.class_names)])

    def write(self, index: int, faces: Sequence[WatchedFace]) -> None:
        """Writes the rows of one frame; an interval is in the row of its face, or in that of the first.

        Args:
            index: Number of the frame, 0-based; increases from call to call.
            faces: Its faces.
        """
        time = f"{self._video.times_s[index]:.6f}"
        inside = self._finder.find(index)
        for face in faces:
            left, top, right, bottom = face.box
            score = int(face.is_detected)
            motion = "" if face.motion is None else f"{face.motion:.3f}"
            box = [f"{value:.1f}" for value in (left, top, right - left, bottom - top)]
            own = self._describe([each for each in inside if each[1].interval.face_id == face.face_id])
            self._writer.writerow([index, face.face_id, time, score, 1, *box, score, motion, *own])
        if not faces:
            self._writer.writerow([index, "", time, 0, 0, *[""] * 6, *self._describe(inside)])

    def _describe(self, inside: Sequence[tuple[int, PredictedInterval]]) -> list[str]:
        if not inside:
            return [""] * (1 + len(self._video.class_names))
        number, each = min(inside, key=lambda one: (not one[1].is_classified, one[0]))  # an expression before a blink
        shares = [each.prediction.probabilities.get(name) for name in self._video.class_names]
        return [str(number), *("" if share is None else f"{share:.6f}" for share in shares)]


class IntervalFinder:
    """Looks up the intervals that contain a frame, for frames in order, without scanning all intervals.

    Args:
        video: Its intervals are in the order of their onsets.
    """

    def __init__(self, video: PredictedVideo):
        self._intervals = video.intervals
        self._next, self._open = 0, list[tuple[int, PredictedInterval]]()

    def find(self, index: int) -> Sequence[tuple[int, PredictedInterval]]:
        """Returns the intervals of a frame, each with its number in the video.

        Args:
            index: Number of the frame, 0-based; increases from call to call.
        """
        while self._next < len(self._intervals) and self._intervals[self._next].interval.onset_frame <= index:
            self._open.append((self._next, self._intervals[self._next]))
            self._next += 1
        self._open = [each for each in self._open if each[1].interval.offset_frame >= index]
        return self._open


def format_face(face: WatchedFace) -> list[str]:
    """Returns a face as cells that `read_face` reads; its landmarks are left out.

    Args:
        face: A face of one frame.
    """
    motion = "" if face.motion is None else repr(face.motion)
    return [str(face.face_id), *map(repr, face.box), str(int(face.is_detected)), motion]


def read_face(cells: Sequence[str]) -> WatchedFace:
    """Returns a face from its cells.

    Args:
        cells: From `format_face`.

    Example:
        >>> read_face(format_face(WatchedFace(1, (0.5, 1.0, 2.0, 3.0), True, None))).box
        (0.5, 1.0, 2.0, 3.0)
    """
    left, top, right, bottom = map(float, cells[1:5])
    motion = float(cells[6]) if cells[6] else None
    return WatchedFace(int(cells[0]), (left, top, right, bottom), cells[5] == "1", motion)
