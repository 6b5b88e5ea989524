"""A portrait in motion: action units, lids, lips, gaze and head pose as one warp of the painted face."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from datasets.surrogate import shading
from datasets.surrogate.action_units import GAPS, LIDS, PUSHES, Push
from datasets.surrogate.drawing import Image, Numbers, blur
from datasets.surrogate.identity import Subject
from datasets.surrogate.mesh import (
    LEFT_EYE,
    LOWER_LID,
    LOWER_LIP_INNER,
    NOSE_BRIDGE,
    RIGHT_EYE,
    UPPER_LIP_INNER,
    load_mesh,
    upper_lid,
)
from datasets.surrogate.portrait import Portrait
from datasets.surrogate.scenario import LEFT, RIGHT
from mer_jax.vision.libraries import cv2

DRAG = (0.05, 0.35)  # share of a push that decays as in an elastic sheet instead of as a Gaussian
GRID = 4  # pixels between the nodes on which smooth displacements are computed
MOUTH_COLOR = np.array([52, 26, 24], np.float32)
MARGIN_CM = ((3.5, 5.5), (3.5, 4.0))  # of the moving region around the mesh: left, top; right, bottom


@dataclasses.dataclass(frozen=True, eq=False)
class FaceState:
    """A face at one moment.

    Attributes:
        activations: displacement by (action unit, side), fraction of the IOD.
        lid_closure: of the right and left eye, 0 open to 1 closed.
        gaze: (x, y) movement of the eyeballs, fraction of the IOD.
        pose: columns as in `scenario.POSE`.
    """

    activations: Mapping[tuple[str, int], float] = dataclasses.field(default_factory=dict)
    lid_closure: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    pose: tuple[float, ...] = (0.0,) * 6


@dataclasses.dataclass(frozen=True, eq=False)
class _Eye:
    """One opening of the lids in the neutral face; y of everything by integer column `x`."""

    x: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    roundness: np.ndarray  # how much of a lid movement arrives here: 1 in the middle, 0 in the corners
    fold: np.ndarray  # where the skin above and below stops moving
    cheek: np.ndarray


class FaceRenderer:
    """Renders one subject at one scale.

    Args:
        subject: for wrinkles and the anatomy of the action units.
        portrait: painted `supersampling` times larger than the frame.
        shape: height and width of the frames.
        supersampling: size of the portrait relative to the frame.
        anatomy_variation: see `Difficulty`.
        has_drag: whether skin drags its neighbourhood, as in version 2 of the surrogate.

    Attributes:
        iod: distance between the centres of the eyes in the neutral frontal face, pixels.
        shape: height and width of the frames.
    """

    def __init__(
        self,
        subject: Subject,
        portrait: Portrait,
        shape: tuple[int, int],
        supersampling: float,
        anatomy_variation: float = 0.0,
        *,
        has_drag: bool = False,
    ):
        self.shape = shape
        self._scale = supersampling
        self._unit = portrait.pixels_per_cm / supersampling
        self._points = portrait.landmarks / supersampling
        self._depths = portrait.depths * self._unit
        eyes = [self._points[list(ring)].mean(0) for ring in (RIGHT_EYE, LEFT_EYE)]
        self.iod = float(np.hypot(*(eyes[0] - eyes[1])))
        self._pivot = self._points[NOSE_BRIDGE]
        self._lay_grid(portrait)

        # A bilinear sample blurs by its sub-pixel phase, which would betray motion: sample a larger, softened image.
        layers = np.dstack([portrait.image, 255 * (1 - portrait.eye_hole)])
        self._layers = np.clip(blur(layers, 0.45 * supersampling), 0, 255).astype(np.uint8)
        self._eyeballs = np.clip(blur(portrait.eyeballs, 0.45 * supersampling), 0, 255).astype(np.uint8)
        size = self.shape[::-1]
        self._backdrop = cv2.resize(portrait.flat(), size, interpolation=cv2.INTER_AREA)
        self._frame = np.empty((*self.shape, 3), np.float32)

        # How much of a push arrives far away from it: thick and tight skin differ.
        self._drag = float(np.random.default_rng([subject.seed, 43]).uniform(*DRAG)) if has_drag else 0.0
        self._pushes = _vary_anatomy(subject.seed, anatomy_variation)
        nodes = np.stack([self._grid_x, self._grid_y], -1)
        self._fields = {(unit, side): self._field(unit, side, nodes) for unit in PUSHES for side in (RIGHT, LEFT)}
        region_shape = self._pixel_x.shape
        self._shades = shading.paint_shades(
            self._points - self._origin, region_shape, self._unit, portrait.light, subject.wrinkles
        )
        self._eyes = [self._measure_eye(ring) for ring in (RIGHT_EYE, LEFT_EYE)]
        mouth = (self._points[list(UPPER_LIP_INNER)] + self._points[list(LOWER_LIP_INNER)]) / 2
        self._mouth = mouth[np.argsort(mouth[:, 0])]

    def render(self, state: FaceState) -> Image:
        """Renders a frame without camera noise; the array is overwritten by the next call."""
        rigid = self._rigid_field(state.pose)
        nodes = np.stack([self._grid_x, self._grid_y], -1)
        # Both displacements say where a point goes; fixed-point steps find where a pixel comes from.
        before_pose = nodes - self._sample(rigid, nodes - rigid)
        expression = self._expression_field(state.activations)
        source = before_pose - self._sample(expression, before_pose)
        source = before_pose - self._sample(expression, source)
        size = self._pixel_x.shape[::-1]
        offset = cv2.resize(source - nodes, size, interpolation=cv2.INTER_CUBIC)
        x, y = self._pixel_x + offset[..., 0], self._pixel_y + offset[..., 1]

        boxes = [
            self._moved_box((eye.x[0] - 3, eye.fold.min() - 3), (eye.x[-1] + 3, eye.cheek.max() + 3), state.pose)
            for eye in self._eyes
        ]
        for side, (eye, box) in enumerate(zip(self._eyes, boxes, strict=True)):
            self._move_lids(eye, side, box, x, y, state)
        mouth_box, opening = self._part_lips(x, y, state)

        face = cv2.remap(self._layers, *self._to_portrait(x, y), cv2.INTER_LINEAR)
        image, skin = face[..., :3].astype(np.float32), face[..., 3:]
        for box in boxes:
            self._draw_eyeball(box, image, skin, before_pose - nodes, state.gaze)
        if opening is not None:
            image[mouth_box] += (MOUTH_COLOR - image[mouth_box]) * (0.85 * opening)[..., None]
        if (shade := self._shade(state.activations)) is not None:
            image *= shade[..., None]
        np.copyto(self._frame, self._backdrop)
        x0, y0 = self._origin
        self._frame[y0 : y0 + image.shape[0], x0 : x0 + image.shape[1]] = image
        return self._frame

    def landmarks(self, state: FaceState) -> Float[np.ndarray, "468 2"]:
        """True positions of the mesh vertices, (x, y) in pixels; blinks and the parting of lips left out."""
        points = self._points.copy()
        for (unit, side), amount in state.activations.items():
            points += amount * self.iod * self._field(unit, side, self._points)
        return points + self._rigid(points, self._depths, state.pose)

    def _lay_grid(self, portrait: Portrait) -> None:
        """Lays the grid of displacements over the region that can move."""
        (left, top), (right, bottom) = MARGIN_CM
        low = np.maximum(self._points.min(0) - np.array((left, top)) * self._unit, 0)
        high = np.minimum(self._points.max(0) + np.array((right, bottom)) * self._unit, self.shape[::-1])
        x0, y0 = (low // GRID * GRID).astype(int)
        x1, y1 = (high // GRID * GRID).astype(int)
        self._origin = (int(x0), int(y0))
        node_x = np.arange(x0, x1, GRID, dtype=np.float32) + (GRID - 1) / 2
        node_y = np.arange(y0, y1, GRID, dtype=np.float32) + (GRID - 1) / 2
        self._grid_x, self._grid_y = np.meshgrid(node_x, node_y)
        self._pixel_y, self._pixel_x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        # The head's own movement fades out before the region ends, where the still backdrop begins.
        center = self._points.mean(0)
        far = (np.abs(self._grid_x - center[0]) / ((x1 - x0) / 2)) ** 4
        far = far + (np.abs(self._grid_y - center[1]) / ((y1 - y0) / 2)) ** 4
        edges = (self._grid_x - x0, x1 - self._grid_x, self._grid_y - y0, y1 - self._grid_y)
        to_edge = np.minimum.reduce(edges) / (1.2 * self._unit)
        self._window = np.clip(1.25 - far, 0, 1) * np.clip(to_edge, 0, 1)
        depth = cv2.resize(portrait.depth_map, self.shape[::-1], interpolation=cv2.INTER_AREA)[y0:y1, x0:x1]
        depth = cv2.resize(depth, self._grid_x.shape[::-1], interpolation=cv2.INTER_AREA)
        self._grid_depth = blur(depth, 1.5) * self._unit

    def _rigid(self, points: np.ndarray, depths: np.ndarray, pose: tuple[float, ...]) -> np.ndarray:
        """Displacement of points by the head pose (weak perspective)."""
        shift_x, shift_y, roll, scale, yaw, pitch = pose
        cos, sin = np.cos(roll) * (1 + scale) - 1, np.sin(roll) * (1 + scale)
        dx, dy = points[..., 0] - self._pivot[0], points[..., 1] - self._pivot[1]
        x = shift_x * self.iod + cos * dx - sin * dy + depths * np.sin(yaw)
        y = shift_y * self.iod + sin * dx + cos * dy + depths * np.sin(pitch)
        return np.stack([x, y], -1)

    def _rigid_field(self, pose: tuple[float, ...]) -> np.ndarray:
        nodes = np.stack([self._grid_x, self._grid_y], -1)
        field = self._rigid(nodes, self._grid_depth, pose) * self._window[..., None]
        return field.astype(np.float32)

    def _expression_field(self, activations: Mapping[tuple[str, int], float]) -> np.ndarray:
        field = np.zeros((*self._grid_x.shape, 2), np.float32)
        for key, amount in activations.items():
            field += np.float32(amount * self.iod) * self._fields[key]
        return field

    def _field(self, unit: str, side: int, at: np.ndarray) -> np.ndarray:
        """Displacement by an action unit of amplitude 1 at some points."""
        outward_x = 1 if side == LEFT else -1
        middle_x = self._pivot[0]
        field = np.zeros(at.shape, np.float32)
        for push, (shift_x, shift_y) in self._pushes[unit]:
            vertices = list(push.vertices)
            if side == LEFT:
                vertices = load_mesh().mirror[vertices]
            center = self._points[vertices].mean(0) + np.array([outward_x * shift_x, shift_y]) * self._unit
            across = (at[..., 0] - center[0]) / (push.width_cm * self._unit)
            down = (at[..., 1] - center[1]) / (push.height_cm * self._unit)
            weight = np.exp(-0.5 * (across**2 + down**2))
            if self._drag:
                weight = (1 - self._drag) * weight + self._drag / (1 + (across**2 + down**2) / 6) ** 1.5
            if abs(center[0] - middle_x) < 0.6 * self._unit:
                weight = weight * 0.5  # on the midline: half from either side
            else:  # keep to this side of the face
                weight = weight / (1 + np.exp(-outward_x * (at[..., 0] - middle_x) / (0.35 * self._unit)))
            field[..., 0] += outward_x * push.outward * weight
            field[..., 1] -= push.up * weight
        return field

    def _sample(self, field: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Bilinear sample of a grid field at points of the frame."""
        node = (at.astype(np.float32) - np.float32(self._origin) + 0.5) / GRID - 0.5
        return cv2.remap(field, node, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _to_portrait(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (x + 0.5) * np.float32(self._scale) - 0.5, (y + 0.5) * np.float32(self._scale) - 0.5

    def _moved_box(self, low: Numbers, high: Numbers, pose: tuple[float, ...]) -> tuple[slice, slice]:
        """Rows and columns of the region into which the pose moves a box of the neutral face."""
        (x0, y0), (x1, y1) = low, high
        corners = np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)], np.float32)
        node_x, node_y = ((corners - self._origin) / GRID).astype(int).T
        rows, columns = self._grid_depth.shape
        depths = self._grid_depth[np.clip(node_y, 0, rows - 1), np.clip(node_x, 0, columns - 1)]
        moved = corners + self._rigid(corners, depths, pose) - self._origin
        left, top = np.maximum(np.floor(moved.min(0)), 0).astype(int)
        right, bottom = np.ceil(moved.max(0)).astype(int) + 1
        return slice(top, bottom), slice(left, right)

    def _measure_eye(self, ring: tuple[int, ...]) -> _Eye:
        outline = self._points[list(ring)]
        x = np.arange(int(outline[:, 0].min()) - 1, int(np.ceil(outline[:, 0].max())) + 2)
        upper, lower = (_curve(x, self._points[lid]) for lid in (upper_lid(ring), list(ring)[LOWER_LID]))
        lower = np.maximum(lower, upper)
        half_width = np.ptp(outline[:, 0]) / 2 + 0.3
        roundness = np.sqrt(np.clip(1 - ((x - outline[:, 0].mean()) / half_width) ** 2, 0, 1))
        return _Eye(x, upper, lower, roundness, upper - 0.55 * self._unit, lower + 0.9 * self._unit)

    def _move_lids(self, eye: _Eye, side: int, box: tuple, x: np.ndarray, y: np.ndarray, state: FaceState) -> None:
        """Stretches the skin over and under the eyeball column by column, so that lids can close fully."""
        closure = state.lid_closure[side]
        raised, lifted = 0.0, 0.0
        for unit, lids in LIDS.items():
            amount = state.activations.get((unit, side), 0.0) * self.iod
            raised, lifted = raised + lids.upper * amount, lifted + lids.lower * amount
        if abs(raised) + abs(lifted) + abs(closure) < 1e-4:
            return
        opening = eye.lower - eye.upper
        upper_moved = eye.upper - raised * eye.roundness + closure * np.maximum(opening - 0.3, 0)
        lower_moved = eye.lower - (lifted + 0.06 * closure * opening.max()) * eye.roundness
        lower_moved = np.maximum(lower_moved, upper_moved + 0.02)
        column, row = x[box], y[box]
        fold, upper, lower, cheek, new_upper, new_lower = (
            np.interp(column, eye.x, each)
            for each in (eye.fold, eye.upper, eye.lower, eye.cheek, upper_moved, lower_moved)
        )
        above = fold + (row - fold) * (upper - fold) / np.maximum(new_upper - fold, 0.2)
        within = upper + (row - new_upper) * (lower - upper) / np.maximum(new_lower - new_upper, 0.02)
        beneath = cheek - (cheek - row) * (cheek - lower) / np.maximum(cheek - new_lower, 0.2)
        moved = np.where(row < new_upper, above, np.where(row <= new_lower, within, beneath))
        inside = (row > fold) & (row < cheek) & (column >= eye.x[0]) & (column <= eye.x[-1])
        y[box] = np.where(inside, moved, row)

    def _part_lips(self, x: np.ndarray, y: np.ndarray, state: FaceState) -> tuple[tuple | None, np.ndarray | None]:
        """Moves the lips apart; returns where and how much the dark of the mouth shows."""
        rise = sink = 0.0
        for unit, gap in GAPS.items():
            amount = 0.5 * self.iod * sum(state.activations.get((unit, side), 0.0) for side in (RIGHT, LEFT))
            rise, sink = rise + gap.upper * amount, sink + gap.lower * amount
        if rise + sink <= 0.05:
            return None, None
        left, right = self._mouth[0, 0], self._mouth[-1, 0]
        top, bottom = self._mouth[:, 1].min() - 2 * self._unit, self._mouth[:, 1].max() + 3 * self._unit
        box = self._moved_box((left, top), (right, bottom), state.pose)
        column, row = x[box], y[box]
        profile = np.clip(1 - ((column - (left + right) / 2) / ((right - left) / 2)) ** 2, 0, 1)
        line = np.interp(column, self._mouth[:, 0], self._mouth[:, 1])
        rise, sink = rise * profile, sink * profile
        below, above = row - line - sink, line - rise - row
        lower_lip = row - sink * np.exp(-np.maximum(below, 0) / (1.1 * self._unit))
        upper_lip = row + rise * np.exp(-np.maximum(above, 0) / (0.8 * self._unit))
        y[box] = np.where(below > 0, lower_lip, np.where(above > 0, upper_lip, line))
        opening = np.clip(np.minimum(-below, -above) + 0.5, 0, 1) * np.clip((rise + sink) / 0.6, 0, 1)
        return box, opening

    def _draw_eyeball(
        self, box: tuple, image: Image, skin: np.ndarray, pose_offset: np.ndarray, gaze: tuple[float, float]
    ) -> None:
        """Shows the eyeballs, which follow the head and the gaze but no action unit."""
        at = np.stack([self._pixel_x[box], self._pixel_y[box]], -1)
        source = at + self._sample(pose_offset, at) - np.float32([gaze[0] * self.iod, gaze[1] * self.iod])
        eyeball = cv2.remap(self._eyeballs, *self._to_portrait(source[..., 0], source[..., 1]), cv2.INTER_LINEAR)
        covered = skin[box] * np.float32(1 / 255)
        image[box] = image[box] * covered + eyeball * (1 - covered)

    def _shade(self, activations: Mapping[tuple[str, int], float]) -> np.ndarray | None:
        total = None
        for key, amount in activations.items():
            if key in self._shades:
                part = self._shades[key] * np.float32(100 * amount)
                total = part if total is None else total + part
        return None if total is None else 1 - np.clip(total, -0.25, 0.6)


def _curve(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    order = np.argsort(points[:, 0])
    return np.interp(x, points[order, 0], points[order, 1])


def _vary_anatomy(seed: int, amount: float) -> dict[str, list[tuple[Push, tuple[float, float]]]]:
    """Each push with the subject's own centre (outward, down in cm), extent and direction."""
    rng = np.random.default_rng([seed, 31])
    varied = {}
    for unit, pushes in PUSHES.items():
        varied[unit] = []
        for push in pushes:
            shift = amount * rng.normal(0, 0.25, 2)
            width, height = np.exp(amount * rng.normal(0, 0.2, 2))
            turn = amount * rng.normal(0, 0.3)
            changed = push._replace(
                outward=push.outward * np.cos(turn) - push.up * np.sin(turn),
                up=push.outward * np.sin(turn) + push.up * np.cos(turn),
                width_cm=push.width_cm * width,
                height_cm=push.height_cm * height,
            )
            varied[unit].append((changed, (shift[0], shift[1])))
    return varied
