"""`frames.csv`: one row a frame and face, under the column names of OpenFace and py-feat; row by row.

`frame` is 0-based, as in py-feat (OpenFace counts from 1); `timestamp` is in seconds from the first frame. A frame
without a face has a row with `success` 0. `confidence` and `FaceScore` are 1 where the face was detected in this frame,
0 where its box is held from an earlier one: from 30 frames per second on, not every one is searched.
"""

import csv
from collections.abc import Sequence
from io import TextIOBase

from mer_jax.prediction.video import PredictedVideo, WatchedFace

COLUMNS = (
    "frame", "face_id", "timestamp", "confidence", "success", "FaceRectX", "FaceRectY", "FaceRectWidth",
    "FaceRectHeight", "FaceScore", "motion", "interval",
)  # fmt: skip


class FramesWriter:
    """Writes the rows.

    Attributes:
        video: The same, which may get other face numbers while it is written.

    Args:
        file: Opened with `newline=""`.
        video: Its intervals give the probabilities of the frames inside them.
    """

    def __init__(self, file: TextIOBase, video: PredictedVideo):
        self._writer = csv.writer(file, lineterminator="\n")
        self.video = video
        self._writer.writerow([*COLUMNS, *(f"p_{name}" for name in video.class_names)])

    def write(self, index: int, faces: Sequence[WatchedFace]) -> None:
        """Writes the rows of one frame; an interval is in the row of its face, or in that of the first.

        Args:
            index: Number of the frame, 0-based.
            faces: Its faces.
        """
        time = f"{self.video.times_s[index]:.6f}"
        for face in faces:
            left, top, right, bottom = face.box
            score = int(face.is_detected)
            motion = "" if face.motion is None else f"{face.motion:.3f}"
            box = [f"{value:.1f}" for value in (left, top, right - left, bottom - top)]
            inside = self._inside(index, face.face_id)
            self._writer.writerow([index, face.face_id, time, score, 1, *box, score, motion, *inside])
        if not faces:
            self._writer.writerow([index, "", time, 0, 0, *[""] * 6, *self._inside(index, None)])

    def _inside(self, index: int, face_id: int | None) -> list[str]:
        for number, each in enumerate(self.video.intervals):
            interval = each.interval
            is_inside = interval.onset_frame <= index <= interval.offset_frame
            if is_inside and face_id in (None, interval.face_id):
                shares = [each.prediction.probabilities.get(name) for name in self.video.class_names]
                return [str(number), *("" if share is None else f"{share:.6f}" for share in shares)]
        return [""] * (1 + len(self.video.class_names))
