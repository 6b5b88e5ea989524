"""The features of a portrait: creases, nose, lips, brows, hair and eyes."""

import numpy as np

from datasets.surrogate.canvas import Canvas
from datasets.surrogate.drawing import (
    Image,
    Mask,
    blend,
    blur,
    ellipse_mask,
    fractal_noise,
    line_mask,
    polygon_mask,
    spline,
    streaks,
)
from datasets.surrogate.mesh import (
    FOREHEAD_TOP,
    LEFT_BROW,
    LEFT_EYE,
    LOWER_LID,
    LOWER_LIP_INNER,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    UPPER_LIP_INNER,
    upper_lid,
)
from mer_jax.vision.libraries import cv2

RIGHT_TEMPLE, LEFT_TEMPLE = 127, 356
RIGHT_EDGE, LEFT_EDGE = 234, 454
# How far the hair line lies above the top of the mesh, and how far the hair rises above that, in cm.
HAIRLINE_CM = {"short": 0.6, "fringe": -0.9, "long": 0.5, "buzz": 0.8, "side": 0.2}
CROWN_CM = {"short": 3.6, "fringe": 3.6, "long": 3.7, "buzz": 3.2, "side": 3.9}
IRIS_RADIUS_CM = 0.60


def hair_texture(canvas: Canvas) -> Image:
    """Hair colour in streaks, everywhere."""
    unit, rng = canvas.unit, canvas.rng
    clumps = fractal_noise(rng, canvas.shape, [0.35 * unit, 1.2 * unit], [0.08, 0.08])
    strands = 0.10 * streaks(rng, canvas.shape, 0.05 * unit + 0.4, 0.8 * unit)
    return (canvas.subject.hair * (1 + clumps + strands)[..., None]).astype(np.float32)


def paint_hair_behind(canvas: Canvas, hair: Image) -> None:
    """Long hair falls behind the neck."""
    if canvas.subject.hair_style != "long":
        return
    unit = canvas.unit
    half_width = (canvas.points[LEFT_EDGE, 0] - canvas.points[RIGHT_EDGE, 0]) / 2
    center = np.add(canvas.center, (0, 1.5 * unit))
    mask = ellipse_mask(canvas.shape, center, (half_width * 1.24, 11.5 * unit), softness=0.1 * unit)
    blend(canvas.image, hair * 0.62, mask)


