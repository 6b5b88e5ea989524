"""The neutral, frontal portrait of a subject, painted once and moved afterwards."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float

from datasets.surrogate import features
from datasets.surrogate.canvas import Canvas
from datasets.surrogate.drawing import (
    Image,
    Mask,
    blend,
    blur,
    depth_buffer,
    ellipse_mask,
    fractal_noise,
    polygon_mask,
    spline,
)
from datasets.surrogate.identity import Subject
from datasets.surrogate.mesh import CHIN, FACE_OVAL, LEFT_EYE, NUM_VERTICES, RIGHT_EYE, load_mesh
from mer_jax.vision.libraries import cv2

CAMERA_DISTANCE_CM = 75.0
AMBIENT, KEY_LIGHT = 0.56, 0.55  # shares of the two lights
HIGHLIGHT_KNEE = 190.0  # brighter values are compressed, as a camera's tone curve does
RIGHT_CHEEK_EDGE, LEFT_CHEEK_EDGE = 234, 454
RIGHT_JAW, LEFT_JAW = 172, 397


@dataclasses.dataclass(frozen=True)
class Lamps:
    """How a laboratory lights the face.

    Attributes:
        azimuth, elevation: ranges of the direction of the key light, radians; 0 is from the camera.
        contrast: range of the share of the key light's modelling that is left; 0 is light from everywhere.
    """

    azimuth: tuple[float, float] = (-0.6, 0.6)
    elevation: tuple[float, float] = (0.25, 0.7)
    contrast: tuple[float, float] = (0.5, 1.2)


@dataclasses.dataclass(frozen=True, eq=False)
class Portrait:
    """A painted neutral face.

    Attributes:
        image: the person with eyelid skin where the eyeballs show.
        eyeballs: the eyeballs, drawn larger than they show.
        eye_hole: where the eyeballs show, 0 to 1.
        landmarks: true image positions of the 468 mesh vertices.
        depths: of the vertices, centimetres before the eyes.
        depth_map: of every pixel, the same; fades to 0 outside the head.
        pixels_per_cm: scale at the depth of the eyes.
        light: unit vector towards the key light; axes as in `FaceMesh`.
    """

    image: Image
    eyeballs: Image
    eye_hole: Mask
    landmarks: Float[np.ndarray, "468 2"]
    depths: Float[np.ndarray, "468"]
    depth_map: Mask
    pixels_per_cm: float
    light: Float[np.ndarray, "3"]

    def flat(self) -> Image:
        """The portrait with its eyes in place."""
        return self.image + (self.eyeballs - self.image) * self.eye_hole[..., None]


def paint_portrait(
    subject: Subject,
    shape: tuple[int, int],
    pixels_per_cm: float,
    center: tuple[float, float],
    *,
    lamps: Lamps | None = None,
) -> Portrait:
    """Paints a subject.

    Args:
        subject: who.
        shape: height and width in pixels.
        pixels_per_cm: scale at the depth of the eyes.
        center: image position between the eyes, (x, y) in pixels.
        lamps: of version 2 of the surrogate, which also paints pores and blotches.
    """
    rng = np.random.default_rng(subject.seed)
    azimuth, elevation = rng.uniform(-0.6, 0.6), rng.uniform(0.25, 0.7)
    own = np.random.default_rng([subject.seed, 41])  # of version 2 alone
    if lamps is not None:
        azimuth, elevation = own.uniform(*lamps.azimuth), own.uniform(*lamps.elevation)
    light = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    vertices, triangles = _extend_to_head(subject.vertices)
    middle = subject.vertices[[*RIGHT_EYE, *LEFT_EYE]].mean(0)
    depths = vertices[:, 2] - middle[2]
    perspective = CAMERA_DISTANCE_CM / (CAMERA_DISTANCE_CM - depths) * pixels_per_cm
    points = np.asarray(center) + (vertices[:, :2] - middle[:2]) * (1, -1) * perspective[:, None]

    depth, head = depth_buffer(shape, points, depths, triangles)
    depth = blur(depth, 0.22 * pixels_per_cm) / np.maximum(blur(head, 0.22 * pixels_per_cm), 1e-3)
    shade, gloss, normal_y = _light_surface(depth, head, light, pixels_per_cm)
    if lamps is not None:
        shade = 1 + own.uniform(*lamps.contrast) * (shade - 1)
    canvas = Canvas(
        subject=subject,
        rng=rng,
        image=_paint_wall(rng, shape),
        points=points[:NUM_VERTICES],
        center=np.asarray(center, float),
        unit=pixels_per_cm,
        light=light,
        shade=shade,
        gloss=gloss,
        normal_y=normal_y,
        head=head,
    )
    hair = features.hair_texture(canvas)
    features.paint_hair_behind(canvas, hair)
    _paint_body(canvas)
    _paint_ears(canvas)
    _paint_skin(canvas)
    if lamps is not None:
        _roughen_skin(canvas, own)
    features.paint_creases(canvas)
    features.paint_nose(canvas)
    features.paint_lips(canvas)
    features.paint_eye_sockets(canvas)
    features.paint_brows(canvas)
    features.paint_hair_front(canvas, hair)
    eyeballs, eye_hole = features.paint_eyes(canvas)
    return Portrait(
        image=_compress_highlights(canvas.image),
        eyeballs=_compress_highlights(eyeballs),
        eye_hole=eye_hole,
        landmarks=canvas.points,
        depths=depths[:NUM_VERTICES],
        depth_map=np.where(head > 0, depth, 0) * blur(head, 0.3 * pixels_per_cm),
        pixels_per_cm=pixels_per_cm,
        light=light,
    )


def _compress_highlights(image: Image) -> Image:
    """Bends values above the knee towards 255; one factor for all channels, so that hues stay."""
    room = 255 - HIGHLIGHT_KNEE
    peak = np.maximum(image.max(-1, keepdims=True), 1)
    bent = HIGHLIGHT_KNEE + room * (1 - np.exp(-np.maximum(peak - HIGHLIGHT_KNEE, 0) / room))
    return (np.maximum(image, 0) * np.minimum(bent / peak, 1)).astype(np.float32)


def _extend_to_head(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adds two rings outside the face oval: the side of the skull, and the underside of the jaw."""
    oval = vertices[list(FACE_OVAL)]
    count = len(oval)
    angle = np.arctan2(oval[:, 1] - oval[:, 1].mean() - 0.6, oval[:, 0])
    above, below = np.clip(np.sin(angle), 0, 1), np.clip(-np.sin(angle), 0, 1)
    rings = [np.array(FACE_OVAL)]
    for number, (behind, raised) in enumerate(((2.0, 2.2), (5.0, 3.4)), start=1):
        ring = oval.copy()
        ring[:, 0] *= 1.03 - 0.012 * above
        ring[:, 1] += np.where(above > 0, raised * above**1.4, 0.35 * number * below)
        ring[:, 2] -= behind
        rings.append(len(vertices) + np.arange(count))
        vertices = np.vstack([vertices, ring])
    triangles = [load_mesh().triangles]
    for inner, outer in itertools.pairwise(rings):
        following_inner, following_outer = np.roll(inner, -1), np.roll(outer, -1)
        triangles.append(np.stack([inner, following_inner, outer], 1))
        triangles.append(np.stack([following_inner, following_outer, outer], 1))
    return vertices, np.concatenate(triangles)


