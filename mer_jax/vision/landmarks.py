"""Face landmarks: MediaPipe's mesh of 478 points, and the 68 iBUG points derived from it."""

import ctypes
import dataclasses
import math
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from mer_jax.errors import FaceModelError
from mer_jax.vision.face_model import find_face_model
from mer_jax.vision.frames import Frame
from mer_jax.vision.libraries import cv2, describe_load_failure, load_mediapipe, without_start_messages

# For each iBUG point, 1 to 68, the two mesh vertices whose midpoint it is; a point on a vertex lists it twice. The
# subject's right is image left. The map is mirror-symmetric and uses only the 468 vertices of the canonical mesh. It
# was fitted to an independent detector (dlib) on real faces: single vertices for lips and eyes; vertices or midpoints
# of mesh edges for jaw, brows and nose, on three talkers, confirmed on held-out talkers. The jaw is never exact: iBUG
# marks the silhouette in the image, the mesh lies on the skin.
IBUG_68 = np.concatenate(
    [
        # jaw, from image left to image right
        [(127, 127), (137, 234), (93, 132), (58, 132), (58, 172), (136, 136), (149, 150), (148, 176), (152, 152)],
        [(377, 400), (378, 379), (365, 365), (288, 397), (288, 361), (323, 361), (366, 454), (356, 356)],
        # brows
        [(70, 156), (63, 63), (66, 105), (66, 107), (9, 107)],
        [(9, 336), (296, 336), (296, 334), (293, 293), (300, 383)],
        # nose: bridge, then wings
        [(168, 168), (6, 197), (195, 195), (4, 4), (240, 240), (97, 97), (2, 2), (326, 326), (460, 460)],
        # eyes
        [(33, 33), (160, 160), (158, 158), (133, 133), (153, 153), (144, 144)],
        [(362, 362), (385, 385), (387, 387), (263, 263), (373, 373), (380, 380)],
        # outer lips
        [(61, 61), (39, 39), (37, 37), (0, 0), (267, 267), (269, 269)],
        [(291, 291), (405, 405), (314, 314), (17, 17), (84, 84), (181, 181)],
        # inner lips
        [(78, 78), (82, 82), (13, 13), (312, 312), (308, 308), (317, 317), (14, 14), (87, 87)],
    ]
)

# Slices and indices into the 68 points, 0-based.
JAW = slice(0, 17)
BROW_LEFT, BROW_RIGHT = slice(17, 22), slice(22, 27)  # left and right in the image
NOSE = slice(27, 36)
EYE_LEFT, EYE_RIGHT = slice(36, 42), slice(42, 48)
MOUTH = slice(48, 60)  # the outer lip line
EYE_CORNERS = (36, 39, 42, 45)

# This blur halves the jitter of the points under camera noise; in pixels of a frame whose shorter side is 480 pixels
# or more. Smaller frames, whose faces are smaller, are blurred less.
_DETECTOR_BLUR_SIGMA_PX = 2.0
_FULL_BLUR_FROM_SIDE_PX = 480
MAX_FACES = 4  # in one frame

# Rotation (degrees), scale and shift (pixels) of the frame for each view. The network's output depends on how the
# face falls on its pixel grid; views that differ by fractions of a grid step average this out.
_VIEWS = (
    (0, 1.0, 0.0, 0.0), (6, 0.95, 3.3, -2.6), (-6, 1.05, -2.7, 3.4), (3, 1.1, -4.5, -4.2),
    (-3, 0.9, 4.6, 4.3), (9, 1.0, 1.5, 5.7), (-9, 1.02, -5.5, 1.4), (1.5, 0.98, 6.3, -5.6),
)  # fmt: skip
MAX_VIEWS = len(_VIEWS)
_VIEWS_BLUR = 1.25  # times the blur for one view
_SAME_FACE_WIDTHS = 0.3  # by how much the middle of one face may differ from view to view

