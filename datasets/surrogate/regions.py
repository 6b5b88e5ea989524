"""Ground-truth moving regions of a clip, for evaluating explanation maps."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import LinearNDInterpolator

from datasets.surrogate.action_units import GAPS, LIDS
from datasets.surrogate.mesh import (
    LEFT_EYE,
    LOWER_LID,
    LOWER_LIP_INNER,
    RIGHT_EYE,
    UPPER_LIP_INNER,
    upper_lid,
)
from datasets.surrogate.renderer import FaceRenderer, FaceState
from datasets.surrogate.scenario import RIGHT, ClipSpec
from datasets.surrogate.studio import state_at
from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.landmarks import ibug_from_mesh

CORE = 0.5  # of the largest displacement: where the face moves at least so far is the region


def true_displacement(renderer: FaceRenderer, spec: ClipSpec) -> Float[np.ndarray, "468"]:
    """Returns the displacement of each mesh vertex from onset to apex by the clip's action units, in frame pixels.

    Head motion, blinks, gaze and disturbances by other units are left out.

    Args:
        renderer: Of the clip's subject.
        spec: The clip.
    """
    own = {key: path for key, path in spec.activations.items() if key[0] in spec.action_units}
    onset, apex = (
        FaceState(activations={key: float(path[frame]) for key, path in own.items()}) for frame in (0, spec.apex)
    )
    moved = np.hypot(*(renderer.landmarks(apex) - renderer.landmarks(onset)).T)
    for (unit, side), path in own.items():
        amount = abs(float(path[spec.apex] - path[0])) * renderer.iod
        ring = RIGHT_EYE if side == RIGHT else LEFT_EYE
        parts = []
        if unit in LIDS:
            parts += [(upper_lid(ring), LIDS[unit].upper), (list(ring[LOWER_LID]), LIDS[unit].lower)]
        if unit in GAPS:
            parts += [(list(UPPER_LIP_INNER), GAPS[unit].upper), (list(LOWER_LIP_INNER), GAPS[unit].lower)]
        for vertices, share in parts:
            moved[vertices] = np.maximum(moved[vertices], amount * abs(share))
    return moved


def moving_region(
    renderer: FaceRenderer, spec: ClipSpec, landmarks: Float[np.ndarray, "68 2"]
) -> Bool[np.ndarray, "128 128"]:
    """Returns the mask of the prepared face where motion is at least half of its maximum.

    Args:
        renderer: Of the clip's subject.
        spec: The clip.
        landmarks: Of the prepared clip, pixels of the 128x128 face; they tell where the mesh lies on it.
    """
    mesh = renderer.landmarks(state_at(spec, 0))
    known = np.column_stack([ibug_from_mesh(mesh), np.ones(len(landmarks))])
    affine, *_ = np.linalg.lstsq(known, landmarks.astype(np.float64), rcond=None)
    places = np.column_stack([mesh, np.ones(len(mesh))]) @ affine
    moved = true_displacement(renderer, spec)
    columns, rows = np.meshgrid(np.arange(FACE_SIZE), np.arange(FACE_SIZE))
    dense = LinearNDInterpolator(places, moved, fill_value=0.0)(columns, rows)
    return dense >= CORE * dense.max()
