"""Augmentation on the device: (key, clip) -> clip, one transform for all frames."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from mer_jax.config import Augmentation
from mer_jax.typing import PRNGKey


@struct.dataclass
class Change:
    """How one clip is augmented.

    Attributes:
        position: [2, 3]; takes (column, row, 1), in pixels from the middle of a frame, to the column and row of the
            clip that is sampled there.
        gain: Factor of the contrast, about the mean of the clip.
        offset: Added to all gray values.
    """

    position: Any  # Float[Array, "*b 2 3"]
    gain: Any  # Float[Array, "*b"]
    offset: Any  # Float[Array, "*b"]


def draw_change(key: PRNGKey, amounts: Augmentation, size: tuple[int, int]) -> Change:
    """Draws a rotation, shift, zoom and mirroring, all one affine map, and a contrast and brightness.

    Args:
        key: Key of this clip in this epoch.
        amounts: Ranges of the random changes.
        size: Height and width of the clip.
    """
    draws = jax.random.uniform(key, (7,), minval=-1.0, maxval=1.0)
    height, width = size
    angle = jnp.deg2rad(amounts.rotation_deg) * draws[0]
    scale = 1.0 / (1.0 + amounts.zoom * draws[1])
    flip = jnp.where(draws[2] < 2 * amounts.mirror - 1, -1.0, 1.0)
    cos, sin = scale * jnp.cos(angle), scale * jnp.sin(angle)
    # Source position of every output pixel: the inverse of the motion, about the middle.
    column = (width - 1) / 2 + amounts.shift * width * draws[3]
    row = (height - 1) / 2 + amounts.shift * height * draws[4]
    return Change(
        position=jnp.stack([flip * cos, flip * sin, column, -sin, cos, row]).reshape(2, 3),
        gain=1.0 + amounts.contrast * draws[5],
        offset=255.0 * amounts.brightness * draws[6],
    )


def augment_clip(key: PRNGKey, clip: Float[Array, "t h w"], amounts: Augmentation) -> Float[Array, "t h w"]:
    """Rotates, shifts, zooms, mirrors and relights one clip.

    The geometric parts are one affine map, so that pixels are resampled once; every
    frame gets the same map, so that no motion is added.

    Args:
        key: Key of this clip in this epoch.
        clip: Gray values from 0 to 255; frame 0 is the onset.
        amounts: Ranges of the random changes. With a `speed` above 0 the onset stays where it is; later frames are
            interpolated between their neighbours, and the last one is held.

    Returns:
        The clip, clipped to 0 to 255.

    Source: sections 3.1 and 3.2 and figure 3 of the paper (rotation, cropping,
    brightness, contrast).
    """
    height, width = clip.shape[-2:]
    change = draw_change(key, amounts, (height, width))
    y, x = jnp.meshgrid(jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij")
    source_x, source_y = (row[0] * x + row[1] * y + row[2] for row in change.position)
    clip = sample_bilinear(clip, source_y, source_x)
    if amounts.speed:
        clip = change_speed(clip, 1.0 + amounts.speed * jax.random.uniform(jax.random.fold_in(key, 1), minval=-1.0))
    mean = clip.mean()
    return jnp.clip((clip - mean) * change.gain + mean + change.offset, 0.0, 255.0)


def sample_bilinear(
    clip: Float[Array, "t h w"], y: Float[Array, "h2 w2"], x: Float[Array, "h2 w2"]
) -> Float[Array, "t h2 w2"]:
    """Samples every frame at the same sub-pixel positions by bilinear interpolation; edges are repeated outwards.

    Args:
        clip: Frames.
        y: Rows, from 0 to h - 1.
        x: Columns, from 0 to w - 1.
    """
    frames, height, width = clip.shape
    y = jnp.clip(y, 0.0, height - 1.0)
    x = jnp.clip(x, 0.0, width - 1.0)
    top = jnp.minimum(y.astype(jnp.int32), height - 2)
    left = jnp.minimum(x.astype(jnp.int32), width - 2)
    dy, dx = y - top, x - left
    index = top * width + left
    steps = (0, 1, width, width + 1)

    def by_pixel(clip, index):
        flat = clip.reshape(frames, -1)
        return [flat.at[:, index.reshape(-1) + step].get(mode="promise_in_bounds") for step in steps]

    def along_one_axis(clip, index):
        # Where a gather takes the same pixel of all frames, XLA transposes the whole clip twice on a GPU.
        flat, frame = clip.reshape(-1), jnp.arange(frames)[:, None] * (height * width)
        return [flat.at[frame + index.reshape(-1) + step].get(mode="promise_in_bounds") for step in steps]

    corners = jax.lax.platform_dependent(clip, index, cpu=by_pixel, default=along_one_axis)
    weights = [(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx]
    products = [corner * weight.reshape(-1) for corner, weight in zip(corners, weights, strict=True)]
    return functools.reduce(jnp.add, products).reshape(frames, *y.shape)


def change_speed(clip: Float[Array, "t h w"], speed: Float[Array, ""]) -> Float[Array, "t h w"]:
    """Resamples a clip to `speed` times its speed, linearly between frames; the last frame is held.

    Args:
        clip: Frames.
        speed: Above 0; 1 changes nothing.
    """
    last = clip.shape[0] - 1
    position = jnp.minimum(jnp.arange(clip.shape[0]) * speed, last)
    before = jnp.minimum(position.astype(jnp.int32), max(last - 1, 0))
    share = (position - before)[:, None, None]
    return (1.0 - share) * clip[before] + share * clip[jnp.minimum(before + 1, last)]