def _light_surface(depth: Mask, head: Mask, light: np.ndarray, unit: float) -> tuple[Mask, Mask, Mask]:
    """Diffuse light, gloss, and the upward part of the normal, from the depth in centimetres."""
    slope_x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3) / 8 * unit
    slope_y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3) / 8 * unit
    normal_z = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    normal_x, normal_y = -slope_x * normal_z, slope_y * normal_z
    diffuse = np.clip(normal_x * light[0] + normal_y * light[1] + normal_z * light[2], 0, 1)
    halfway = np.add(light, (0, 0, 1))
    halfway = halfway / np.linalg.norm(halfway)
    gloss = np.clip(normal_x * halfway[0] + normal_y * halfway[1] + normal_z * halfway[2], 0, 1) ** 22
    ambient = 0.5 + 0.3 * normal_z + 0.2 * normal_y  # from above and from the camera's side
    shade = AMBIENT * ambient + KEY_LIGHT * diffuse
    shade = shade / np.median(shade[head > 0]) * 0.97
    shade = 0.75 * shade + 0.25 * np.clip(shade, 0.7, 1.1)
    # The blur above flattens the outline, where a real head turns away from the lamps.
    shade = shade * (0.62 + 0.38 * np.sqrt(np.clip(2 * blur(head, 0.3 * unit) - 1, 0, 1)))
    return shade.astype(np.float32), gloss.astype(np.float32), normal_y.astype(np.float32)


