"""Base class of views, which map the stored 8-bit pictures of a clip to the inputs of a network."""

import abc
import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from mer_jax.config import Augmentation
from mer_jax.data.stored import Dims, fits
from mer_jax.errors import ConfigError, ShapeError, near_names
from mer_jax.typing import PRNGKey


@dataclasses.dataclass(frozen=True)
class Input:
    """One input of a network.

    Attributes:
        name: As messages write it.
        dims: Shape without leading axes; "t" stands for the frames of a clip.
        axes: What these axes are, in words.
    """

    name: str
    dims: Dims
    axes: str


@dataclasses.dataclass(frozen=True)
class View(abc.ABC):
    """One way to make inputs of a network from stored pictures.

    A subclass is a frozen dataclass. A field of it, such as `picture_size`, takes the value of the model's field of the
    same name where the model has one: see `mer_jax.data.views.find_view`.

    Attributes:
        name: Name that models state.
        title: What it is, for lists of networks.
        stored: Kind of `Clips` that it is computed from, see `mer_jax.data.stored`.
        is_augmented: Whether clips are augmented in training.
        has_copies: Whether augmented copies differ enough from their clips for protocol `paper`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stored: ClassVar[str]
    is_augmented: ClassVar[bool] = True
    has_copies: ClassVar[bool] = False

    @property
    def needs_apex(self) -> bool:
        """Whether frame t // 2 of a clip has to be the apex, as sampling `apex` puts it."""
        return False

    @property
    def least_frames(self) -> int:
        """The fewest frames that a clip may have."""
        return 1

    @abc.abstractmethod
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of the network."""

    @abc.abstractmethod
    def stored_dims(self) -> Dims:
        """Shape of the stored pictures of one clip."""

    @abc.abstractmethod
    def make(self, pictures: Array, normalization: str = "") -> tuple[Array, ...]:
        """Makes the inputs.

        Args:
            pictures: Stored pictures [*b, ...], values from 0 to 255, integers or floats.
            normalization: One of `mer_jax.config.NORMALIZATIONS`, for views that have a choice.
        """

    @abc.abstractmethod
    def augment(self, key: PRNGKey, pictures: Array, amounts: Augmentation) -> Array:
        """Changes the stored pictures of one clip at random.

        Args:
            key: Of this clip in this epoch.
            pictures: Floats from 0 to 255.
            amounts: Ranges of the changes.
        """

    def shapes(self, num_frames: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the inputs of one clip of so many frames."""
        return tuple(tuple(num_frames if isinstance(n, str) else n for n in each.dims) for each in self.inputs())

    def check(self, *inputs: Array) -> None:
        """Validates inputs before anything is compiled.

        Raises:
            ShapeError: Naming the input, what was got and what was expected.
        """
        expected = self.inputs()
        if len(inputs) != len(expected):
            raise ShapeError(f"got {len(inputs)} inputs of the view {self.name}, expected {len(expected)}")
        made_with = f"mer_jax.data.views.find_view(model).make, the view {self.name!r}"
        rest = []
        for value, each in zip(inputs, expected, strict=True):
            free = fits(value.shape[max(0, value.ndim - len(each.dims)) :], each.dims)
            if free is None:
                dims = ", ".join(map(str, each.dims))
                raise ShapeError(
                    f"got {each.name} with shape {value.shape}, expected [*b, {dims}] "
                    f"(any leading axes, {each.axes}); make it with {made_with}"
                )
            if not jnp.issubdtype(value.dtype, jnp.floating):
                raise ShapeError(
                    f"got {each.name} as {value.dtype}, expected normalised floats; make them with {made_with}"
                )
            rest.append((value.shape[: value.ndim - len(each.dims)], free))
        if any(each != rest[0] for each in rest):
            shapes = " and ".join(str(value.shape) for value in inputs)
            raise ShapeError(f"got {self.name} of different shapes, {shapes}; they come from the same clips")


def check_choice(field: str, value: Any, known: tuple[str, ...]) -> None:
    """Validates a field of a view that is one of some names.

    Raises:
        ConfigError: Naming the field, and near names.
    """
    if value not in known:
        raise ConfigError(f"got model.{field}={value!r}; {near_names(str(value), known)}")


def check_size(field: str, value: int, least: int, most: int) -> None:
    """Validates a field of a view that is a number of pixels or frames.

    Raises:
        ConfigError: Naming the field and its limits.
    """
    if not least <= value <= most:
        raise ConfigError(f"got model.{field}={value}, expected {least} to {most}")
