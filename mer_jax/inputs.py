"""From 8-bit pictures to what a network takes: two halves of a face, or motion features.

A model says which by its class attribute `takes`:

    halves   upper and lower half of the face [b, t, 64, 128, 1], made from whole faces
    motion   one picture [b, 28, 28, 3] of horizontal flow, vertical flow and strain
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.typing import FACE_SIZE, HALF_HEIGHT

MOTION_SIZE = 28  # height and width of a picture of motion features
MOTION_ZERO = 128  # of 0 to 255: no motion
KINDS = ("halves", "motion")


def input_kind(model: Any) -> str:
    """Says what a model takes, one of `KINDS`.

    Args:
        model: a linen module or its class, with the class attribute `takes`.

    Raises:
        ConfigError: it says nothing, or something unknown.
    """
    kind = getattr(model, "takes", None)
    if kind not in KINDS:
        name = (model if isinstance(model, type) else type(model)).__name__
        raise ConfigError(
            f"got takes={kind!r} of the model {name}; expected a class attribute, such as "
            f'`takes: ClassVar[str] = "halves"`; {near_names(str(kind), KINDS)}'
        )
    return kind


def check_classes(model: Any, class_names: tuple[str, ...]) -> None:
    """Refuses a model that answers another number of classes than a corpus has.

    Args:
        model: a network or a baseline.
        class_names: of the corpus.

    Raises:
        ConfigError: saying what to set.
    """
    if model.num_classes != len(class_names):
        raise ConfigError(
            f"the corpus has the classes {', '.join(class_names)}, the model answers {model.num_classes}; "
            f"set --config.model.num_classes={len(class_names)}"
        )


def input_shapes(model: Any, num_frames: int, batch: int = 1) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of what a model is called with, for `jax.eval_shape`.

    Args:
        model: see `input_kind`.
        num_frames: t; motion features have no frames.
        batch: b.

    Example:
        >>> class Net:
        ...     takes = "motion"
        >>> [each.shape for each in input_shapes(Net, 18)]
        [(1, 28, 28, 3)]
    """
    if input_kind(model) == "motion":
        return (jax.ShapeDtypeStruct((batch, MOTION_SIZE, MOTION_SIZE, 3), jnp.float32),)
    half = jax.ShapeDtypeStruct((batch, num_frames, HALF_HEIGHT, FACE_SIZE, 1), jnp.float32)
    return half, half


def model_inputs(pictures: Num[Array, "*b _h _w _c"], kind: str, normalization: str) -> tuple[Array, ...]:
    """Makes stored pictures into what a model is called with.

    Args:
        pictures: of clips, from 0 to 255: whole faces [*b, t, 128, 128], or motion
            features [*b, 28, 28, 3].
        kind: of the model, see `input_kind`.
        normalization: of faces, see `make_inputs`; motion features have one scale.
    """
    pictures = pictures.astype(jnp.float32)
    if kind == "motion":
        return (normalize_motion(pictures),)
    return make_inputs(pictures, normalization)


def normalize_motion(pictures: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Motion features from -1 to 1, 0 where nothing moves.

    Args:
        pictures: horizontal flow, vertical flow, strain, from 0 to 255; 128 is none.
    """
    return (pictures - MOTION_ZERO) / 127.5


def normalize_difference(faces: Float[Array, "*b t h w"]) -> Float[Array, "*b t h w"]:
    """Difference of every frame to the onset frame, in units of the face's contrast.

    `8 * (x_t - x_0) / (std(x_0) + 5)`, clipped to -4 .. 4: about 1 where a feature
    with the contrast of a lip has moved by a third of a pixel. The 5 gray levels keep
    a flat frame from being blown up.

    Args:
        faces: gray values from 0 to 255; frame 0 is the onset.

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
        faces: gray values from 0 to 255.

    Source: section 3.1 of the paper feeds gray frames and names no scale; this is ours.
    """
    mean = faces.mean((-3, -2, -1), keepdims=True)
    return (faces - mean) / (faces.std((-3, -2, -1), keepdims=True) + 1e-3)


_NORMALIZATIONS = {"difference": normalize_difference, "gray": normalize_gray}


def make_inputs(
    faces: Float[Array, "*b t h w"], normalization: str
) -> tuple[Float[Array, "*b t h2 w 1"], Float[Array, "*b t h2 w 1"]]:
    """Normalises whole faces and cuts them into the upper and the lower half.

    Args:
        faces: gray values from 0 to 255, 128 high and wide.
        normalization: `difference` or `gray`.

    Returns:
        The halves, each 64 high and 128 wide, with a channel axis.

    Raises:
        ConfigError: unknown normalisation.
    """
    if normalization not in _NORMALIZATIONS:
        raise ConfigError(f"got normalization={normalization!r}; {near_names(normalization, _NORMALIZATIONS)}")
    faces = _NORMALIZATIONS[normalization](faces)[..., None]
    return faces[..., :HALF_HEIGHT, :, :], faces[..., HALF_HEIGHT:, :, :]


def check_halves(upper: Array, lower: Array) -> None:
    """Refuses what is no pair of face halves, before anything is compiled.

    Args:
        upper: upper halves [b, t, 64, 128, 1].
        lower: lower halves of the same shape.

    Raises:
        ShapeError: naming the half, what was got and what was expected.
    """
    for name, half in (("upper", upper), ("lower", lower)):
        if half.ndim != 5 or half.shape[-3:] != (HALF_HEIGHT, FACE_SIZE, 1):
            raise ShapeError(
                f"got the {name} half with shape {half.shape}, expected [b, t, {HALF_HEIGHT}, {FACE_SIZE}, 1] "
                f"(height, then width); make halves with mer_jax.vision.split_halves"
            )
        if not jnp.issubdtype(half.dtype, jnp.floating):
            raise ShapeError(
                f"got the {name} half as {half.dtype}, expected normalised floats; "
                "make them with mer_jax.inputs.make_inputs"
            )
    if upper.shape != lower.shape:
        raise ShapeError(f"got halves of different shapes, {upper.shape} and {lower.shape}; both come from one clip")


def check_motion(motion: Array) -> None:
    """Refuses what are no motion features, before anything is compiled.

    Args:
        motion: horizontal flow, vertical flow and strain [b, 28, 28, 3].

    Raises:
        ShapeError: saying what was got and what was expected.
    """
    if motion.ndim != 4 or motion.shape[-3:] != (MOTION_SIZE, MOTION_SIZE, 3):
        raise ShapeError(
            f"got motion features with shape {motion.shape}, expected [b, {MOTION_SIZE}, {MOTION_SIZE}, 3] (horizontal "
            "flow, vertical flow, strain last); make them with mer_jax.vision.flow.motion_features"
        )
    if not jnp.issubdtype(motion.dtype, jnp.floating):
        raise ShapeError(
            f"got motion features as {motion.dtype}, expected floats from -1 to 1; "
            "make them with mer_jax.inputs.model_inputs"
        )
