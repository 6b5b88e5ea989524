"""The wrinkles and bulges that an action unit raises in the skin."""

import numpy as np
from jaxtyping import Float

from datasets.surrogate.action_units import ACTION_UNITS, BULGES
from datasets.surrogate.drawing import Mask, line_mask, spline
from datasets.surrogate.mesh import NOSE_BRIDGE, load_mesh
from datasets.surrogate.scenario import LEFT, RIGHT

DARKENING = 0.06  # at the middle of a line, for 1 % IOD of movement and medium wrinkles
BULGE_LIGHT = 0.693  # brightness that a bulge of height 1 cm and radius 1 cm gains, relative to DARKENING


def paint_shades(
    points: Float[np.ndarray, "468 2"],
    shape: tuple[int, int],
    unit: float,
    light: Float[np.ndarray, "3"],
    wrinkles: float,
) -> dict[tuple[str, int], Mask]:
    """Paints what each action unit darkens.

    Args:
        points: mesh vertices in the region painted.
        shape: its height and width.
        unit: pixels per centimetre.
        light: unit vector towards the key light.
        wrinkles: of the subject, 0 to 1.

    Returns:
        By (action unit, side), the relative darkening per 1 % IOD of movement; negative is brighter.
        Units that leave the skin smooth are left out.
    """
    shades = {}
    strength = DARKENING * (0.5 + 0.8 * wrinkles)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for action_unit in ACTION_UNITS:
        for side in (RIGHT, LEFT):
            lines = _lines(action_unit, _Side(points, unit, side))
            bulges = BULGES.get(action_unit, ())
            if not lines and not bulges:
                continue
            shade = np.zeros(shape, np.float32)
            for curve, width_cm, darkness, softness_cm in lines:
                smooth = spline(curve, 8, closed=False)
                shade += darkness * line_mask(shape, smooth, width_cm * unit, max(0.6, softness_cm * unit))
            for bulge in bulges:
                x, y = points[load_mesh().mirror[bulge.vertex] if side == LEFT else bulge.vertex]
                radius = bulge.radius_cm * unit
                across, down = (columns - x) / radius, (rows - y) / radius
                slope = (across * light[0] - down * light[1]) * np.exp(-0.5 * (across**2 + down**2))
                shade -= (BULGE_LIGHT * bulge.height / bulge.radius_cm * slope).astype(np.float32)
            shades[action_unit, side] = shade * np.float32(strength)
    return shades


class _Side:
    """Positions on one side of the face, given by vertices of the right side."""

    def __init__(self, points: np.ndarray, unit: float, side: int):
        self.points, self.unit, self.side = points, unit, side
        self.middle_x = points[NOSE_BRIDGE, 0]

    def at(self, vertex: int, outward_cm: float = 0.0, down_cm: float = 0.0) -> np.ndarray:
        """Image position at an offset from a vertex."""
        if self.side == LEFT:
            vertex = load_mesh().mirror[vertex]
        return self.points[vertex] + np.array([self.sign * outward_cm, down_cm]) * self.unit

    def from_middle(self, level: float, outward_cm: float, down_cm: float) -> np.ndarray:
        """Image position at an offset from the midline at a height of the image."""
        return np.array([self.middle_x + self.sign * outward_cm * self.unit, level + down_cm * self.unit])

    @property
    def sign(self) -> int:
        """Direction of `outward` in the image."""
        return 1 if self.side == LEFT else -1


_Line = tuple[list[np.ndarray], float, float, float]  # curve, width in cm, darkness, softness in cm


def _lines(action_unit: str, face: _Side) -> list[_Line]:
    """Wrinkles of a unit; darkness is relative to `DARKENING`."""
    at = face.at
    nasolabial = [at(129), at(203), at(206), at(216)]
    match action_unit:
        case "1":
            levels = [at(66, 0.0, -1.1 - 0.75 * number)[1] for number in range(3)]
            return _furrows(face, levels, ((0.2, 0.0), (1.6, -0.1), (2.6, 0.15)), 0.07, 0.7, 0.08)
        case "2":
            levels = [at(105, 0.0, -1.1 - 0.75 * number)[1] for number in range(3)]
            return _furrows(face, levels, ((1.8, 0.0), (3.2, -0.1), (4.6, 0.15)), 0.07, 0.7, 0.08)
        case "4":
            inner, brow, forehead = at(9), at(107), at(108)
            frown = [
                0.5 * brow + 0.5 * inner + np.array([face.sign * 0.15, 0.5]) * face.unit,
                0.4 * brow + 0.6 * inner - np.array([0.0, 0.2]) * face.unit,
                0.3 * forehead + 0.7 * inner - np.array([0.0, 0.3]) * face.unit,
            ]
            return [(frown, 0.10, 1.0, 0.09)]
        case "6":
            under_eye = [at(163, 0.0, 0.35), at(145, 0.0, 0.42), at(154, 0.0, 0.40)]
            crow_feet = [(_ray(face, angle), 0.05, 0.8, 0.06) for angle in np.deg2rad((-35, 0, 35))]
            return [*crow_feet, (under_eye, 0.06, 0.6, 0.08)]
        case "9":
            levels = [at(193, 0.0, -0.10 + 0.35 * number)[1] for number in range(3)]
            bridge = _furrows(face, levels, ((0.0, 0.0), (0.45, -0.08), (0.8, 0.1)), 0.05, 0.8, 0.05)
            return [(nasolabial, 0.10, 0.5, 0.11), *bridge]
        case "10" | "12":
            return [(nasolabial, 0.10, 0.9, 0.11)]
        case "14":
            return [([at(61, 0.15, -0.25), at(61, 0.25, 0.0), at(61, 0.15, 0.25)], 0.08, 0.9, 0.08)]
        case "15":
            return [([at(61, 0.05, 0.1), at(61, 0.15, 0.5), at(61, 0.05, 0.9)], 0.08, 0.7, 0.09)]
        case "17":
            return [([at(83, 0.0, 0.8), at(18, 0.0, 0.85)], 0.14, 0.6, 0.12)]
    return []


def _furrows(
    face: _Side,
    levels: list[float],
    curve_cm: tuple[tuple[float, float], ...],
    width_cm: float,
    darkness: float,
    softness_cm: float,
) -> list[_Line]:
    """The same line at several heights of the image; `curve_cm` is (outward from the midline, down)."""
    return [
        ([face.from_middle(level, *offset) for offset in curve_cm], width_cm, darkness, softness_cm) for level in levels
    ]


def _ray(face: _Side, angle: float) -> list[np.ndarray]:
    """A crow's foot: from beside the outer corner of the eye, slightly bent."""
    corner = face.at(33, 0.35, 0.0)
    bends = ((0.0, angle), (0.7, angle), (1.1, 1.1 * angle))
    return [corner + reach * face.unit * np.array([face.sign * np.cos(turn), np.sin(turn)]) for reach, turn in bends]
