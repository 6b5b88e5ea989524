"""Views: the inputs of networks, as pure functions of stored 8-bit pictures.

A model names its view in the class attribute `view`:

    halves   upper and lower half of the face, [*b, t, 64, 128, 1] each, from whole faces
    face     the whole face, [*b, t, 128, 128, 1]
    motion   one picture of horizontal flow, vertical flow and strain, [*b, 28, 28, 3]
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.sizes import FACE_SIZE, HALF_HEIGHT, MOTION_SIZE, MOTION_ZERO


@dataclasses.dataclass(frozen=True)
class View:
    """One way to make inputs of a network from stored pictures.

    Attributes:
        name: Name that models state.
        stored: Kind of `Clips` that it is computed from, "faces" or "motion".
        is_augmented: Whether clips are augmented first; motion features are not.
        shapes: From a number of frames to the shape of each input of one clip.
        make: From pictures [*b, ...], floats from 0 to 255, and the name of a normalisation to inputs of the model.
    """

    name: str
    stored: str
    is_augmented: bool
    shapes: Callable[[int], tuple[tuple[int, ...], ...]]
    make: Callable[[Array, str], tuple[Array, ...]]


def find_view(model: Any) -> View:
    """Returns the view of a model.

    Args:
        model: A network or baseline, or its class, with the class attribute `view`.

    Raises:
        ConfigError: The attribute is missing or unknown.
    """
    name = getattr(model, "view", None)
    if name not in VIEWS:
        owner = (model if isinstance(model, type) else type(model)).__name__
        raise ConfigError(
            f"got view={name!r} of the model {owner}; expected a class attribute, such as "
            f'`view: ClassVar[str] = "halves"`; {near_names(str(name), VIEWS)}'
        )
    return VIEWS[name]


def input_shapes(model: Any, num_frames: int, batch: int = 1) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of a model's inputs, for `jax.eval_shape`.

    Args:
        model: See `find_view`.
        num_frames: Number of frames t; unused for motion features, which have none.
        batch: Number of clips b.

    Example:
        >>> class Net:
        ...     view = "motion"
        >>> [each.shape for each in input_shapes(Net, 18)]
        [(1, 28, 28, 3)]
    """
    return tuple(jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in find_view(model).shapes(num_frames))


def normalize_difference(faces: Float[Array, "*b t h w"]) -> Float[Array, "*b t h w"]:
    """Difference of every frame to the onset frame, in units of the face's contrast.

    `8 * (x_t - x_0) / (std(x_0) + 5)`, clipped to -4 .. 4: about 1 where a feature
    with the contrast of a lip has moved by a third of a pixel. The 5 gray levels keep
    a flat frame from being blown up.

    Args:
        faces: Gray values from 0 to 255; frame 0 is the onset.

    Differs: the paper feeds gray frames. On the surrogate those stay at chance for as long
    as early stopping lets them train (benchmarks/RESULTS.md), so the difference is our
    default.
    """
    onset = faces[..., :1, :, :]
    contrast = onset.std((-3, -2, -1), keepdims=True)
    return jnp.clip(8.0 * (faces - onset) / (contrast + 5.0), -4.0, 4.0)


def normalize_gray(faces: Float[Array, "*b t h w"]) -> Float[Array, "*b t h w"]:
    """Gray values with mean 0 and standard deviation 1 over the clip.

    Args:
        faces: Gray values from 0 to 255.

    Source: section 3.1 of the paper feeds gray frames and names no scale; this is ours.
    """
    mean = faces.mean((-3, -2, -1), keepdims=True)
    return (faces - mean) / (faces.std((-3, -2, -1), keepdims=True) + 1e-3)


NORMALIZATIONS = {"difference": normalize_difference, "gray": normalize_gray}


def make_face(faces: Num[Array, "*b t h w"], normalization: str) -> tuple[Float[Array, "*b t h w 1"]]:
    """Normalises whole faces.

    Args:
        faces: Gray values from 0 to 255, 128 high and wide.
        normalization: One of `NORMALIZATIONS`.

    Raises:
        ConfigError: Unknown normalisation.
    """
    if normalization not in NORMALIZATIONS:
        raise ConfigError(f"got normalization={normalization!r}; {near_names(normalization, NORMALIZATIONS)}")
    return (NORMALIZATIONS[normalization](faces.astype(jnp.float32))[..., None],)


