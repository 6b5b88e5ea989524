"""Motion of the regions of one face in a video of any length, with the motion of the head taken off.

Landmarks only place the points that are followed: their own motion is too noisy, and smoothed over time it loses half
of a micro-expression. The points are followed by pyramidal Lucas-Kanade in a small crop of the face that moves with
the head. Each frame is compared with a reference frame a few seconds back, not with the frame before, so that errors do
not add up from frame to frame; references are linked, so that the motion is continuous over hours.

The head is a rigid body at some distance: shift, roll, scale, yaw and pitch of points of known depth are six unknowns,
which are fitted to all points. Nose, eye corners and temples decide; points that an expression moves are outliers.

Source: Lucas and Kanade 1981 in the pyramidal form of Bouguet (OpenCV's implementation); the comparison with a
reference some frames back, and the nose as that which does not move: Zhao et al., MEGC 2022; He, MEGC 2021.
Differs: they follow dense Farneback flow, and take off the mean flow of the nose tip alone.
"""

import collections
import dataclasses

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from mer_jax.vision.crop import Affine, fit_similarity, transform_points
from mer_jax.vision.frames import GrayFrame
from mer_jax.vision.landmarks import EYE_LEFT, EYE_RIGHT, Landmarks, eye_centres
from mer_jax.vision.libraries import cv2

# Vertices of the mesh, those of the subject's right side (image left) first.
REGION_VERTICES: dict[str, tuple[int, ...]] = {
    "inner brow right": (55, 107, 65, 66), "inner brow left": (285, 336, 295, 296),
    "outer brow right": (46, 53, 63, 105, 70), "outer brow left": (276, 283, 293, 334, 300),
    "upper lid right": (27, 28, 29, 159), "upper lid left": (257, 258, 259, 386),
    "lower lid right": (22, 23, 24, 145), "lower lid left": (252, 253, 254, 374),
    "cheek right": (50, 117, 118, 205, 101, 36), "cheek left": (280, 346, 347, 425, 330, 266),
    "nose wing right": (129, 98, 49, 203), "nose wing left": (358, 327, 279, 423),
    "mouth corner right": (61, 57, 186, 43), "mouth corner left": (291, 287, 410, 273),
    "upper lip": (0, 37, 267, 39, 269), "lower lip": (17, 84, 314, 181, 405),
    "chin": (152, 199, 175, 200, 18),
    "iris right": (468,), "iris left": (473,),
}  # fmt: skip
REGIONS = tuple(REGION_VERTICES)
_RIGID = (168, 6, 197, 195, 5, 4, 122, 351, 193, 417, 188, 412, 174, 399, 133, 362, 33, 263)
_NEARLY_RIGID = (227, 447, 34, 264, 116, 345, 123, 352, 143, 372, 151)  # temples, cheekbones, forehead
_RIGID_WEIGHT, _NEARLY_RIGID_WEIGHT, _REGION_WEIGHT = 1.0, 0.5, 0.1

_VERTICES = np.array([*(v for each in REGION_VERTICES.values() for v in each), *_RIGID, *_NEARLY_RIGID])
_STARTS = np.cumsum([0, *(len(each) for each in REGION_VERTICES.values())])
_WEIGHTS = np.concatenate([
    np.full(_STARTS[-1], _REGION_WEIGHT), np.full(len(_RIGID), _RIGID_WEIGHT),
    np.full(len(_NEARLY_RIGID), _NEARLY_RIGID_WEIGHT),
])  # fmt: skip

