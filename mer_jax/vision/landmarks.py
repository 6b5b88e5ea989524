"""Where the face is: MediaPipe's mesh of 478 points, and the 68 iBUG points read off it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Float32

from mer_jax.errors import FaceModelError
from mer_jax.vision.face_model import find_face_model
from mer_jax.vision.frames import Frame
from mer_jax.vision.native import cv2, describe_load_failure, load_mediapipe, without_start_messages

# The two vertices of MediaPipe's mesh between which each iBUG point lies, iBUG 1..68 in their order; a point that
# lies on a vertex has it twice. The subject's right is image left. The map is mirror-symmetric and uses only the 468
# vertices that the canonical mesh has. Chosen against an independent detector (dlib) on real faces: lips and eyes are
# the best single vertices; jaw, brows and nose the best vertices or midpoints of mesh edges on three talkers, which
# left-out talkers confirm. The jaw is never exact: iBUG's is the silhouette in the image, the mesh's is on the skin.
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

# The blur that halves the jitter of the points under camera noise, in pixels of a frame whose shorter side is 480
# pixels or more. Smaller frames get less: their faces are smaller, and a mouth must not melt into a beard.
_DETECTOR_BLUR_SIGMA_PX = 2.0
_FULL_BLUR_FROM_SIDE_PX = 480
_MAX_FACES = 4

Points68 = Float32[np.ndarray, "68 2"]


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Which way a head is turned, in degrees; all 0 is straight into the camera.

    Attributes:
        yaw: positive towards the right edge of the picture.
        pitch: positive upwards.
        roll: positive clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """One face in one frame.

    Attributes:
        mesh: x and y in pixels of the frame, z (depth) in the same unit; y points down.
        num_faces: Faces seen in the frame, at most 4.
        blendshapes: Score from 0 to 1 of each of MediaPipe's 52 blendshapes, if they were asked for.
        pose: How the head is turned, if it was asked for.
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
    """Reads the 68 iBUG points off MediaPipe's mesh.

    Args:
        mesh: 468 or 478 vertices, in any unit and with any number of coordinates.
    """
    return mesh[IBUG_68].mean(axis=1)


def eye_centres(ibug: Float[np.ndarray, "*t 68 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres of the two eye rings, image left first, each `[*t 2]` in the unit of `ibug`."""
    return ibug[..., EYE_LEFT, :].mean(axis=-2), ibug[..., EYE_RIGHT, :].mean(axis=-2)


def interocular_distance(ibug: Float[np.ndarray, "68 2"]) -> float:
    """Returns the distance between the centres of the two eye rings, in the unit of `ibug`."""
    left, right = eye_centres(ibug)
    return float(np.linalg.norm(right - left))


class FaceLandmarker:
    """MediaPipe's face landmarker, one frame at a time, with low jitter.

    Use it as a context manager, or call `close()`. One object serves one process: create it after a fork or
    in each spawned worker (60 ms), never before.

    It works in IMAGE mode: VIDEO mode smooths over time, which takes away half of a micro-expression
    (gain .43 at the brows against .82). The detector looks at a slightly blurred copy (sigma 2 pixels at 640x480),
    which halves the jitter of the points; the frame itself is left alone.

    Args:
        model_path: The face model; None looks where `find_face_model` does.
        with_blendshapes: Whether `Landmarks.blendshapes` is filled in.
        with_pose: Whether `Landmarks.pose` is filled in.
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
            num_faces=_MAX_FACES,
            output_face_blendshapes=with_blendshapes,
            output_facial_transformation_matrixes=with_pose,
        )
        try:
            with without_start_messages():
                self._landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except OSError as error:
            raise describe_load_failure("MediaPipe", error) from error
        except (RuntimeError, ValueError) as error:
            raise FaceModelError(f"MediaPipe does not start with {model}: {error}") from error

    def detect(self, frame: Frame) -> Landmarks | None:
        """Finds the largest face.

        Args:
            frame: RGB.

        Returns:
            The face, or None if there is none.
        """
        return next(iter(self.detect_all(frame)), None)

    def detect_all(self, frame: Frame) -> tuple[Landmarks, ...]:
        """Finds up to 4 faces, the widest first.

        Args:
            frame: RGB.
        """
        if self._landmarker is None:
            raise RuntimeError("this FaceLandmarker is closed; create another one")
        if os.getpid() != self._process:
            raise RuntimeError("this FaceLandmarker was created in another process; create one in each worker")
        height, width = frame.shape[:2]
        sigma = _DETECTOR_BLUR_SIGMA_PX * min(1.0, min(height, width) / _FULL_BLUR_FROM_SIDE_PX)
        blurred = cv2.GaussianBlur(frame, (0, 0), sigma)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=blurred)
        result = self._landmarker.detect(image)
        if not result.face_landmarks:
            return ()
        meshes = np.array([[(p.x, p.y, p.z) for p in face] for face in result.face_landmarks], np.float32)
        # MediaPipe counts from the outer edge of the image; in OpenCV the first pixel's centre is 0. z is scaled as x.
        meshes = meshes * np.float32([width, height, width]) - np.float32([0.5, 0.5, 0])
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
        """Ends MediaPipe's threads; closing twice is fine."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def __enter__(self) -> "FaceLandmarker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _read_pose(matrix: Float[np.ndarray, "4 4"]) -> HeadPose:
    """Reads angles off MediaPipe's matrix, which turns the canonical face: x right, y up, z to the viewer.

    The direction of the nose gives yaw and pitch; the line between the eyes gives the roll.
    """
    eyes, nose = matrix[:3, 0], matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    return HeadPose(
        yaw=math.degrees(math.atan2(nose[0], nose[2])),
        pitch=math.degrees(math.asin(float(np.clip(nose[1], -1, 1)))),
        roll=math.degrees(math.atan2(-eyes[1], eyes[0])),
    )
