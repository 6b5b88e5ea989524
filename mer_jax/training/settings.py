"""What a compiled program is made for: its static settings, its numbers, and the data of its lanes."""

import dataclasses
from typing import Any

import flax.linen as nn
from flax import struct
from jax.sharding import Mesh

from mer_jax.config import Augmentation, Optimization
from mer_jax.data.view import View
from mer_jax.system.devices import DATA, round_up


@dataclasses.dataclass(frozen=True)
class Settings:
    """The static part of an experiment: what the compiler sees as constants.

    Attributes:
        model: Linen module.
        view: What the model is fed.
        normalization: Of the view.
        augment: Amounts of augmentation.
        online_augmentation: Whether every epoch augments anew; else copies are augmented by fixed keys.
        optimization: Optimiser, schedule and loss.
        half_precision: Whether the model is fed bfloat16.
        select_last: Whether the last epoch is tested, instead of the one of the lowest validation loss.
        validates: Whether there are validation items.
        watch_test: Diagnostic `test_best`.
        steps_per_epoch: Batches in an epoch.
        batch_size: Items in a batch, padding included.
        epochs_per_chunk: Epochs of one compiled call.
        mesh: Devices.
    """

    model: nn.Module
    view: View
    normalization: str
    augment: Augmentation
    online_augmentation: bool
    optimization: Optimization
    half_precision: bool
    select_last: bool
    validates: bool
    watch_test: bool
    steps_per_epoch: int
    batch_size: int
    epochs_per_chunk: int
    mesh: Mesh

    def without_sizes(self) -> "Settings":
        """The same for the state before the first epoch, which no size of a protocol changes."""
        return dataclasses.replace(
            self, online_augmentation=False, validates=False, steps_per_epoch=1, batch_size=1, epochs_per_chunk=1
        )

    def even_batch(self, number: int) -> int:
        """Size of equal batches of `number` items: of at most the batch size, as many clips on each device."""
        batches = -(-number // self.batch_size)
        return round_up(-(-number // batches), self.mesh.shape[DATA])


# The fields of these two are not type-checked: jax.tree puts placeholders of its own into them.


@struct.dataclass
class Limits:
    """The numbers of an experiment that the compiled program takes as values, not as constants."""

    learning_rate: Any  # Float[Array, ""]
    epochs: Any  # Int[Array, ""]: of the learning-rate schedule
    last_epoch: Any  # Int[Array, ""]: no lane runs further; the same as `epochs` but for `train_on_all`
    min_epochs: Any  # Int[Array, ""]: the first epoch that may be chosen
    patience: Any  # Int[Array, ""]: epochs without a better one before a fold stops; 0 never stops it


@struct.dataclass
class LaneData:
    """One fold under one seed: its three sides, class weights and keys."""

    train: Any  # Items
    validation: Any
    test: Any
    class_weights: Any  # Float[Array, "*f k"]
    init_key: Any  # PRNGKey
    train_key: Any
    copy_key: Any  # of the fixed augmented copies: the same in all folds of a seed
