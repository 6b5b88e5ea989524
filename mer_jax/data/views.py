"""Views: the inputs of networks, as pure functions of stored 8-bit pictures.

A model names its view in the class attribute `view`, and the view's fields, such as `picture_size`, among its own:

    halves     upper and lower half of the face, [*b, t, 64, 128, 1] each, from whole faces
    face       the whole face, [*b, t, 128, 128, 1]
    dynamic    the dynamic image of the clip, [*b, s, s, 1]
    pair       onset and apex, [*b, 2, s, s, 1]
    motion     one picture of horizontal flow, vertical flow and strain, [*b, 28, 28, 3]
    flow_maps  horizontal flow, vertical flow, strain and magnitude, [*b, s, s, 4]
    flow_set   flow and strain from the onset to n frames, [*b, n, s, s, 3]
    patches    patches around landmarks, [*b, p, 7, 7, 1], and their positions, [*b, p, 2]

The first four are computed on the device from whole faces. The others are computed in advance and kept on disk, by
`datasets.motion`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.data.face_views import Dynamic, Face, Halves, Pair, normalize_difference, normalize_gray
from mer_jax.data.flow_views import FlowMaps, FlowSet, Motion, Patches
from mer_jax.data.view import View
from mer_jax.errors import ConfigError, near_names

__all__ = [
    "VIEWS",
    "check_face",
    "check_halves",
    "check_inputs",
    "check_motion",
    "find_view",
    "input_shapes",
    "make_face",
    "make_halves",
    "make_motion",
    "normalize_difference",
    "normalize_gray",
]

VIEWS: dict[str, View] = {
    view.name: view for view in (Halves(), Face(), Dynamic(), Pair(), Motion(), FlowMaps(), FlowSet(), Patches())
}


def find_view(model: Any) -> View:
    """Returns the view of a model, with the model's values of the view's fields.

    Args:
        model: A network or baseline, or its class, with the class attribute `view`.

    Raises:
        ConfigError: The attribute is missing or unknown, or a field is out of range.

    Example:
        >>> class Net:
        ...     view = "dynamic"
        ...     picture_size = 64
        >>> find_view(Net)
        Dynamic(picture_size=64, frame_weights='corrected')
    """
    name = getattr(model, "view", None)
    if name not in VIEWS:
        owner = (model if isinstance(model, type) else type(model)).__name__
        raise ConfigError(
            f"got view={name!r} of the model {owner}; expected a class attribute, such as "
            f'`view: ClassVar[str] = "halves"`; {near_names(str(name), VIEWS)}'
        )
    view = VIEWS[name]
    own = [field.name for field in dataclasses.fields(view) if hasattr(model, field.name)]
    return dataclasses.replace(view, **{field: getattr(model, field) for field in own})


def input_shapes(model: Any, num_frames: int, batch: int = 1) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of a model's inputs, for `jax.eval_shape`.

    Args:
        model: See `find_view`.
        num_frames: Number of frames t; unused for views that have none.
        batch: Number of clips b.

    Example:
        >>> class Net:
        ...     view = "motion"
        >>> [each.shape for each in input_shapes(Net, 18)]
        [(1, 28, 28, 3)]
    """
    return tuple(jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in find_view(model).shapes(num_frames))


def check_inputs(model: Any, *inputs: Array) -> None:
    """Validates the inputs of a model before anything is compiled; the first line of its `__call__`.

    Args:
        model: The network.
        *inputs: In the order of its view.

    Raises:
        ShapeError: Naming the input, what was got and what was expected.
    """
    find_view(model).check(*inputs)


def check_face(face: Array) -> None:
    """Validates whole faces [*b, t, 128, 128, 1], see `check_inputs`."""
    VIEWS["face"].check(face)


def check_halves(upper: Array, lower: Array) -> None:
    """Validates upper and lower halves [*b, t, 64, 128, 1], see `check_inputs`."""
    VIEWS["halves"].check(upper, lower)


def check_motion(motion: Array) -> None:
    """Validates motion features [*b, 28, 28, 3], see `check_inputs`."""
    VIEWS["motion"].check(motion)


def make_face(faces: Num[Array, "*b t h w"], normalization: str) -> tuple[Float[Array, "*b t h w 1"]]:
    """Normalises whole faces, see `Face.make`."""
    return Face().make(faces, normalization)


def make_halves(
    faces: Num[Array, "*b t h w"], normalization: str
) -> tuple[Float[Array, "*b t h2 w 1"], Float[Array, "*b t h2 w 1"]]:
    """Normalises whole faces and splits them into the upper and the lower half, see `Halves.make`."""
    return Halves().make(faces, normalization)


def make_motion(pictures: Num[Array, "*b h w 3"], normalization: str = "") -> tuple[Float[Array, "*b h w 3"]]:
    """Scales motion features to -1 .. 1, see `Motion.make`."""
    return Motion().make(pictures, normalization)
