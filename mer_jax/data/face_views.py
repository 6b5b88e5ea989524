"""Views of whole faces: halves, the face, the dynamic image, and the pair of onset and apex."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Num

from mer_jax.config import Augmentation
from mer_jax.data.augment import augment_clip
from mer_jax.data.stored import STORED, Dims
from mer_jax.data.view import Input, View, check_choice, check_size
from mer_jax.errors import ConfigError, near_names
from mer_jax.sizes import FACE_SIZE, HALF_HEIGHT
from mer_jax.typing import PRNGKey

FRAME_WEIGHTS = ("corrected", "published")
_CLIP_AXES = "frames, height, width, channel"
_PICTURE_AXES = "height, width, channel"


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


@dataclasses.dataclass(frozen=True)
class FaceView(View):
    """A view of whole faces, which are augmented by one map for all frames of a clip."""

    stored = "faces"
    has_copies = True

    def stored_dims(self) -> Dims:
        """Frames of 128x128."""
        return STORED["faces"]

    def augment(self, key: PRNGKey, pictures: Array, amounts: Augmentation) -> Array:
        """Rotates, shifts, zooms, mirrors and relights one clip, see `augment_clip`."""
        return augment_clip(key, pictures, amounts)


@dataclasses.dataclass(frozen=True)
class Face(FaceView):
    """The whole face [*b, t, 128, 128, 1]."""

    name = "face"
    title = "whole face"

    def inputs(self) -> tuple[Input, ...]:
        """One input."""
        return (Input("the face", ("t", FACE_SIZE, FACE_SIZE, 1), _CLIP_AXES),)

    def make(self, pictures: Num[Array, "*b t h w"], normalization: str = "") -> tuple[Float[Array, "*b t h w 1"]]:
        """Normalises whole faces.

        Args:
            pictures: Gray values from 0 to 255.
            normalization: One of `NORMALIZATIONS`.

        Raises:
            ConfigError: Unknown normalisation.
        """
        if normalization not in NORMALIZATIONS:
            raise ConfigError(f"got normalization={normalization!r}; {near_names(normalization, NORMALIZATIONS)}")
        return (NORMALIZATIONS[normalization](pictures.astype(jnp.float32))[..., None],)


@dataclasses.dataclass(frozen=True)
class Halves(FaceView):
    """Upper and lower half of the face, [*b, t, 64, 128, 1] each."""

    name = "halves"
    title = "halves of the face"

    def inputs(self) -> tuple[Input, ...]:
        """Upper, then lower half."""
        dims = ("t", HALF_HEIGHT, FACE_SIZE, 1)
        return tuple(Input(f"the {name} half", dims, _CLIP_AXES) for name in ("upper", "lower"))

    def make(
        self, pictures: Num[Array, "*b t h w"], normalization: str = ""
    ) -> tuple[Float[Array, "*b t h2 w 1"], Float[Array, "*b t h2 w 1"]]:
        """Normalises whole faces and splits them, see `Face.make`."""
        (faces,) = Face().make(pictures, normalization)
        return faces[..., :HALF_HEIGHT, :, :], faces[..., HALF_HEIGHT:, :, :]


@dataclasses.dataclass(frozen=True)
class Dynamic(FaceView):
    """The dynamic image [*b, s, s, 1]: a weighted sum of all frames, scaled to -1 to 1 clip by clip.

    Attributes:
        picture_size: Height and width s, 8 to 128.
        frame_weights: `corrected` or `published`, see `rank_weights`.

    Source: Bilen et al., "Dynamic image networks for action recognition", CVPR 2016, section 2 (approximate rank
    pooling); as input of micro-expression networks: LEARNet, IEEE TIP 2020.
    Differs: LEARNet scales to 0 to 255.
    """

    name = "dynamic"
    title = "dynamic image"

    picture_size: int = 112
    frame_weights: str = "corrected"

    def __post_init__(self) -> None:
        check_size("picture_size", self.picture_size, 8, FACE_SIZE)
        check_choice("frame_weights", self.frame_weights, FRAME_WEIGHTS)

    @property
    def least_frames(self) -> int:
        """Two: the weights of one frame are 0."""
        return 2

    def inputs(self) -> tuple[Input, ...]:
        """One input."""
        return (Input("the dynamic image", (self.picture_size, self.picture_size, 1), _PICTURE_AXES),)

    def make(self, pictures: Num[Array, "*b t h w"], normalization: str = "") -> tuple[Float[Array, "*b s s 1"]]:
        """Pools the frames of each clip; `normalization` is not used."""
        del normalization
        weights = jnp.asarray(rank_weights(pictures.shape[-3], self.frame_weights), jnp.float32)
        image = resize(jnp.einsum("...thw,t->...hw", pictures.astype(jnp.float32), weights), self.picture_size)
        least, most = image.min((-2, -1), keepdims=True), image.max((-2, -1), keepdims=True)
        return ((2.0 * (image - least) / jnp.maximum(most - least, 1.0) - 1.0)[..., None],)


@dataclasses.dataclass(frozen=True)
class Pair(FaceView):
    """Onset and apex [*b, 2, s, s, 1]: gray frames of mean 0 and standard deviation 1 over both.

    Attributes:
        picture_size: Height and width s, 8 to 128.
    """

    name = "pair"
    title = "onset and apex"

    picture_size: int = 112

    def __post_init__(self) -> None:
        check_size("picture_size", self.picture_size, 8, FACE_SIZE)

    @property
    def needs_apex(self) -> bool:
        """True: one of the two frames is the apex."""
        return True

    @property
    def least_frames(self) -> int:
        """Two."""
        return 2

    def inputs(self) -> tuple[Input, ...]:
        """One input of two frames."""
        dims = (2, self.picture_size, self.picture_size, 1)
        return (Input("the pair of onset and apex", dims, _CLIP_AXES),)

    def make(self, pictures: Num[Array, "*b t h w"], normalization: str = "") -> tuple[Float[Array, "*b 2 s s 1"]]:
        """Takes frames 0 and t // 2; `normalization` is not used: the difference to the onset would erase the onset."""
        del normalization
        pair = pictures[..., np.array([0, pictures.shape[-3] // 2]), :, :].astype(jnp.float32)
        return (normalize_gray(resize(pair, self.picture_size))[..., None],)


def rank_weights(num_frames: int, kind: str = "corrected") -> Float64[np.ndarray, " t"]:
    """Returns the weight of each frame in a dynamic image.

    Frame n of T gets the sum over i = n..T of (2i - T - 1) / i: these sum to 0, so that what does not move cancels.
    `published` has (2i - T) / i, as LEARNet's code has it: these sum to T, and the still face stays in the picture.

    Args:
        num_frames: T.
        kind: `corrected` or `published`.

    Example:
        >>> rank_weights(3).round(2).tolist(), float(rank_weights(18, "published").sum().round(6))
        ([-1.33, 0.67, 0.67], 18.0)
    """
    i = np.arange(1, num_frames + 1)
    terms = (2 * i - num_frames - (kind == "corrected")) / i
    return np.cumsum(terms[::-1])[::-1]


def resize(pictures: Float[Array, "*b h w"], size: int) -> Float[Array, "*b {size} {size}"]:
    """Resizes pictures linearly, with antialiasing."""
    shape = (*pictures.shape[:-2], size, size)
    return pictures if shape == pictures.shape else jax.image.resize(pictures, shape, "linear")