# The crop: eyes on one row, from the forehead to below the chin. A micro-expression moves some .5 of its pixels.
_IOD_PX = 44.0  # between the eyes, so that 1 % is .44 pixels
_WIDTH, _HEIGHT, _EYES_ROW = 120, 144, 46
_CENTRE = np.array([(_WIDTH - 1) / 2, _EYES_ROW])  # of the line between the eyes
_LARGEST_CUT = 6  # times the size of the crop
_SMOOTHING_SIGMA_PX = 0.8
_LIGHT_PX = (21, 21)  # brightness that changes over longer distances is light, not skin
_CONTRAST = 160.0  # gray levels per relative change of brightness
_WINDOW_PX, _LEVELS = (15, 15), 2  # of Lucas-Kanade: 34 % of the distance between the eyes
_OUTLIER_PX = 0.15  # a deviation from the head's motion from which on a point counts less
_FIT_ROUNDS = 4
_LOST_SHARE = 0.5  # of the points that have to be found again
_LOST_CORRELATION = 0.55
_LANDMARKS_AWAY = 0.2  # of the distance between the eyes: something else was followed
_LARGEST_GROWTH = 1.33  # of the face since the last frame

# When a new reference is taken.
_REFERENCE_S = 2.0  # at this age, in a calm moment
_OLDEST_REFERENCE_S = 6.0  # at this age in any case
_FARTHEST_TURN = 0.12  # radians of yaw or pitch since the reference, beyond which points change their look
_CALM_PERCENT = 0.5  # change of any region within .1 s, % of the distance between the eyes
_CALM_S = 0.1

Picture = UInt8[np.ndarray, "144 120"]  # the crop


@dataclasses.dataclass(frozen=True)
class FaceMotion:
    """What a face does in one frame.

    Attributes:
        regions: Displacement of each of `REGIONS`, x to the right and y down in the upright face, % of the distance
            between the eyes, since the face was first seen; the head's motion is taken off.
        aperture: Height over width of both openings of the lids, right first; by the landmarks, and held between two
            detections.
        head: How the head has moved since the face was first seen: x and y in distances between the eyes; roll, yaw
            and pitch in degrees, scale in percent.
        is_linked: Whether it can be compared with the frame before; not in the first frame, nor after a cut.
    """

    regions: Float64[np.ndarray, "19 2"]
    aperture: Float64[np.ndarray, "2"]
    head: Float64[np.ndarray, "6"]
    is_linked: bool = True


@dataclasses.dataclass(frozen=True)
class _Reference:
    """The frame that others are compared with."""

    time_s: float
    picture: Picture
    points: Float32[np.ndarray, "p 2"]
    model: Float64[np.ndarray, "p2 6"]
    place: Float64[np.ndarray, "4"]  # of the head
    regions: Float64[np.ndarray, "19 2"]  # displacement in the reference itself
    head: Float64[np.ndarray, "6"]


@dataclasses.dataclass(frozen=True)
class _Found:
    """What has moved between the reference and another frame."""

    regions: Float64[np.ndarray, "19 2"]  # % of the distance between the eyes
    similarity: Affine  # of the head, from the reference's crop to this one
    turn: Float64[np.ndarray, "2"]  # yaw and pitch, radians