def _paint_wall(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    color = rng.uniform(120, 200) + rng.uniform(-8, 8, 3)
    down, right = np.linspace(-0.5, 0.5, shape[0])[:, None], np.linspace(-0.5, 0.5, shape[1])[None]
    return (color * (1 - 0.14 * down - 0.08 * right)[..., None]).astype(np.float32)


def _paint_body(canvas: Canvas) -> None:
    """Neck, shadowed by the head, and shoulders."""
    unit, (center_x, _) = canvas.unit, canvas.center
    height, width = canvas.shape
    chin = canvas.points[CHIN]
    jaw = (canvas.points[LEFT_JAW, 0] - canvas.points[RIGHT_JAW, 0]) / 2
    collar = chin[1] + 2.6 * unit

    outline = [(-0.88 * jaw, -4 * unit), (-0.84 * jaw, 1.2 * unit), (-1.25 * jaw, 4.2 * unit)]
    side = chin + np.array(outline)
    neck = np.vstack([side, [(2 * center_x - x, y) for x, y in side[::-1]]])
    mask = polygon_mask(canvas.shape, neck, 0.12 * unit)
    across = (np.arange(width, dtype=np.float32)[None] - center_x) / jaw
    tilt = across * np.sign(canvas.light[0]) * abs(canvas.light[0])
    cast = cv2.warpAffine(
        canvas.head, np.float32([[1, 0, -canvas.light[0] * unit], [0, 1, 1.5 * unit]]), (width, height)
    )
    shadow = blur(cast, 0.55 * unit)
    light = np.clip(0.90 - 0.34 * across**2 + 0.12 * tilt, 0.3, 1.1) * (1 - 0.42 * shadow)
    blend(canvas.image, canvas.subject.skin * light[..., None], mask)

    half = [(0.0, 1.6), (4.6, 0.0), (8.0, 1.2), (19.0, 4.5), (22.0, 9.0 + height / unit)]
    right = np.array(half) * unit
    outline = np.add(np.vstack([right[:0:-1] * (-1, 1), right]), (center_x, collar))
    mask = polygon_mask(canvas.shape, spline(outline, closed=False), 0.06 * unit)
    cloth = 0.72 + 0.2 * fractal_noise(canvas.rng, canvas.shape, [0.3 * unit, 2 * unit], [0.05, 0.12])
    below = np.clip((np.arange(height, dtype=np.float32)[:, None] - collar) / (6 * unit), 0, 1)
    cloth = cloth * (1.12 - 0.22 * below) * (1 - 0.3 * shadow) + 0.05 * across * canvas.light[0]
    blend(canvas.image, canvas.subject.clothes * cloth[..., None], mask)


def _paint_ears(canvas: Canvas) -> None:
    unit, skin = canvas.unit, canvas.subject.skin
    for side, vertex in ((-1, RIGHT_CHEEK_EDGE), (1, LEFT_CHEEK_EDGE)):
        lit = 0.86 + 0.25 * side * canvas.light[0]
        outer = ellipse_mask(
            canvas.shape, canvas.at(vertex, side * 0.30, 0.2), (0.80 * unit, 2.3 * unit), 12.0 * side, 0.05 * unit
        )
        blend(canvas.image, skin * (0.86, 0.78, 0.75) * lit, outer)
        inner = ellipse_mask(
            canvas.shape, canvas.at(vertex, side * 0.38, -0.1), (0.42 * unit, 1.6 * unit), 10.0 * side, 0.16 * unit
        )
        blend(canvas.image, skin * (0.60, 0.50, 0.47) * lit, inner * 0.7)


def _roughen_skin(canvas: Canvas, rng: np.random.Generator) -> None:
    """Pores, freckles and blotches: skin differs in how much optical flow finds to hold on to."""
    unit = canvas.unit
    amount = 0.7 * np.exp(0.6 * rng.standard_normal())
    grain = fractal_noise(
        rng, canvas.shape, [max(1.2, 0.04 * unit), max(1.5, 0.09 * unit), 0.25 * unit, 0.9 * unit],
        [0.030 * amount, 0.022 * amount, 0.014 * amount, 0.016],
    )  # fmt: skip
    freckles = np.clip(fractal_noise(rng, canvas.shape, [0.16 * unit], [1.0]) - rng.uniform(1.3, 2.6), 0, 1)
    grain = grain - (0.12 * freckles).astype(np.float32)
    canvas.image *= 1 + (grain * blur(canvas.head, 0.05 * unit))[..., None]


def _paint_skin(canvas: Canvas) -> None:
    """Complexion, moles and stubble, under the light of the head's shape."""
    unit, rng, subject = canvas.unit, canvas.rng, canvas.subject
    y, x = np.mgrid[: canvas.shape[0], : canvas.shape[1]].astype(np.float32)
    grain = fractal_noise(
        rng, canvas.shape, [max(1.5, 0.05 * unit), 0.12 * unit, 0.5 * unit, 2 * unit], [0.018, 0.018, 0.014, 0.02]
    )
    albedo = (subject.skin * (1 + grain)[..., None]).astype(np.float32)
    flush = np.zeros(canvas.shape, np.float32)
    for vertex, radius_cm, strength in ((50, 1.6, 0.10), (280, 1.6, 0.10), (4, 1.0, 0.10), (CHIN, 1.2, 0.05)):
        px, py = canvas.points[vertex]
        flush += strength * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (radius_cm * unit) ** 2))
    albedo *= 1 + flush[..., None] * np.array([0.35, -0.65, -0.55], np.float32)
    for _ in range(rng.integers(0, 14)):
        angle, distance = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform()) * 6.5 * unit
        from_center = (distance * np.cos(angle) * 0.85, 2 * unit + distance * np.sin(angle))
        radius = rng.uniform(0.03, 0.09) * unit
        mole = ellipse_mask(canvas.shape, canvas.center + from_center, (radius, radius), softness=0.03 * unit)
        blend(albedo, subject.skin * 0.5, mole * rng.uniform(0.3, 0.8))
    if subject.stubble > 0:
        jaw = (canvas.points[LEFT_JAW, 0] - canvas.points[RIGHT_JAW, 0]) / 2
        across, down = (x - canvas.center[0]) / (jaw * 1.05), (y - canvas.points[CHIN, 1] + 1.2 * unit) / (3.4 * unit)
        beard = np.clip(1.4 * np.exp(-(across**4 + down**4)), 0, 1) * subject.stubble
        beard = beard * (1 + fractal_noise(rng, canvas.shape, [max(1.2, 0.05 * unit)], [0.36]))
        blend(albedo, subject.hair * 0.6 + subject.skin * 0.2, np.clip(beard, 0, 0.75).astype(np.float32))
    oiliness = 26 * (0.5 + 0.5 * subject.skin.mean() / 230)
    lit = albedo * canvas.shade[..., None] + oiliness * canvas.gloss[..., None]
    blend(canvas.image, lit, blur(canvas.head, 0.05 * unit))
