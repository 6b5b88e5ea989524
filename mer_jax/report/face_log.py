"""The faces of every frame, kept in a file while a video is watched: memory does not grow with its length."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from mer_jax.export.frames_csv import format_face, read_face
from mer_jax.prediction.video import WatchedFace
from mer_jax.report.timeline import MotionCurve

_NAME = ".faces.part.csv"


class FaceLog:
    """Collects the faces of a video, and hands them out again, frame by frame.

    Attributes:
        curve: Motion of the faces.
        num_frames: Frames that were added.
        num_with_face: Those of them that show a face.

    Args:
        folder: For its file, which is removed in the end.
    """

    def __init__(self, folder: Path):
        self._path, self.num_frames, self.num_with_face = folder / _NAME, 0, 0
        self.curve = MotionCurve()

    def __enter__(self) -> "FaceLog":
        self._file = self._path.open("w", newline="")
        self._writer = csv.writer(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # writes what is left, for which a full disk has no room
        finally:
            self._path.unlink(missing_ok=True)

    def add(self, time_s: float, faces: Sequence[WatchedFace]) -> None:
        """Adds the faces of the next frame.

        Args:
            time_s: Time of the frame, seconds from the first.
            faces: Its faces.
        """
        for face in faces:
            self._writer.writerow([self.num_frames, *format_face(face)])
            if face.motion is not None:
                self.curve.add(face.face_id, time_s, face.motion)
        self.num_frames += 1
        self.num_with_face += bool(faces)

    def frames(self) -> Iterator[tuple[int, tuple[WatchedFace, ...]]]:
        """Yields the number of every frame that was added, from 0, and its faces."""
        self._file.flush()
        with self._path.open(newline="") as file:
            rows = csv.reader(file)
            row = next(rows, None)
            for index in range(self.num_frames):
                faces = []
                while row is not None and int(row[0]) == index:
                    faces.append(read_face(row[1:]))
                    row = next(rows, None)
                yield index, tuple(faces)