def paint_hair_front(canvas: Canvas, hair: Image) -> None:
    """Hair around the forehead: the area between a hair line and a round crown."""
    unit, style = canvas.unit, canvas.subject.hair_style
    if style == "bald":
        return
    right, left = canvas.points[RIGHT_TEMPLE], canvas.points[LEFT_TEMPLE]
    center_x = canvas.center[0]
    line = canvas.points[FOREHEAD_TOP, 1] - HAIRLINE_CM[style] * unit
    parting = 1.2 * unit if style == "side" else 0.0
    hairline = [
        (right[0], right[1] + 0.4 * unit),
        (right[0] + 0.45 * unit, right[1] - 2.2 * unit),
        (right[0] + 1.7 * unit, line + 1.6 * unit + parting),
        (center_x - 2 * unit, line + 0.3 * unit + 0.5 * parting),
        (center_x, line),
        (center_x + 2 * unit, line + 0.3 * unit - 0.3 * parting),
        (left[0] - 1.7 * unit, line + 1.6 * unit),
        (left[0] - 0.45 * unit, left[1] - 2.2 * unit),
        (left[0], left[1] + 0.4 * unit),
    ]
    base = (right[1] + left[1]) / 2
    half_width = (left[0] - right[0]) / 2 + (0.25 if style == "buzz" else 0.75) * unit
    height = base - canvas.points[FOREHEAD_TOP, 1] + CROWN_CM[style] * unit
    turn = np.linspace(0, np.pi, 40)  # a superellipse, a little squarer than an ellipse
    bend = 2 / 2.4
    crown = np.stack(
        [
            (right[0] + left[0]) / 2 + half_width * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** bend,
            base - height * np.abs(np.sin(turn)) ** bend,
        ],
        1,
    )
    area = polygon_mask(canvas.shape, np.vstack([spline(hairline, closed=False), crown]))
    softness = (0.22 if style == "buzz" else 0.14) * unit
    mask = blur(area, softness)
    fraying = 0.06 if style == "buzz" else 0.22
    frayed = 4 * mask * (1 - mask) * fraying * streaks(canvas.rng, canvas.shape, 0.05 * unit + 0.4, 0.7 * unit)
    mask = np.clip(mask + frayed, 0, 1) * (0.80 if style == "buzz" else 0.97)
    # Darker towards the outline, and a band of gloss where the crown faces the lamp.
    inside = cv2.distanceTransform((area > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / unit
    rows = np.arange(canvas.shape[0], dtype=np.float32)[:, None]
    gloss = np.exp(-(((rows - (line - 1.1 * unit)) / (0.8 * unit)) ** 2)) * np.clip(inside / 1.5, 0, 1)
    light = 0.62 + 0.42 * np.clip(inside / 1.6, 0, 1) + 0.30 * gloss
    blend(canvas.image, hair * light[..., None] + 10 * gloss[..., None], mask.astype(np.float32))


def paint_creases(canvas: Canvas) -> None:
    """The soft lines of a face at rest: nasolabial folds, under the eyes, chin, forehead."""
    age, points = canvas.subject.wrinkles, canvas.points
    for nasolabial in ((129, 203, 206, 216), (358, 423, 426, 436)):
        canvas.stroke(points[list(nasolabial)], 0.10, 0.10 + 0.18 * age, 0.13)
    for under_eye in ((163, 144, 145, 154), (381, 374, 373, 390)):
        canvas.stroke([canvas.at(vertex, 0.0, 0.37) for vertex in under_eye], 0.08, 0.10 + 0.16 * age, 0.10)
    canvas.stroke([canvas.at(83, 0.0, 0.75), canvas.at(18, 0.0, 0.85), canvas.at(313, 0.0, 0.75)], 0.12, 0.20, 0.12)
    for number in range(canvas.rng.integers(0, 4)):
        level = canvas.points[151, 1] - (0.2 + 1.0 * number) * canvas.unit
        wave = np.array([(-3, 0.20), (-1.2, 0), (1.2, 0.05), (3, 0.25)]) * canvas.unit + (canvas.center[0], level)
        canvas.stroke(wave, 0.05, 0.04 + 0.10 * age, 0.06)


def paint_nose(canvas: Canvas) -> None:
    """Nostrils, wings and the shadow beneath."""
    unit, points = canvas.unit, canvas.points
    for side, wing, sill, corner in ((-1, 98, 97, 129), (1, 327, 326, 358)):
        nostril = points[wing] * 0.62 + points[sill] * 0.38 - (0, 0.04 * unit)
        mask = ellipse_mask(canvas.shape, nostril, (0.34 * unit, 0.15 * unit), -18.0 * side, 0.07 * unit)
        canvas.image *= 1 - mask[..., None] * np.array([0.66, 0.74, 0.74], np.float32)
        fold = [
            canvas.at(corner, side * 0.05, -0.25),
            canvas.at(corner, side * 0.18, 0.15),
            canvas.at(wing, side * 0.30, 0.08),
        ]
        canvas.stroke(fold, 0.07, 0.34, 0.07)
    canvas.stroke([canvas.at(97, 0.0, 0.05), canvas.at(2, 0.0, 0.12), canvas.at(326, 0.0, 0.05)], 0.06, 0.28, 0.08)


def paint_lips(canvas: Canvas) -> None:
    """Closed lips."""
    unit, points, subject = canvas.unit, canvas.points, canvas.subject
    mask = polygon_mask(canvas.shape, spline(points[list(OUTER_LIPS)]), 0.05 * unit)
    wrinkled = 1 + 0.045 * streaks(canvas.rng, canvas.shape, 0.03 * unit + 0.4, 0.18 * unit)
    redness = subject.lip_redness
    color = subject.skin * (0.88, 0.88 - 0.30 * redness, 0.90 - 0.26 * redness)
    lit = color * (canvas.shade * wrinkled)[..., None] + 20 * canvas.gloss[..., None]
    blend(canvas.image, lit, mask * 0.8)
    meeting = (points[list(UPPER_LIP_INNER)] + points[list(LOWER_LIP_INNER)]) / 2
    canvas.stroke(meeting, 0.09, 0.58, 0.045)
    canvas.stroke(np.add(meeting, (0, 0.02 * unit)), 0.25, 0.14, 0.12)
    for corner in (61, 291):
        corner_mask = ellipse_mask(canvas.shape, points[corner], (0.22 * unit, 0.14 * unit), softness=0.10 * unit)
        canvas.image *= (1 - 0.32 * corner_mask)[..., None]
    canvas.stroke([canvas.at(84, 0.0, 0.1), canvas.at(17, 0.0, 0.13), canvas.at(314, 0.0, 0.1)], 0.10, 0.20, 0.09)


def paint_eye_sockets(canvas: Canvas) -> None:
    """The shade around an eye and the fold of the upper lid."""
    unit, points = canvas.unit, canvas.points
    y, x = np.mgrid[: canvas.shape[0], : canvas.shape[1]].astype(np.float32)
    for ring in (RIGHT_EYE, LEFT_EYE):
        cx, cy = points[list(ring)].mean(0)
        socket = np.exp(-(((x - cx) / (1.9 * unit)) ** 2) - ((y - cy + 0.35 * unit) / (0.95 * unit)) ** 2)
        canvas.image *= (1 - 0.15 * socket)[..., None]
        if canvas.subject.has_lid_crease:
            outer, *lid, inner = upper_lid(ring)
            above = [canvas.at(vertex, 0.0, -0.32) for vertex in lid[1:-1]]
            canvas.stroke([canvas.at(outer, 0.0, -0.15), *above, canvas.at(inner, 0.0, -0.1)], 0.05, 0.38, 0.05)


def paint_brows(canvas: Canvas) -> None:
    """A soft area with short hairs on it, flatter towards the temple."""
    unit, rng, points = canvas.unit, canvas.rng, canvas.points
    for upper, lower in (RIGHT_BROW, LEFT_BROW):
        middle = (points[list(upper)] + points[list(lower)]) / 2
        top = middle + (points[list(upper)] - middle) * canvas.subject.brow_thickness
        bottom = middle + (points[list(lower)] - middle) * canvas.subject.brow_thickness
        area = polygon_mask(canvas.shape, spline(np.vstack([top, bottom[::-1]])), 0.10 * unit)
        outward = np.sign(middle[0, 0] - canvas.center[0])
        hairs = np.zeros(canvas.shape, np.float32)
        for _ in range(190):
            along, height = rng.uniform(0, 4), rng.uniform(0.05, 0.95)
            at, between = int(along), along % 1
            root = (top[at] + (top[at + 1] - top[at]) * between) * height
            root = root + (bottom[at] + (bottom[at + 1] - bottom[at]) * between) * (1 - height)
            inner = along / 4  # 0 at the temple, 1 at the nose
            direction = np.array([outward * (0.95 - 0.5 * inner), -0.15 - 0.75 * inner - 0.5 * (height - 0.5)])
            tip = root + rng.uniform(0.25, 0.5) * unit * direction
            ends = [tuple(int(value) for value in np.round(end * 16)) for end in (root, tip)]
            cv2.line(hairs, *ends, rng.uniform(0.4, 1), max(1, int(0.035 * unit)), cv2.LINE_AA, 4)
        hairs = blur(hairs, 0.02 * unit + 0.3)
        density = 0.42 * area + 0.75 * hairs * np.clip(area * 1.6, 0, 1)
        blend(canvas.image, canvas.subject.hair * 0.55, np.clip(density, 0, 0.93))


def paint_eyes(canvas: Canvas) -> tuple[Image, Mask]:
    """Lashes onto the canvas; eyeballs onto a layer of their own.

    Returns:
        The eyeball layer and the mask of the lid openings through which it shows.
    """
    unit, points, subject = canvas.unit, canvas.points, canvas.subject
    eyeballs = np.zeros_like(canvas.image)
    hole = np.zeros(canvas.shape, np.float32)
    for ring in (RIGHT_EYE, LEFT_EYE):
        _paint_eyeball(canvas, eyeballs, ring)
        hole = np.maximum(hole, polygon_mask(canvas.shape, spline(points[list(ring)])))
        upper = spline(points[upper_lid(ring)], closed=False)
        lashes = line_mask(canvas.shape, upper, 0.11 * unit, 0.03 * unit + 0.3)
        blend(canvas.image, subject.hair * 0.25, np.clip(lashes * 0.9, 0, 1))
        lower = np.add(spline(points[list(ring)[LOWER_LID]], closed=False), (0, 0.03 * unit))
        rim = line_mask(canvas.shape, lower, 0.05 * unit, 0.04 * unit + 0.3)
        blend(canvas.image, subject.skin * (0.55, 0.38, 0.35), rim * 0.5)
    return eyeballs, blur(hole, 0.025 * unit + 0.3)


def _paint_eyeball(canvas: Canvas, eyeballs: Image, ring: tuple[int, ...]) -> None:
    unit, rng, points = canvas.unit, canvas.rng, canvas.points
    outline = points[list(ring)]
    center = outline.mean(0)
    low = np.maximum((outline[:, 0].min() - 0.8 * unit, center[1] - 1.6 * unit), 0).astype(int)
    high = np.array([outline[:, 0].max() + 0.8 * unit, center[1] + 1.6 * unit]).astype(int)
    window = eyeballs[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[low[1] : low[1] + window.shape[0], low[0] : low[0] + window.shape[1]].astype(np.float32)

    white = 0.86 * (1 - 0.42 * np.clip(np.abs(x - center[0]) / (1.7 * unit), 0, 1) ** 2)
    white = white * (1 + fractal_noise(rng, x.shape, [0.1 * unit], [0.02]))
    window[:] = np.array([240, 233, 228]) * white[..., None]
    iris_center = center - (0, 0.06 * unit)
    radius = IRIS_RADIUS_CM * unit
    distance = np.hypot(x - iris_center[0], y - iris_center[1]) / radius
    angle = np.arctan2(y - iris_center[1], x - iris_center[0])
    fibres = 0.16 * np.sin(angle * 23 + rng.uniform(0, 6)) * np.clip(distance, 0, 1)
    fibres = fibres + 0.10 * np.sin(angle * 41 + rng.uniform(0, 6))
    rim = 1 - 0.6 * np.clip((distance - 0.82) / 0.18, 0, 1)
    iris = canvas.subject.iris * ((0.75 + 0.5 * np.clip(1 - distance, 0, 1) + fibres) * rim)[..., None]
    blend(window, iris, np.clip((1 - distance) * radius + 0.5, 0, 1))
    window *= (1 - 0.95 * np.clip((0.36 - distance) * radius + 0.5, 0, 1))[..., None]

    lid = points[upper_lid(ring)]
    order = np.argsort(lid[:, 0])
    edge = np.interp(x[0], lid[order, 0], lid[order, 1])
    shadow = 0.4 * np.exp(-np.clip(y - edge, 0, None) / (0.22 * unit))
    window *= (1 - shadow)[..., None]
    spot = np.add(iris_center, (canvas.light[0] * 0.25 * unit - 0.08 * unit, -0.18 * unit)) - low
    highlight = ellipse_mask(x.shape, spot, (0.10 * unit, 0.10 * unit), softness=0.025 * unit)
    blend(window, np.array([255.0, 255.0, 255.0]), highlight * 0.9)
