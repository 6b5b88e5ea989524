"""Painting primitives: curves, soft masks, noise and a small depth buffer.

Images are float32, 0 to 255, RGB; masks are float32, 0 to 1; points are (x, y) in pixels.
Everything that takes an image changes it in place.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mer_jax.vision.libraries import cv2

Image = Float[np.ndarray, "h w 3"]
Mask = Float[np.ndarray, "h w"]
Numbers = np.ndarray | Sequence  # whatever becomes an array
Points = Float[np.ndarray, "n 2"]
_SUBPIXEL_BITS = 4  # OpenCV draws in 1/16 pixel


def spline(points: Numbers, samples: int = 12, *, closed: bool = True) -> Points:
    """A smooth curve through the points (cubic Hermite, chord lengths), `samples` of it for each of them."""
    points = np.asarray(points, float)
    # Neighbours beyond the ends: around the loop, or mirrored in the end points.
    before, after = (
        (points[-1:], points[:2]) if closed else (2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1])
    )
    padded = np.vstack([before, points, after])
    steps = np.maximum(np.hypot(*np.diff(padded, axis=0).T), 1e-6)
    slopes = (padded[2:] - padded[:-2]) / (steps[1:] + steps[:-1])[:, None]
    knots, steps = padded[1:-1], steps[1:-1]
    at = np.linspace(0, steps.sum(), samples * len(points))
    starts = np.concatenate([[0.0], np.cumsum(steps)])
    piece = np.clip(np.searchsorted(starts, at, "right") - 1, 0, len(steps) - 1)
    step = steps[piece][:, None]
    t = (at - starts[piece])[:, None] / step
    rise = t * t * (3 - 2 * t)
    bend = step * t * (1 - t)
    return (
        knots[piece] * (1 - rise) + knots[piece + 1] * rise + bend * ((1 - t) * slopes[piece] - t * slopes[piece + 1])
    )


def _fixed_point(points: Numbers) -> np.ndarray:
    return np.round(np.asarray(points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; `sigma` in pixels."""
    return cv2.GaussianBlur(image, (0, 0), float(sigma))


def polygon_mask(shape: tuple[int, int], points: Numbers, softness: float = 0.0) -> Mask:
    """Inside of a polygon, its edge blurred by `softness` pixels."""
    mask = np.zeros(shape, np.float32)
    cv2.fillPoly(mask, [_fixed_point(points)], 1.0, cv2.LINE_AA, _SUBPIXEL_BITS)
    return blur(mask, softness) if softness > 0 else mask


def line_mask(shape: tuple[int, int], points: Numbers, width: float, softness: float) -> Mask:
    """An open line, `width` pixels wide before it is blurred by `softness` pixels."""
    mask = np.zeros(shape, np.float32)
    width = max(1, round(width))
    cv2.polylines(mask, [_fixed_point(points)], False, 1.0, width, cv2.LINE_AA, _SUBPIXEL_BITS)
    return blur(mask, softness)


def ellipse_mask(
    shape: tuple[int, int], center: Numbers, radii: tuple[float, float], angle_deg: float = 0.0, softness: float = 0.0
) -> Mask:
    """Inside of an ellipse, its edge blurred by `softness` pixels."""
    mask = np.zeros(shape, np.float32)
    reach = max(radii) + 4 * softness + 3
    window = _window(shape, np.asarray(center) - reach, np.asarray(center) + reach)
    if window is None:
        return mask
    rows, columns = window
    local = np.asarray(center) - (columns.start, rows.start)
    patch = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    center_fixed, radii_fixed = (tuple(int(each) for each in _fixed_point(pair)) for pair in (local, radii))
    cv2.ellipse(patch, center_fixed, radii_fixed, angle_deg, 0, 360, 1.0, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    mask[window] = blur(patch, softness) if softness > 0 else patch
    return mask


def _window(shape: tuple[int, int], low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
    """Slices of the rows and columns between two corners, or None where nothing is left."""
    x0, y0 = np.maximum(np.floor(low), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(high) + 1, (shape[1], shape[0])).astype(int).tolist()
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def blend(image: Image, color: Numbers, mask: Mask) -> None:
    """Paints a colour, or another image, through a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    color = np.asarray(color, np.float32)
    patch = color[window] if color.ndim == 3 else color
    image[window] += (patch - image[window]) * mask[window][..., None]


def stroke(image: Image, points: Numbers, width: float, darkness: float, softness: float) -> None:
    """Darkens along a smooth line through the points; widths in pixels."""
    curve = spline(points, 16, closed=False)
    softness = max(0.5, softness)
    reach = 4 * softness + width + 2
    window = _window(image.shape[:2], curve.min(0) - reach, curve.max(0) + reach)
    if window is None:
        return
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    image[window] *= (1 - darkness * line_mask(size, curve - (columns.start, rows.start), width, softness))[..., None]


def fractal_noise(rng: np.random.Generator, shape: tuple[int, int], scales: list[float], heights: list[float]) -> Mask:
    """Sum of smooth noises, each with its grain in pixels and its standard deviation."""
    total = np.zeros(shape, np.float32)
    for scale, height in zip(scales, heights, strict=True):
        rows, columns = (max(2, int(np.ceil(size / scale)) + 2) for size in shape)
        grains = rng.standard_normal((rows, columns), np.float32)
        total += height * cv2.resize(grains, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return total


def streaks(rng: np.random.Generator, shape: tuple[int, int], across: float, along: float) -> Mask:
    """Vertical streaks of unit variance; grain across and along in pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigmaX=across, sigmaY=along)
    return noise / max(float(noise.std()), 1e-6)


def depth_buffer(
    shape: tuple[int, int], points: Points, depths: Float[np.ndarray, "n"], triangles: np.ndarray
) -> tuple[Mask, Mask]:
    """Renders the depth of a mesh.

    Args:
        shape: height and width of the buffer.
        points: vertices in the image.
        depths: of the vertices; larger is nearer.
        triangles: vertex indices.

    Returns:
        The depth of the nearest surface (0 outside) and the mask of where there is one.
    """
    nearest = np.full(shape, -np.inf, np.float32)
    for a, b, c in triangles:
        corners = points[[a, b, c]]
        window = _window(shape, corners.min(0), corners.max(0))
        area = np.linalg.det(corners[1:] - corners[0])
        if window is None or abs(area) < 1e-6:
            continue
        y, x = np.mgrid[window]
        (ax, ay), (bx, by), (cx, cy) = corners
        weight_b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        weight_c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        weight_a = 1 - weight_b - weight_c
        inside = (weight_a >= -1e-4) & (weight_b >= -1e-4) & (weight_c >= -1e-4)
        depth = weight_a * depths[a] + weight_b * depths[b] + weight_c * depths[c]
        patch = nearest[window]
        inside &= depth > patch
        patch[inside] = depth[inside]
    mask = np.isfinite(nearest)
    return np.where(mask, nearest, 0).astype(np.float32), mask.astype(np.float32)
