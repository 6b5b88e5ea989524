"""Views of motion that is computed in advance: features of 28x28, larger maps, sets of maps, and landmark patches."""

import abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from mer_jax.config import Augmentation
from mer_jax.data.stored import STORED, Dims
from mer_jax.data.view import Input, View, check_choice, check_size
from mer_jax.sizes import FACE_SIZE, MOTION_SIZE, MOTION_ZERO, PATCH_POINTS, PATCH_SIZE
from mer_jax.typing import PRNGKey

PATCH_VALUES = ("flow", "difference")
_PATCH_PIXELS = PATCH_SIZE**2


@dataclasses.dataclass(frozen=True)
class FlowView(View):
    """A view of stored motion, which is augmented by mirroring it."""

    @abc.abstractmethod
    def mirror(self, pictures: Array) -> Array:
        """Exchanges left and right in the stored pictures [*b, ...] of clips, floats from 0 to 255."""

    def augment(self, key: PRNGKey, pictures: Array, amounts: Augmentation) -> Array:
        """Mirrors a clip with the probability `amounts.mirror`; the other amounts are for whole faces."""
        return jnp.where(jax.random.uniform(key) < amounts.mirror, self.mirror(pictures), pictures)


@dataclasses.dataclass(frozen=True)
class FlowMapView(FlowView):
    """Maps whose last axis is horizontal flow, vertical flow and what has no direction."""

    def make(self, pictures: Num[Array, "*b h w c"], normalization: str = "") -> tuple[Float[Array, "*b h w c"]]:
        """Scales motion to -1 .. 1, 0 where nothing moves.

        With the normalisation `standard` each clip and channel loses its median and is divided by its standard
        deviation, as by `mer_jax.data.motion.standardize`.
        """
        if normalization == "standard":
            levels = pictures.astype(jnp.float32)
            levels = levels - jnp.median(levels, (-3, -2), keepdims=True)
            spread = levels.std((-3, -2), keepdims=True)
            return (levels / jnp.where(spread > 0, spread, 1),)
        return (scale_motion(pictures),)

    def mirror(self, pictures: Num[Array, "*b h w c"]) -> Num[Array, "*b h w c"]:
        """Exchanges left and right; horizontal flow changes its sign."""
        mirrored = pictures[..., ::-1, :]
        return mirrored.at[..., 0].set(2 * MOTION_ZERO - mirrored[..., 0])


@dataclasses.dataclass(frozen=True)
class Motion(FlowMapView):
    """Motion features [*b, 28, 28, 3]: horizontal flow, vertical flow and strain from onset to apex."""

    name = "motion"
    title = "motion features"
    stored = "motion"
    is_augmented = False

    @property
    def needs_apex(self) -> bool:
        """True: motion is measured from the onset to the apex."""
        return True

    def inputs(self) -> tuple[Input, ...]:
        """One input."""
        axes = "height, width, and horizontal flow, vertical flow, strain"
        return (Input("motion features", (MOTION_SIZE, MOTION_SIZE, 3), axes),)

    def stored_dims(self) -> Dims:
        """One picture."""
        return STORED["motion"]


@dataclasses.dataclass(frozen=True)
class FlowMaps(FlowMapView):
    """Flow maps [*b, s, s, 4]: horizontal flow, vertical flow, strain and magnitude from onset to apex.

    Attributes:
        picture_size: Height and width s, 8 to 128.
    """

    name = "flow_maps"
    title = "flow maps"
    stored = "flow_maps"

    picture_size: int = 112

    def __post_init__(self) -> None:
        check_size("picture_size", self.picture_size, 8, FACE_SIZE)

    @property
    def needs_apex(self) -> bool:
        """True: motion is measured from the onset to the apex."""
        return True

    def inputs(self) -> tuple[Input, ...]:
        """One input."""
        axes = "height, width, and horizontal flow, vertical flow, strain, magnitude"
        return (Input("flow maps", (self.picture_size, self.picture_size, 4), axes),)

    def stored_dims(self) -> Dims:
        """One picture of this size."""
        return (self.picture_size, self.picture_size, 4)


@dataclasses.dataclass(frozen=True)
class FlowSet(FlowMapView):
    """Flow from the onset to several frames [*b, n, s, s, 3]: horizontal, vertical and strain. It needs no apex.

    Attributes:
        num_flows: Frames n, evenly spaced between onset and offset, 1 to 64.
        picture_size: Height and width s, 8 to 128.
    """

    name = "flow_set"
    title = "sets of flow"
    stored = "flow_set"

    num_flows: int = 8
    picture_size: int = 28

    def __post_init__(self) -> None:
        check_size("num_flows", self.num_flows, 1, 64)
        check_size("picture_size", self.picture_size, 8, FACE_SIZE)

    @property
    def least_frames(self) -> int:
        """Onset, offset and the frames between them."""
        return self.num_flows + 2

    def inputs(self) -> tuple[Input, ...]:
        """One input."""
        axes = "frames, height, width, and horizontal flow, vertical flow, strain"
        return (Input("the set of flow maps", self.stored_dims(), axes),)

    def stored_dims(self) -> Dims:
        """As many pictures of this size."""
        return (self.num_flows, self.picture_size, self.picture_size, 3)


