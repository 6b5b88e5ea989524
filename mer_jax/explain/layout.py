"""Cells of a picture, and the input without motion that they are replaced with."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mer_jax.errors import ModelError
from mer_jax.sizes import FACE_SIZE, MOTION_SIZE

CELL_PX = 16  # of the 128x128 face
_MOTION_CELL = 4  # of the 28x28 picture of motion

Inputs = tuple[Float[np.ndarray, "..."], ...]  # of one network: one array for each input of its view
Cells = Float[np.ndarray, "r c"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the inputs of a view lie on the picture, and the cells that the picture is divided into.

    Attributes:
        view: Name of the view.
        rows: Rows of cells.
        columns: Columns of cells.
        cell: Height and width of a cell, pixels of the input.
        bands: First and last row of cells, exclusive, of each input.
        has_frames: Whether inputs are clips [t, h, w, c]; else pictures [h, w, c].
    """

    view: str
    rows: int
    columns: int
    cell: int
    bands: tuple[tuple[int, int], ...]
    has_frames: bool

    @property
    def num_cells(self) -> int:
        """Cells of the picture."""
        return self.rows * self.columns

    def one_cell_each(self) -> Bool[np.ndarray, "n r c"]:
        """Every cell on its own, row by row."""
        return np.eye(self.num_cells, dtype=bool).reshape(self.num_cells, self.rows, self.columns)

    def half(self, name: str) -> Bool[np.ndarray, "r c"]:
        """Cells of the `upper` or the `lower` half of the picture; a row in the middle belongs to neither."""
        chosen = np.zeros((self.rows, self.columns), bool)
        half = self.rows // 2
        chosen[slice(0, half) if name == "upper" else slice(self.rows - half, None)] = True
        return chosen

    def sum_cells(self, values: Inputs) -> Cells:
        """Sums values of the inputs over frames, channels and the pixels of each cell."""
        parts = []
        for value in values:
            plane = value.sum(axis=(0, -1) if self.has_frames else -1, dtype=np.float64)
            height, width = plane.shape
            parts.append(plane.reshape(height // self.cell, self.cell, width // self.cell, self.cell).sum(axis=(1, 3)))
        return np.concatenate(parts)


def find_layout(view: str, *, size: int = MOTION_SIZE) -> Layout:
    """Returns the cells of a view.

    Args:
        view: Name, see `mer_jax.data.views.VIEWS`.
        size: Height and width of a picture of motion, for linear models that take coarser ones.

    Raises:
        ModelError: A view without maps.
    """
    side, half = FACE_SIZE // CELL_PX, FACE_SIZE // CELL_PX // 2
    if view == "halves":
        return Layout(view, side, side, CELL_PX, ((0, half), (half, side)), has_frames=True)
    if view == "face":
        return Layout(view, side, side, CELL_PX, ((0, side),), has_frames=True)
    if view == "motion":
        cell = max(1, _MOTION_CELL * size // MOTION_SIZE)
        return Layout(view, size // cell, size // cell, cell, ((0, size // cell),), has_frames=False)
    raise ModelError(
        f"the model takes the view {view!r}, which cannot be explained yet; expected a model with the view 'halves', "
        "'face' or 'motion'"
    )


def still_inputs(layout: Layout, inputs: Inputs) -> Inputs:
    """Returns the inputs of the same face without motion.

    A clip stays at its onset frame, which under the normalisation `difference` is zero; a picture of motion is zero.
    """
    if not layout.has_frames:
        return tuple(np.zeros_like(each) for each in inputs)
    return tuple(np.broadcast_to(each[:1], each.shape).copy() for each in inputs)


def resample_cells(plane: Float[np.ndarray, "h w"], rows: int, columns: int) -> Cells:
    """Resamples a plane to cells: the mean over the part of the plane that each cell covers.

    Example:
        >>> resample_cells(np.array([[0.0, 3.0, 6.0]]), 1, 2).tolist()
        [[1.0, 5.0]]
    """
    for axis, number in ((0, rows), (1, columns)):
        fine = plane.repeat(number, axis=axis)
        shape = [*fine.shape]
        shape[axis : axis + 1] = [number, shape[axis] // number]
        plane = fine.reshape(shape).mean(axis=axis + 1)
    return plane