class RegionTracker:
    """Follows the regions of one face, frame by frame, in constant memory."""

    def __init__(self) -> None:
        self._crop: Affine | None = None  # pixels of the next frame to pixels of the crop
        self._reference: _Reference | None = None
        self._regions, self._head = np.zeros((len(REGIONS), 2)), np.zeros(6)
        self._aperture = np.zeros(2)
        self._recent: collections.deque[tuple[float, np.ndarray]] = collections.deque()

    def track(self, gray: GrayFrame, time_s: float, face: Landmarks | None) -> FaceMotion | None:
        """Measures a frame.

        Args:
            gray: The whole frame.
            time_s: Its time; increases from frame to frame.
            face: The face, if it was detected in this frame.

        Returns:
            The motion; None until the face is detected for the first time, or again after it was lost.
        """
        if face is not None:
            self._aperture = _measure_aperture(face)
        reference, found = self._reference, None
        if reference is not None and (face is None or not self._is_elsewhere(face)):
            found = self._follow(self._cut(gray), reference)
        if reference is None or found is None:
            self._reference = None
            if face is None:
                return None
            self._refer(gray, time_s, face)
            return FaceMotion(self._regions, self._aperture, self._head, is_linked=False)
        self._regions = reference.regions + found.regions
        assert self._crop is not None
        away = _place(self._crop, found.similarity) - reference.place
        shift = away[:2] / (np.exp(reference.place[3]) * _IOD_PX)
        self._head = reference.head + np.array([*shift, *np.degrees([away[2], *found.turn]), 100 * away[3]])
        motion = FaceMotion(self._regions, self._aperture, self._head)
        is_calm = self._is_calm(time_s)
        age_s, is_turned = time_s - reference.time_s, np.abs(found.turn).max() > _FARTHEST_TURN
        if face is not None and (age_s > _OLDEST_REFERENCE_S or (is_calm and (age_s > _REFERENCE_S or is_turned))):
            self._refer(gray, time_s, face)
        else:
            self._crop = np.linalg.inv(found.similarity) @ self._crop
        return motion

    def lose(self) -> None:
        """Says that the face is not in this frame: nothing is followed until it is detected again."""
        self._reference = None

    def _refer(self, gray: GrayFrame, time_s: float, face: Landmarks) -> None:
        """Makes this frame the reference."""
        self._crop = _crop_of(face)
        flat = transform_points(self._crop, face.mesh[:, :2].astype(np.float64))
        points = np.column_stack([flat, face.mesh[:, 2] * _scale(self._crop)])[_VERTICES]
        place = _place(self._crop, np.eye(3))
        self._reference = _Reference(
            time_s, self._cut(gray), points[:, :2].astype(np.float32), _head_model(points), place, self._regions,
            self._head,
        )  # fmt: skip

    def _cut(self, gray: GrayFrame) -> Picture:
        """Cuts the crop out of a frame, and takes the light off."""
        assert self._crop is not None
        # warpAffine reads four pixels, whatever the scale: large faces are cut larger and then averaged.
        times = max(1, min(_LARGEST_CUT, round(1 / _scale(self._crop))))
        larger = np.diag([times, times, 1.0]) @ self._crop
        larger[:2, 2] += (times - 1) / 2
        face = cv2.warpAffine(
            gray, larger[:2], (times * _WIDTH, times * _HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if times > 1:
            face = cv2.resize(face, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(face.astype(np.float32), (0, 0), _SMOOTHING_SIGMA_PX)
        light = cv2.blur(cv2.blur(smooth, _LIGHT_PX), _LIGHT_PX)
        return np.clip(128 + _CONTRAST * (smooth / (light + 8) - 1), 0, 255).astype(np.uint8)

    def _follow(self, picture: Picture, reference: _Reference) -> _Found | None:
        """Finds the reference's points in another frame; None if the face is lost."""
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            reference.picture, picture, reference.points, reference.points.copy(), winSize=_WINDOW_PX, maxLevel=_LEVELS,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.01),
        )  # fmt: skip
        is_found = status[:, 0] == 1
        if is_found.mean() < _LOST_SHARE or _correlate(reference.picture, picture) < _LOST_CORRELATION:
            return None
        shift = (found - reference.points).astype(np.float64)
        (x, y, roll, scale, *turn), residual = _fit_head(reference.model, shift, _WEIGHTS * is_found)
        similarity = np.array([[1 + scale, -roll, x], [roll, 1 + scale, y], [0, 0, 1]])
        similarity[:2, 2] += _CENTRE - similarity[:2, :2] @ _CENTRE
        weights = np.where(is_found, 1.0, 1e-6)[: _STARTS[-1], None]
        sums = np.add.reduceat(residual[: _STARTS[-1]] * weights, _STARTS[:-1])
        regions = sums / np.add.reduceat(weights, _STARTS[:-1]) * (100 / _IOD_PX)
        return _Found(regions, similarity, np.array(turn))

    def _is_calm(self, time_s: float) -> bool:
        self._recent.append((time_s, self._regions))
        while len(self._recent) > 2 and self._recent[0][0] < time_s - _CALM_S - 1e-9:
            self._recent.popleft()
        return float(np.abs(self._regions - self._recent[0][1]).max()) < _CALM_PERCENT

    def _is_elsewhere(self, face: Landmarks) -> bool:
        assert self._crop is not None
        eyes = transform_points(self._crop, np.stack(eye_centres(face.ibug)).astype(np.float64))
        away = np.linalg.norm(eyes.mean(axis=0) - _CENTRE)
        size = np.linalg.norm(eyes[1] - eyes[0]) / _IOD_PX
        return bool(away > _LANDMARKS_AWAY * _IOD_PX or not 1 / _LARGEST_GROWTH < size < _LARGEST_GROWTH)


def _crop_of(face: Landmarks) -> Affine:
    eyes = np.stack(eye_centres(face.ibug)).astype(np.float64)
    return fit_similarity(eyes, _CENTRE + np.array([[-_IOD_PX / 2, 0.0], [_IOD_PX / 2, 0.0]]))


def _place(crop: Affine, similarity: Affine) -> Float64[np.ndarray, "4"]:
    """Where the head is in the frame: x and y in pixels, roll in radians, logarithm of the size."""
    to_frame = np.linalg.inv(crop) @ similarity
    size = np.sqrt(abs(np.linalg.det(to_frame[:2, :2])))
    x, y = to_frame[:2, :2] @ _CENTRE + to_frame[:2, 2]
    roll = np.arctan2(to_frame[1, 0], to_frame[0, 0])
    return np.array([x, y, roll, np.log(size)])


def _scale(crop: Affine) -> float:
    return float(np.sqrt(abs(np.linalg.det(crop[:2, :2]))))


def _head_model(points: Float64[np.ndarray, "p 3"]) -> Float64[np.ndarray, "p2 6"]:
    """What a small motion of the head does to points: columns x, y, roll, scale, yaw, pitch; rows x and y of each."""
    x, y = (points[:, :2] - _CENTRE).T
    depth = points[:, 2] - points[:, 2].mean()
    one, none = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, none, -y, x, depth, none], axis=1)
    down = np.stack([none, one, x, y, none, depth], axis=1)
    return np.stack([across, down], axis=1).reshape(-1, 6)


