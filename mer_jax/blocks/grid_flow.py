"""Motion on a coarse grid, solved for in closed form."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from mer_jax.errors import ShapeError


def rise_and_fall(frames: Float[Array, "*b t h w"]) -> Float[Array, "*b h w"]:
    """Returns the transient change over a clip, as one picture.

    The frames are weighted by half a sine wave less its mean. What stays has no part in
    the sum, nor has what drifts evenly; what rises and falls as the wave does comes out as
    large as it is at the apex. Noise is that of many frames together, and no frame has to
    be found first.

    Args:
        frames: From onset to offset, 3 or more.
    """
    wave = np.sin(np.pi * np.arange(frames.shape[-3]) / (frames.shape[-3] - 1))
    weights = wave - wave.mean()
    weights = (weights / (weights @ wave)).astype(np.float32)
    return jnp.einsum("t,...thw->...hw", weights.astype(frames.dtype), frames)


def grid_flow(
    face: Float[Array, "*b h w"],
    change: Float[Array, "*b h w"],
    *,
    sigma: float = 1.0,
    window: int = 16,
    stride: int = 8,
    damping: float = 0.003,
    divide: bool = True,
) -> Float[Array, "*b h2 w2 2"]:
    """Solves for the motion of each window of a face from its change of gray values, in pixels.

    Within a window the motion (u, v) is that which leaves the squares of
    `Fx u + Fy v + change` smallest: normal equations of two unknowns, solved by Cramer's
    rule. It holds for small motion alone; a micro-expression moves skin by less than two
    pixels of a 128x128 face. No parameters, differentiable.

    Args:
        face: Gray, of standard deviation about 1.
        change: Change of gray values.
        sigma: Of the Gaussian that smooths both first, in pixels.
        window: Height and width of the windows, in pixels.
        stride: From one window to the next, in pixels.
        damping: Added to the mean squared gradients; pulls the motion of windows without
            texture to zero.
        divide: False returns the right side of the equations, undivided by the gradients
            of this face: what a convolution and a product can know of the motion.

    Returns:
        Motion x (to the right), then y (downwards).

    Raises:
        ShapeError: Pictures smaller than a window with its borders.

    Source: Lucas and Kanade, "An iterative image registration technique with an
    application to stereo vision", IJCAI 1981; one iteration.
    """
    height, width = face.shape[-2:]
    if min(height, width) < window + 2:
        raise ShapeError(
            f"got a face of {height}x{width} (height x width), expected at least {window + 2}x{window + 2} for "
            f"windows of {window}; use a smaller window"
        )

    def apply(rows, columns, a):
        return jnp.einsum("ih,...hw,jw->...ij", rows, a, columns)

    smoothing = smoothing_matrix(height, sigma), smoothing_matrix(width, sigma)
    windows = window_matrix(height - 2, window, stride), window_matrix(width - 2, window, stride)
    face, change = apply(*smoothing, face), apply(*smoothing, change)[..., 1:-1, 1:-1]
    x = (face[..., 1:-1, 2:] - face[..., 1:-1, :-2]) / 2
    y = (face[..., 2:, 1:-1] - face[..., :-2, 1:-1]) / 2
    xt, yt = apply(*windows, x * change), apply(*windows, y * change)
    if not divide:
        return jnp.stack([-xt, -yt], axis=-1)
    xx, yy, xy = apply(*windows, x * x) + damping, apply(*windows, y * y) + damping, apply(*windows, x * y)
    determinant = xx * yy - xy * xy
    return jnp.stack([xy * yt - yy * xt, xy * xt - xx * yt], axis=-1) / determinant[..., None]


def mirror_flow(flow: Float[Array, "*b h w 2"]) -> Float[Array, "*b h w 2"]:
    """Returns the motion of the mirrored face."""
    return flow[..., ::-1, :] * jnp.array([-1.0, 1.0], flow.dtype)


def smoothing_matrix(size: int, sigma: float) -> Float32[np.ndarray, "{size} {size}"]:
    """Returns Gaussian smoothing along one axis as a matrix; end values are repeated outwards.

    Args:
        size: Of the axis, in pixels.
        sigma: In pixels; 0 leaves all as it is.
    """
    radius = int(np.ceil(2.5 * sigma))
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (steps / max(sigma, 1e-6)) ** 2)
    matrix = np.zeros((size, size))
    source = np.clip(np.arange(size)[:, None] + steps, 0, size - 1)
    np.add.at(matrix, (np.arange(size)[:, None], source), kernel / kernel.sum())
    return matrix.astype(np.float32)


def window_matrix(size: int, window: int, stride: int) -> Float32[np.ndarray, "n {size}"]:
    """Returns means over windows along one axis as a matrix; the rest is cut off evenly at both ends.

    Args:
        size: Of the axis, in pixels.
        window: Pixels in each mean.
        stride: From one window to the next.

    Example:
        >>> window_matrix(9, 4, 3).tolist()[0]
        [0.0, 0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0]
    """
    first = (size - window) % stride // 2
    start = np.arange(first, size - window + 1, stride)[:, None]
    pixel = np.arange(size)
    return ((pixel >= start) & (pixel < start + window)).astype(np.float32) / window