@dataclasses.dataclass(frozen=True)
class Patches(FlowView):
    """Patches around landmarks [*b, p, 7, 7, 1], from -1 to 1, and the landmarks' positions [*b, p, 2].

    Positions are x and y in the onset frame, from -1 at the left and upper edge of the face to 1.

    Attributes:
        patch_points: `brows_mouth` (30 landmarks: iBUG 17 to 26, then 48 to 67) or `inner` (51: 17 to 67).
        patch_frames: Frames m, 1 to 32. One is the apex; more are evenly spaced from the onset to the offset, without
            the onset, and need no apex. p is m times the landmarks, frame by frame.
        patch_values: `flow` is the magnitude of the flow from the onset, `difference` the gray difference to the onset
            in units of the face's contrast.
    """

    name = "patches"
    title = "landmark patches"
    stored = "patches"

    patch_points: str = "brows_mouth"
    patch_frames: int = 1
    patch_values: str = "flow"

    def __post_init__(self) -> None:
        check_choice("patch_points", self.patch_points, tuple(PATCH_POINTS))
        check_size("patch_frames", self.patch_frames, 1, 32)
        check_choice("patch_values", self.patch_values, PATCH_VALUES)

    @property
    def needs_apex(self) -> bool:
        """With one frame."""
        return self.patch_frames == 1

    @property
    def least_frames(self) -> int:
        """The onset and these frames."""
        return self.patch_frames + 1

    @property
    def num_patches(self) -> int:
        """Patches p of a clip."""
        return self.patch_frames * len(PATCH_POINTS[self.patch_points])

    def inputs(self) -> tuple[Input, ...]:
        """Patches, then positions."""
        return (
            Input("patches", (self.num_patches, PATCH_SIZE, PATCH_SIZE, 1), "landmarks, height, width, channel"),
            Input("positions of the patches", (self.num_patches, 2), "landmarks, x and y"),
        )

    def stored_dims(self) -> Dims:
        """Pixels of each patch, then its position."""
        return (self.num_patches, _PATCH_PIXELS + 2)

    def make(
        self, pictures: Num[Array, "*b p _n"], normalization: str = ""
    ) -> tuple[Float[Array, "*b p s s 1"], Float[Array, "*b p 2"]]:
        """Separates patches and positions and scales both; `normalization` is not used."""
        del normalization
        values = scale_motion(pictures[..., :_PATCH_PIXELS])
        middle = (FACE_SIZE - 1) / 2
        positions = (pictures[..., _PATCH_PIXELS:].astype(jnp.float32) / 2 - middle) / middle
        return values.reshape(*values.shape[:-1], PATCH_SIZE, PATCH_SIZE, 1), positions

    def mirror(self, pictures: Num[Array, "*b p _n"]) -> Num[Array, "*b p _n"]:
        """Exchanges left and right: pixels within each patch, x of its position, and landmarks of the two sides."""
        order = mirrored_points(PATCH_POINTS[self.patch_points])
        order = np.concatenate([order + frame * len(order) for frame in range(self.patch_frames)])
        pictures = pictures[..., order, :]
        pixels = pictures[..., :_PATCH_PIXELS]
        rows = pixels.reshape(*pixels.shape[:-1], PATCH_SIZE, PATCH_SIZE)[..., ::-1]
        x, y = pictures[..., _PATCH_PIXELS:-1], pictures[..., -1:]
        return jnp.concatenate([rows.reshape(pixels.shape), 2 * (FACE_SIZE - 1) - x, y], axis=-1)


def scale_motion(pictures: Num[Array, "*b"]) -> Float[Array, "*b"]:
    """From 0 to 255, where 128 is no motion, to -1 .. 1."""
    return (pictures.astype(jnp.float32) - MOTION_ZERO) / 127.5


def mirrored_points(points: tuple[int, ...]) -> Int[np.ndarray, " p"]:
    """Returns for each point the place in the list of the one on the other side of the face.

    Args:
        points: Indices of iBUG points, those of both sides.

    Example:
        >>> mirrored_points((17, 26, 27, 48, 54)).tolist()
        [1, 0, 2, 4, 3]
    """
    other = {}
    for first, last in ((0, 16), (17, 26), (31, 35), (48, 54), (60, 64)):  # rows of points from left to right
        other |= {index: first + last - index for index in range(first, last + 1)}
    other |= {index: index for index in range(27, 31)}
    for left, right in ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (55, 59), (56, 58), (65, 67)):
        other |= {left: right, right: left}
    other |= {57: 57, 66: 66}
    return np.array([points.index(other[point]) for point in points])