Points68 = Float32[np.ndarray, "68 2"]


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Rotation of the head in degrees; all zero faces the camera.

    Attributes:
        yaw: Positive towards the right edge of the picture.
        pitch: Positive upwards.
        roll: Positive clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """One face in one frame.

    Attributes:
        mesh: x and y in pixels of the frame, z (depth) in the same unit; y points down.
        num_faces: Faces detected in the frame, at most 4.
        blendshapes: Scores of MediaPipe's 52 blendshapes, 0 to 1; None unless requested.
        pose: Rotation of the head; None unless requested.
    """

    mesh: Float32[np.ndarray, "478 3"]
    num_faces: int = 1
    blendshapes: Mapping[str, float] | None = None
    pose: HeadPose | None = None

    @property
    def ibug(self) -> Points68:
        """The 68 iBUG points, x and y in pixels of the frame."""
        return ibug_from_mesh(self.mesh[:, :2])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the mesh, pixels of the frame."""
        (left, top), (right, bottom) = self.mesh[:, :2].min(axis=0).tolist(), self.mesh[:, :2].max(axis=0).tolist()
        return left, top, right, bottom

    @property
    def width_px(self) -> float:
        """Width of the mesh, pixels of the frame."""
        left, _, right, _ = self.box
        return right - left


def ibug_from_mesh(mesh: Float[np.ndarray, "vertices c"]) -> Float[np.ndarray, "68 c"]:
    """Computes the 68 iBUG points from MediaPipe's mesh.

    Args:
        mesh: 468 or 478 vertices, in any unit and with any number of coordinates.
    """
    return mesh[IBUG_68].mean(axis=1)


def eye_centres(ibug: Float[np.ndarray, "*t 68 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres of the two eye rings, image left first, each `[*t 2]` in the unit of `ibug`."""
    return ibug[..., EYE_LEFT, :].mean(axis=-2), ibug[..., EYE_RIGHT, :].mean(axis=-2)


def roll_degrees(ibug: Float[np.ndarray, "68 2"]) -> float:
    """Returns the angle of the line between the eyes, -180 to 180 degrees, positive clockwise in the picture."""
    left, right = eye_centres(ibug)
    across, down = (right - left).tolist()
    return math.degrees(math.atan2(down, across))


def interocular_distance(ibug: Float[np.ndarray, "68 2"]) -> float:
    """Returns the distance between the centres of the two eye rings, in the unit of `ibug`."""
    left, right = eye_centres(ibug)
    return float(np.linalg.norm(right - left))


