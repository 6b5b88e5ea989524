"""Maps over the face: how much each cell contributes to the contrast, the logit of a class less the mean of the others.

Positive cells speak for the class, negative ones against it. Occlusion and integrated gradients compare the clip with
the same face without motion, which is a true baseline under the normalisation `difference`.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mer_jax.explain.layout import Cells, Inputs, resample_cells, still_inputs
from mer_jax.explain.linear import ExplainedLinear
from mer_jax.explain.network import ExplainedNetwork, PooledFeatures

STEPS = 32  # points on the line of integrated gradients; doubled up to the limit until the sum is right
MOST_STEPS = 256
TOLERANCE = 0.02  # of the difference of the outputs

Contrast = Float[np.ndarray, " k"]
Explained = ExplainedNetwork | ExplainedLinear


@dataclasses.dataclass(frozen=True, eq=False)
class Attribution:
    """Integrated gradients of one clip.

    Attributes:
        cells: Sum over the pixels, frames and channels of each cell.
        total: Sum over all cells.
        expected: Contrast of the clip less that of the still face, which the total approaches.
        steps: Points on the line.
    """

    cells: Cells
    total: float
    expected: float
    steps: int

    @property
    def error(self) -> float:
        """Distance of the total from what is expected, as a share of that."""
        return abs(self.total - self.expected) / max(abs(self.expected), 1e-9)


def contrast_of(class_index: int, num_classes: int) -> Contrast:
    """Weights of the logits: 1 for a class, and the mean of the others less.

    Example:
        >>> contrast_of(1, 3).tolist()
        [-0.5, 1.0, -0.5]
    """
    contrast = np.full(num_classes, -1 / (num_classes - 1))
    contrast[class_index] = 1.0
    return contrast


def score_without(
    model: Explained, inputs: Inputs, contrast: Contrast, removed: Bool[np.ndarray, "n r c"]
) -> Float[np.ndarray, "n"]:
    """Contrast of a clip after the motion of some cells is taken away.

    Args:
        model: What answers.
        inputs: Of one clip.
        contrast: See `contrast_of`.
        removed: Cells of each variant.
    """
    return model.logits(inputs, still_inputs(model.layout, inputs), (~removed).astype(np.float64)) @ contrast


def occlude(model: Explained, inputs: Inputs, contrast: Contrast) -> Cells:
    """Occlusion: by how much the contrast falls when the motion of one cell is taken away, in all frames.

    Args:
        model: What answers.
        inputs: Of one clip.
        contrast: See `contrast_of`.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
    Differs: the cell keeps its content and loses its motion; theirs is painted gray.
    """
    each = model.layout.one_cell_each()
    nothing = np.zeros_like(each[:1])
    scores = score_without(model, inputs, contrast, np.concatenate([nothing, each]))
    return (scores[0] - scores[1:]).reshape(each.shape[1:])


def integrate_gradients(
    model: Explained, inputs: Inputs, contrast: Contrast, steps: int = STEPS, *, tolerance: float = TOLERANCE
) -> Attribution:
    """Integrated gradients of the contrast from the still face to the clip, summed over frames.

    Steps are doubled until their sum is close to the difference of the outputs, or `MOST_STEPS` is reached.

    Args:
        model: What answers.
        inputs: Of one clip.
        contrast: See `contrast_of`.
        steps: Points on the line, in the middle of equal parts of it.
        tolerance: How close, as a share of the difference.

    Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017, section 3.
    Differs: signed and of a contrast; absolute values cannot tell what speaks against a class.
    """
    still = still_inputs(model.layout, inputs)
    whole = np.zeros((2, model.layout.rows, model.layout.columns))
    whole[0] = 1
    moving, resting = (model.logits(inputs, still, whole) @ contrast).tolist()
    while True:
        points = (np.arange(steps) + 0.5) / steps
        gradient = model.path_gradient(inputs, still, points, contrast)
        cells = model.layout.sum_cells(
            tuple((each - before) * slope for each, before, slope in zip(inputs, still, gradient, strict=True))
        )
        found = Attribution(cells, float(cells.sum()), moving - resting, steps)
        if found.error <= tolerance or 2 * steps > MOST_STEPS:
            return found
        steps *= 2


def weigh_features(model: Explained, inputs: Inputs, contrast: Contrast) -> Cells | None:
    """3D Grad-CAM on the output of the convolution and its pool, summed over the time steps.

    Args:
        model: What answers.
        inputs: Of one clip.
        contrast: See `contrast_of`.

    Returns:
        The map; None where the network has no such block for each of its inputs.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2; averaged over frames as well.
    """
    if not isinstance(model, ExplainedNetwork):
        return None
    features = model.pooled_features(inputs, contrast)
    layout = model.layout
    ordered = sorted(features, key=lambda each: "lower" in each.path)  # upper above lower, as the face is
    if len(ordered) == 1:
        bands = [(0, layout.rows)]
    elif [each.path.split("/")[0] for each in ordered] == ["upper", "lower"]:
        bands = list(layout.bands)
    else:
        return None
    return np.concatenate(
        [
            resample_cells(_grad_cam(each), last - first, layout.columns)
            for each, (first, last) in zip(ordered, bands, strict=True)
        ]
    )


def _grad_cam(features: PooledFeatures) -> Float[np.ndarray, "h w"]:
    weights = features.gradient.mean(axis=(0, 1, 2))
    return np.maximum(features.values @ weights, 0).sum(axis=0)
