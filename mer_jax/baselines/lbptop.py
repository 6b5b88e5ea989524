"""Local binary patterns on three orthogonal planes, and a linear classifier."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from mer_jax.baselines.linear_svc import fit_predict_svc, fit_svc
from mer_jax.errors import ShapeError

NEIGHBOURS = 8
NUM_PATTERNS = NEIGHBOURS * (NEIGHBOURS - 1) + 3  # uniform ones, and one bin for all others
_PLANES = ((1, 2), (0, 2), (0, 1))  # XY, XT, YT as axes of a clip [t, h, w]


@dataclasses.dataclass(kw_only=True)
class LbpTop:
    """LBP-TOP histograms of a grid of blocks, and a linear SVC.

    Attributes:
        num_classes: Number of classes k.
        blocks: Rows and columns of blocks; each spans all frames.
        radius: Of the circle of neighbours, in pixels.
        radius_t: Of the same along the frames.
        penalty: C of the classifier, see `fit_predict_svc`.

    Source: Zhao and Pietikainen, "Dynamic texture recognition using local binary patterns with an application to facial
    expressions", IEEE TPAMI 29(6), 2007, section 3, with the uniform patterns of Ojala et al., IEEE TPAMI 24(7), 2002.
    Sizes of blocks and radii differ between authors; the defaults are ours.
    """

    view: ClassVar[str] = "face"

    num_classes: int = 3
    blocks: int = 8
    radius: int = 1
    radius_t: int = 2
    penalty: float = 1.0

    def features(self, pictures: UInt8[np.ndarray, "n t h w"]) -> Float[np.ndarray, "n d"]:
        """Returns the square root of the share of each pattern in each block and plane.

        Raises:
            ShapeError: Too few frames for the radius.
        """
        return np.stack(
            [np.sqrt(lbp_top(clip, self.blocks, self.radius, self.radius_t)).reshape(-1) for clip in pictures]
        )

    def fit_predict(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], test: Float[np.ndarray, "m d"], seed: int
    ) -> Float[np.ndarray, "m k"]:
        """Trains on one side of a fold and predicts the other, see `fit_predict_svc`."""
        return fit_predict_svc(train, labels, test, num_classes=self.num_classes, penalty=self.penalty, seed=seed)

    def fit(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], seed: int
    ) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
        """Trains the classifier and returns it as one linear map, see `fit_svc`."""
        return fit_svc(train, labels, num_classes=self.num_classes, penalty=self.penalty, seed=seed)


def lbp_top(
    clip: UInt8[np.ndarray, "t h w"], blocks: int, radius: int, radius_t: int
) -> Float[np.ndarray, "3 {blocks} {blocks} 59"]:
    """Returns the shares of the uniform patterns in the planes XY, XT and YT, block by block.

    Args:
        clip: Gray frames.
        blocks: Rows and columns of blocks.
        radius: In pixels.
        radius_t: In frames.

    Raises:
        ShapeError: Too few frames or pixels for radius and blocks.
    """
    margins = (radius_t, radius, radius)
    inner = [size - 2 * margin for size, margin in zip(clip.shape, margins, strict=True)]
    if inner[0] < 1 or min(inner[1:]) < blocks:
        raise ShapeError(
            f"got a clip of {clip.shape[0]} frames of {clip.shape[1]}x{clip.shape[2]}, expected at least "
            f"{2 * radius_t + 1} frames of {2 * radius + blocks} pixels for radius_t={radius_t}, radius={radius} and "
            f"{blocks} rows of blocks; use more frames, or a smaller radius_t"
        )
    row = np.arange(inner[1]) * blocks // inner[1]
    column = np.arange(inner[2]) * blocks // inner[2]
    block = (row[:, None] * blocks + column) * NUM_PATTERNS
    shares = np.empty((3, blocks, blocks, NUM_PATTERNS))
    for plane, axes in enumerate(_PLANES):
        pattern = uniform_patterns()[local_binary_patterns(clip, axes, margins)]
        counts = np.bincount((block + pattern).reshape(-1), minlength=blocks * blocks * NUM_PATTERNS)
        counts = counts.reshape(blocks, blocks, NUM_PATTERNS)
        shares[plane] = counts / counts.sum(axis=-1, keepdims=True)
    return shares


def local_binary_patterns(
    clip: UInt8[np.ndarray, "t h w"], axes: tuple[int, int], margins: tuple[int, int, int]
) -> UInt8[np.ndarray, "t2 h2 w2"]:
    """Returns which of eight neighbours in a plane are at least as bright as the centre pixel, one bit each.

    Neighbours lie on an ellipse in the plane, evenly by angle, and are interpolated.

    Args:
        clip: Gray frames.
        axes: Of the plane.
        margins: Radius along each axis; pixels so close to an end have no pattern.
    """
    levels = clip.astype(np.float32)
    center = _shifted(levels, margins, (0, 0, 0))
    patterns = np.zeros(center.shape, np.uint8)
    for bit in range(NEIGHBOURS):
        angle = 2 * np.pi * bit / NEIGHBOURS
        offset = np.zeros(3)
        offset[axes[0]], offset[axes[1]] = -margins[axes[0]] * np.sin(angle), margins[axes[1]] * np.cos(angle)
        offset = np.round(offset, 6)  # sines of whole turns are not quite 0
        lower = np.floor(offset).astype(int)
        share = offset - lower
        value = np.zeros_like(center)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, share, 1 - share))
            if weight > 0:
                value += np.float32(weight) * _shifted(levels, margins, tuple(lower + corner))
        # Interpolation rounds: of equal levels, none is darker.
        patterns |= (value >= center - 1e-3).astype(np.uint8) << np.uint8(bit)
    return patterns


def _shifted(levels, margins, shift):
    slices = (
        slice(margin + step, size - margin + step)
        for size, margin, step in zip(levels.shape, margins, shift, strict=True)
    )
    return levels[tuple(slices)]


@functools.cache
def uniform_patterns() -> Int[np.ndarray, " 256"]:
    """Returns the bin of each pattern: own bins for patterns with at most two changes around the circle, else the last.

    Example:
        >>> uniform_patterns()[[0b00000000, 0b00000111, 0b11111111, 0b01010101]].tolist()
        [0, 6, 57, 58]
    """
    bits = (np.arange(256)[:, None] >> np.arange(NEIGHBOURS)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    is_uniform = changes <= 2
    return np.where(is_uniform, np.cumsum(is_uniform) - 1, NUM_PATTERNS - 1)