class FaceLandmarker:
    """MediaPipe's face landmarker, one frame at a time, with low jitter.

    Use it as a context manager or call `close()`; otherwise it closes at garbage collection or at interpreter exit.
    One object serves one process: create it in each worker (60 ms), after the fork.

    It runs in IMAGE mode: VIDEO mode smooths over time, which removes half of a micro-expression (gain .43 at the
    brows instead of .82). The detector looks at a slightly blurred copy (sigma 2 pixels at 640x480),
    which halves the jitter of the points: a still face under camera noise then jitters by .20 % of the distance between
    the eyes. `views=4` reduces this to less than .15 % in four to five times the time, without any smoothing over
    time.

    Args:
        model_path: The face model; None looks where `find_face_model` does.
        with_blendshapes: Whether to compute `Landmarks.blendshapes`.
        with_pose: Whether to compute `Landmarks.pose`.
    """

    def __init__(
        self, model_path: str | Path | None = None, *, with_blendshapes: bool = False, with_pose: bool = False
    ) -> None:
        model = find_face_model(model_path)
        self._mediapipe = load_mediapipe()
        self._process = os.getpid()
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model)),
            running_mode=tasks.vision.RunningMode.IMAGE,
            num_faces=MAX_FACES,
            output_face_blendshapes=with_blendshapes,
            output_facial_transformation_matrixes=with_pose,
        )
        try:
            with without_start_messages():
                landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except OSError as error:
            raise describe_load_failure("MediaPipe", error) from error
        except (RuntimeError, ValueError) as error:
            raise FaceModelError(f"MediaPipe does not start with {model}: {error}") from error
        self._landmarker = landmarker
        self._close = weakref.finalize(self, _close_in_own_process, landmarker, os.getpid())

    def detect(self, frame: Frame, *, views: int = 1) -> Landmarks | None:
        """Detects the largest face.

        Args:
            frame: RGB.
            views: See `detect_all`.

        Returns:
            The face, or None.
        """
        return next(iter(self.detect_all(frame, views=views)), None)

    def detect_all(self, frame: Frame, *, views: int = 1) -> tuple[Landmarks, ...]:
        """Detects up to 4 faces, the widest first.

        Args:
            frame: RGB.
            views: Number of slightly rotated, scaled and shifted copies of the frame to average the mesh over, 1 to 8.
                Blendshapes and pose are those of the first view.
        """
        if not self._close.alive:
            raise RuntimeError("this FaceLandmarker is closed; create another one")
        if os.getpid() != self._process:
            raise RuntimeError("this FaceLandmarker was created in another process; create one in each worker")
        if not 1 <= views <= MAX_VIEWS:
            raise ValueError(f"views is {views}; it must be from 1 to {MAX_VIEWS}")
        height, width = frame.shape[:2]
        sigma = _DETECTOR_BLUR_SIGMA_PX * min(1.0, min(height, width) / _FULL_BLUR_FROM_SIDE_PX)
        if views == 1:
            return self._look(cv2.GaussianBlur(frame, (0, 0), sigma))
        soft = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), _VIEWS_BLUR * sigma)
        # Neighbouring blurred levels hardly differ, and plain rounding would turn noise into moving contour lines that
        # the network follows. A fixed dither pattern prevents this.
        pattern = np.random.default_rng(0).random(soft.shape, np.float32) - np.float32(0.5)
        looks = []
        for degrees, scale, right, down in _VIEWS[:views]:
            matrix = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), [0, 0, 1]])
            matrix[:2, 2] += right, down
            view = cv2.warpAffine(soft, matrix[:2], (width, height), borderMode=cv2.BORDER_REPLICATE) + pattern
            back = np.linalg.inv(matrix)
            faces = self._look(np.clip(np.round(view), 0, 255).astype(np.uint8))
            looks.append([(face, _move_mesh(face.mesh, back)) for face in faces])
        return tuple(
            dataclasses.replace(face, mesh=_mean_mesh(mesh, [[each for _, each in look] for look in looks]))
            for face, mesh in looks[0]
        )

    def _look(self, picture: Frame) -> tuple[Landmarks, ...]:
        height, width = picture.shape[:2]
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
        result = self._landmarker.detect(image)
        if not result.face_landmarks:
            return ()
        meshes = np.array([[(p.x, p.y, p.z) for p in face] for face in result.face_landmarks], np.float32)
        # MediaPipe's origin is the corner of the image, OpenCV's the centre of the first pixel. z is scaled like x.
        meshes *= np.array([width, height, width], np.float32)
        meshes -= np.array([0.5, 0.5, 0], np.float32)
        widths = np.ptp(meshes[:, :, 0], axis=1)
        faces = []
        for index in np.argsort(-widths, kind="stable"):
            blendshapes = pose = None
            if result.face_blendshapes:
                scores = {each.category_name: float(each.score) for each in result.face_blendshapes[index]}
                blendshapes = MappingProxyType(scores)
            if result.facial_transformation_matrixes:
                pose = _read_pose(np.asarray(result.facial_transformation_matrixes[index], np.float64))
            faces.append(Landmarks(meshes[index], len(meshes), blendshapes, pose))
        return tuple(faces)

    def close(self) -> None:
        """Stops MediaPipe's threads; may be called more than once."""
        self._close()

    def __enter__(self) -> "FaceLandmarker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close_in_own_process(landmarker: Any, process: int) -> None:
    if os.getpid() != process:  # a forked child has none of the threads and would wait for them forever
        return
    try:
        landmarker.close()
    except RuntimeError:
        # At interpreter exit Python has stopped MediaPipe's executor already. A reference that is never released keeps
        # MediaPipe's finalizer from failing in the same way, with a traceback; the process ends anyway.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))


def _move_mesh(mesh: Float32[np.ndarray, "478 3"], matrix: Float[np.ndarray, "3 3"]) -> Float32[np.ndarray, "478 3"]:
    moved = mesh.astype(np.float64)
    moved[:, :2] = moved[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
    moved[:, 2] *= np.sqrt(np.linalg.det(matrix[:2, :2]))
    return moved.astype(np.float32)


def _mean_mesh(
    mesh: Float32[np.ndarray, "478 3"], looks: Sequence[Sequence[Float32[np.ndarray, "478 3"]]]
) -> Float32[np.ndarray, "478 3"]:
    """Averages the mesh over the views in which this face was detected."""
    farthest = _SAME_FACE_WIDTHS * float(np.ptp(mesh[:, 0]))
    same = []
    for meshes in looks:
        away = [float(np.linalg.norm((each - mesh)[:, :2].mean(axis=0))) for each in meshes]
        if away and min(away) < farthest:
            same.append(meshes[int(np.argmin(away))])
    return np.stack(same).mean(axis=0, dtype=np.float64).astype(np.float32)


def _read_pose(matrix: Float[np.ndarray, "4 4"]) -> HeadPose:
    """Computes angles from MediaPipe's matrix, which rotates the canonical face: x right, y up, z to the viewer.

    The direction of the nose gives yaw and pitch, the line between the eyes the roll.
    """
    eyes, nose = matrix[:3, 0], matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    return HeadPose(
        yaw=math.degrees(math.atan2(nose[0], nose[2])),
        pitch=math.degrees(math.asin(float(np.clip(nose[1], -1, 1)))),
        roll=math.degrees(math.atan2(-eyes[1], eyes[0])),
    )
