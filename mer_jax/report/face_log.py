"""The faces of every frame, kept in a file while a video is watched: memory does not grow with its length."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float64

from mer_jax.export.frames_csv import format_face, read_face
from mer_jax.prediction.video import WatchedFace
from mer_jax.report.timeline import MotionCurve

_NAME = ".faces.part.csv"


class FaceLog:
    """Collects the faces of a video, and hands them out again, frame by frame.

    Attributes:
        curve: Motion of the faces.

    Args:
        folder: For its file, which is removed in the end.
        times_s: Time of each frame.
        duration_s: Of the video.
    """

    def __init__(self, folder: Path, times_s: Float64[np.ndarray, " t"], duration_s: float):
        self._path, self._times_s = folder / _NAME, times_s
        self.curve = MotionCurve(duration_s)

    def __enter__(self) -> "FaceLog":
        self._file = self._path.open("w", newline="")
        self._writer = csv.writer(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, index: int, faces: Sequence[WatchedFace]) -> None:
        """Adds the faces of the next frame.

        Args:
            index: Number of the frame, 0-based.
            faces: Its faces.
        """
        for face in faces:
            self._writer.writerow([index, *format_face(face)])
            if face.motion is not None:
                self.curve.add(face.face_id, float(self._times_s[index]), face.motion)

    def frames(self) -> Iterator[tuple[int, tuple[WatchedFace, ...]]]:
        """Yields the number of every frame of the video and its faces."""
        self._file.flush()
        with self._path.open(newline="") as file:
            rows = csv.reader(file)
            row = next(rows, None)
            for index in range(len(self._times_s)):
                faces = []
                while row is not None and int(row[0]) == index:
                    faces.append(read_face(row[1:]))
                    row = next(rows, None)
                yield index, tuple(faces)