def _fit_head(
    model: Float64[np.ndarray, "p2 6"], shift: Float64[np.ndarray, "p 2"], weights: Float64[np.ndarray, "p"]
) -> tuple[Float64[np.ndarray, "6"], Float64[np.ndarray, "p 2"]]:
    """Fits the head's motion robustly; returns it and what it does not explain."""
    trust = weights
    for _ in range(_FIT_ROUNDS):
        each = np.repeat(trust, 2)
        normal = model.T @ (model * each[:, None]) + 1e-6 * np.eye(6)
        solution = np.linalg.solve(normal, model.T @ (each * shift.ravel()))
        residual = shift - (model @ solution).reshape(shift.shape)
        distance = np.linalg.norm(residual, axis=1)
        trust = weights / (1 + (distance / _OUTLIER_PX) ** 2)
    return solution, residual


def _correlate(one: Picture, other: Picture) -> float:
    """Correlation of the middle of the face, from the eyes to below the nose."""
    rows, columns = slice(_EYES_ROW - 8, _EYES_ROW + 40), slice(_WIDTH // 2 - 34, _WIDTH // 2 + 34)
    if other[rows, columns].std() < 1:  # OpenCV correlates a blank picture with everything
        return 0.0
    found = cv2.matchTemplate(
        one[rows, columns], other[rows.start + 3 : rows.stop - 3, columns.start + 3 : columns.stop - 3],
        cv2.TM_CCOEFF_NORMED,
    )  # fmt: skip
    return float(found.max())


def _measure_aperture(face: Landmarks) -> Float64[np.ndarray, "2"]:
    """Height over width of both openings of the lids, right first."""
    apertures = []
    for ring in (EYE_LEFT, EYE_RIGHT):
        points = face.ibug[ring].astype(np.float64)
        heights = np.linalg.norm(points[1:3] - points[5:3:-1], axis=1)
        apertures.append(heights.mean() / np.linalg.norm(points[0] - points[3]))
    return np.array(apertures)