def make_halves(
    faces: Num[Array, "*b t h w"], normalization: str
) -> tuple[Float[Array, "*b t h2 w 1"], Float[Array, "*b t h2 w 1"]]:
    """Normalises whole faces and splits them into the upper and the lower half.

    Args:
        faces: Gray values from 0 to 255, 128 high and wide.
        normalization: One of `NORMALIZATIONS`.

    Returns:
        The halves, each 64 high and 128 wide, with a channel axis.

    Raises:
        ConfigError: Unknown normalisation.
    """
    (faces,) = make_face(faces, normalization)
    return faces[..., :HALF_HEIGHT, :, :], faces[..., HALF_HEIGHT:, :, :]


def make_motion(pictures: Num[Array, "*b h w 3"], normalization: str = "") -> tuple[Float[Array, "*b h w 3"]]:
    """Scales motion features to -1 .. 1, 0 where nothing moves.

    Args:
        pictures: Horizontal flow, vertical flow, strain, from 0 to 255; 128 is no motion.
        normalization: Unused: motion features have one scale.
    """
    return ((pictures.astype(jnp.float32) - MOTION_ZERO) / 127.5,)


def check_face(face: Array) -> None:
    """Validates the shape and dtype of whole faces before anything is compiled.

    Args:
        face: Whole faces [*b, t, 128, 128, 1].

    Raises:
        ShapeError: Saying what was got and what was expected.
    """
    _check_frames("the face", face, FACE_SIZE, "mer_jax.data.views.make_face")


def check_halves(upper: Array, lower: Array) -> None:
    """Validates the shape and dtype of both halves before anything is compiled.

    Args:
        upper: Upper halves [*b, t, 64, 128, 1].
        lower: Lower halves of the same shape.

    Raises:
        ShapeError: Naming the half, what was got and what was expected.
    """
    for name, half in (("upper", upper), ("lower", lower)):
        _check_frames(f"the {name} half", half, HALF_HEIGHT, "mer_jax.data.views.make_halves")
    if upper.shape != lower.shape:
        raise ShapeError(f"got halves of different shapes, {upper.shape} and {lower.shape}; both come from one clip")


def _check_frames(name: str, frames: Array, height: int, maker: str) -> None:
    if frames.ndim < 4 or frames.shape[-3:] != (height, FACE_SIZE, 1):
        raise ShapeError(
            f"got {name} with shape {frames.shape}, expected [*b, t, {height}, {FACE_SIZE}, 1] "
            f"(any leading axes, frames, height, width, channel); make it with {maker}"
        )
    if not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ShapeError(f"got {name} as {frames.dtype}, expected normalised floats; make them with {maker}")


def check_motion(motion: Array) -> None:
    """Validates the shape and dtype of motion features before anything is compiled.

    Args:
        motion: Horizontal flow, vertical flow and strain [*b, 28, 28, 3].

    Raises:
        ShapeError: Saying what was got and what was expected.
    """
    if motion.ndim < 3 or motion.shape[-3:] != (MOTION_SIZE, MOTION_SIZE, 3):
        raise ShapeError(
            f"got motion features with shape {motion.shape}, expected [*b, {MOTION_SIZE}, {MOTION_SIZE}, 3] "
            "(horizontal flow, vertical flow, strain last); make them with mer_jax.vision.flow.motion_features"
        )
    if not jnp.issubdtype(motion.dtype, jnp.floating):
        raise ShapeError(
            f"got motion features as {motion.dtype}, expected floats from -1 to 1; "
            "make them with mer_jax.data.views.make_motion"
        )


def _half_shapes(num_frames: int) -> tuple[tuple[int, ...], ...]:
    return ((num_frames, HALF_HEIGHT, FACE_SIZE, 1),) * 2


def _face_shapes(num_frames: int) -> tuple[tuple[int, ...], ...]:
    return ((num_frames, FACE_SIZE, FACE_SIZE, 1),)


def _motion_shapes(num_frames: int) -> tuple[tuple[int, ...], ...]:
    del num_frames
    return ((MOTION_SIZE, MOTION_SIZE, 3),)


VIEWS = {
    view.name: view
    for view in (
        View("halves", stored="faces", is_augmented=True, shapes=_half_shapes, make=make_halves),
        View("face", stored="faces", is_augmented=True, shapes=_face_shapes, make=make_face),
        View("motion", stored="motion", is_augmented=False, shapes=_motion_shapes, make=make_motion),
    )
}
