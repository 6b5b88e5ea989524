"""A protocol made ready for the device: every fold padded to one shape, all of them one compiled program."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, UInt32

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.stored import fits
from mer_jax.data.targets import KEPT_COLLECTIONS, LOSSES
from mer_jax.data.views import find_view, input_shapes
from mer_jax.errors import ConfigError
from mer_jax.protocols import Plan, refuse_copies
from mer_jax.system.devices import DATA, FOLD, free_bytes, lanes_that_fit, make_mesh, replicate, round_up
from mer_jax.training import lanes as compiled_lanes
from mer_jax.training.batches import Data, Items, pad_items
from mer_jax.training.losses import class_weights
from mer_jax.training.settings import LaneData, Limits, Settings
from mer_jax.typing import PRNGKey

SIDES = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Lane:
    """One fold under one seed.

    Attributes:
        protocol: Name of the protocol.
        seed: Seed of the plan, initial weights, order, augmentation and dropout.
        fold: Index of the fold in its plan, from 0.
        name: What the fold tests, such as a subject.
        num_folds: Folds of the plan.
    """

    protocol: str
    seed: int
    fold: int
    name: str
    num_folds: int


@dataclasses.dataclass(frozen=True)
class Program:
    """One protocol on the device: shared by all its lanes, compiled once.

    Several threads may fit different lanes of it at the same time, on one device.

    Attributes:
        plans: Plan of each seed.
        lanes: Every fold under every seed; `plan_of` and `test_items` go back to the plans.
        settings: What the compiler sees as constants.
        limits: Numbers that it takes as values.
        data: The corpus.
        lane_data: Items, class weights and keys of all lanes, stacked.
        initial: Variables that every lane starts from; None where each draws its own.
    """

    plans: tuple[Plan, ...]
    lanes: tuple[Lane, ...]
    settings: Settings
    limits: Limits
    data: Data
    lane_data: LaneData
    initial: Any = None

    def plan_of(self, lane: int) -> Plan:
        """The plan that a lane is of."""
        return self.plans[self.lanes[lane].seed - self.lanes[0].seed]

    def test_items(self, lane: int) -> np.ndarray:
        """Indices of a lane's test items in its plan."""
        return np.flatnonzero(self.plan_of(lane).folds[self.lanes[lane].fold].test)

    def lane_bytes(self) -> int:
        """Estimate of what one lane more takes on a device: its state twice, and its intermediates."""
        with jax.set_mesh(self.settings.mesh):
            arguments = self.lane_data, self.data, self.limits
            one = compiled_lanes.slot_shapes(*arguments, settings=self.settings)
            state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
            number = self.settings.mesh.shape[FOLD]
            slots = jax.eval_shape(
                lambda one: compiled_lanes.make_slots(one, number=number, mesh=self.settings.mesh), one
            )
            lowered = compiled_lanes.train_epochs.lower(
                slots, jnp.zeros(number, jnp.int32), *arguments, settings=self.settings
            )
            memory: Any = lowered.compile().memory_analysis()
            return 2 * state + memory.temp_size_in_bytes


def check_model(model: nn.Module, num_frames: int) -> None:
    """Validates that a network can take clips, before any clip is read.

    Args:
        model: Linen module.
        num_frames: Frames of a clip.

    Raises:
        ConfigError: The network keeps a collection that training does not know.
        ShapeError: It cannot take clips of that many frames.
    """
    variables = jax.eval_shape(
        lambda *inputs: model.init(jax.random.key(0), *inputs, is_training=False),
        *input_shapes(model, num_frames),
    )
    if others := set(variables) - {*KEPT_COLLECTIONS, LOSSES}:
        raise ConfigError(
            f"{type(model).__name__} keeps the collections {', '.join(sorted(others))}; "
            f"expected {', '.join(KEPT_COLLECTIONS)} at most, and {LOSSES} for terms of the loss"
        )


def check_crop(model: Any, crop: str) -> None:
    """Validates that a model supports a face crop.

    Args:
        model: A network or a baseline; its attribute `unfit_crops` names crops that it cannot take.
        crop: See `VisionOptions`.

    Raises:
        ConfigError: It cuts out parts of the face, which lie elsewhere in that crop.
    """
    if crop in getattr(model, "unfit_crops", ()):
        raise ConfigError(
            f"got --config.vision.crop={crop} with {type(model).__name__}, which cuts out parts of the face where they "
            "lie in the crop onset; set --config.vision.crop=onset, or choose another model"
        )


def check_clips(model: Any, clips: Clips) -> None:
    """Validates that clips are what a model takes.

    Args:
        model: A network or a baseline.
        clips: The corpus.

    Raises:
        ConfigError: The model takes another kind or size of pictures, longer clips or action units that the clips have
            not, or answers another number of classes.
    """
    view, name = find_view(model), type(model).__name__
    if view.stored != clips.kind:
        raise ConfigError(
            f"the model {name} takes {view.name}, made from {view.stored}; the clips are {clips.kind}; choose another "
            "--config"
        )
    if fits(clips.pictures.shape[1:], view.stored_dims()) is None:
        raise ConfigError(
            f"the model {name} takes {view.name} made from pictures of shape {view.stored_dims()}; those of the clips "
            f"have shape {clips.pictures.shape[1:]}; make them for this model, or change its {view}"
        )
    if view.stored == "faces" and clips.num_frames < view.least_frames:
        raise ConfigError(
            f"the model {name} takes {view.name} of at least {view.least_frames} frames; the clips have "
            f"{clips.num_frames}; set --config.vision.num_frames={view.least_frames} or more"
        )
    if getattr(model, "needs_action_units", False) and not clips.has_action_units:
        raise ConfigError(
            f"the model {name} is trained with action units, and no clip of {clips.corpus_name} has any; use a corpus "
            "whose owners coded them (casme2, samm, casme_squared, megc2019)"
        )
    check_num_classes(model, clips.class_names)


def check_num_classes(model: Any, class_names: Sequence[str]) -> None:
    """Validates that a model has as many outputs as the corpus has classes.

    Args:
        model: A network or a baseline.
        class_names: Of the corpus.

    Raises:
        ConfigError: It answers another number of classes.
    """
    if model.num_classes != len(class_names):
        raise ConfigError(
            f"the corpus has the classes {', '.join(class_names)}, the model answers {model.num_classes}; "
            f"set --config.model.num_classes={len(class_names)}"
        )


def make_program(
    experiment: Experiment,
    clips: Clips,
    plans: Sequence[Plan],
    *,
    mesh: Mesh | None = None,
    data: Data | None = None,
    last_epoch: int | None = None,
    initial: Any = None,
) -> Program:
    """Pads every fold of a protocol to one shape and puts it on the device.

    Args:
        experiment: Validated.
        clips: The corpus, of the kind that the model takes.
        plans: Plans of the protocol over these clips, one for each seed from `experiment.seed` on. The largest fold of
            all of them decides how many batches an epoch has.
        mesh: From `make_mesh`; one for this number of lanes by default.
        data: From `load_data`; loaded by default.
        last_epoch: Epoch after which lanes stop, where that is not the end of the learning-rate schedule.
        initial: Variables of the model that every lane starts from; None draws them for each lane.

    Raises:
        ConfigError: See `check_clips`; or copies of motion features, which are not augmented, would be tested.
    """
    check_clips(experiment.model, clips)
    view = find_view(experiment.model)
    if not view.has_copies:
        refuse_copies(plans[0], type(experiment.model).__name__)
    lanes = tuple(
        Lane(plan.protocol, experiment.seed + number, index, fold.name, len(plan.folds))
        for number, plan in enumerate(plans)
        for index, fold in enumerate(plan.folds)
    )
    mesh = mesh or make_mesh(len(lanes))
    longest = {side: max(int(getattr(fold, side).sum()) for plan in plans for fold in plan.folds) for side in SIDES}
    settings = _make_settings(experiment, plans[0], longest, mesh)
    limits = Limits(
        learning_rate=jnp.asarray(experiment.learning_rate, jnp.float32),
        epochs=jnp.asarray(experiment.epochs),
        last_epoch=jnp.asarray(experiment.epochs if last_epoch is None else last_epoch),
        min_epochs=jnp.asarray(experiment.min_epochs),
        patience=jnp.asarray(0 if settings.select_last else experiment.patience),
    )
    each = [
        _make_lane(experiment, clips, plan, index=index, longest=longest)
        for plan in plans
        for index in range(len(plan.folds))
    ]
    keys = _draw_keys(
        np.array([lane.seed for lane in lanes], np.uint32), np.array([lane.fold for lane in lanes], np.uint32)
    )
    stacked = LaneData(
        **{name: jax.tree.map(lambda *a: np.stack(a), *(lane[name] for lane in each)) for name in each[0]}, **keys
    )
    return Program(
        plans=tuple(plans),
        lanes=lanes,
        settings=settings,
        limits=replicate(mesh, limits),
        data=data if data is not None else load_data(clips, mesh),
        lane_data=replicate(mesh, stacked),
        initial=None if initial is None else replicate(mesh, initial),
    )


def load_data(clips: Clips, mesh: Mesh) -> Data:
    """Puts a corpus onto every device, once for all protocols."""
    action_units = clips.action_units if clips.has_action_units else None
    return replicate(mesh, Data(pictures=clips.pictures, label=clips.label, action_units=action_units))


def choose_num_slots(program: Program, asked: int | None) -> int:
    """Number of lanes trained at once: a multiple of the devices along `fold`, at most the number of lanes.

    Args:
        program: From `make_program`.
        asked: By the user; None chooses: on a CPU one a device, since XLA has no fast
            convolution there for several sets of filters at once; elsewhere as many as
            the memory holds by `Program.lane_bytes`.
    """
    devices = program.settings.mesh.shape[FOLD]
    most = round_up(len(program.lanes), devices)
    if asked is not None:
        return min(round_up(asked, devices), most)
    free = free_bytes(program.settings.mesh)
    if free is None or len(program.lanes) <= devices:
        return devices
    return min(devices * lanes_that_fit(free, program.lane_bytes()), most)


def _make_settings(experiment: Experiment, plan: Plan, longest: dict[str, int], mesh: Mesh) -> Settings:
    # The paper's batch of 80 would leave a remainder: we make batches of at most that size, all as full as each other,
    # and as many clips on each device.
    steps_per_epoch = -(-longest["train"] // experiment.batch_size)
    model: nn.Module = experiment.model
    view = find_view(model)
    half_precision = experiment.precision == "bfloat16"
    return Settings(
        model=model.clone(dtype=jnp.bfloat16) if half_precision else model,
        view=view,
        normalization=experiment.normalization,
        augment=experiment.augment,
        online_augmentation=plan.online_augmentation and view.is_augmented,
        optimization=experiment.optimization,
        half_precision=half_precision,
        select_last=experiment.selection == "last",
        validates=longest["validation"] > 0,
        watch_test=experiment.diagnostic == "test_best",
        steps_per_epoch=steps_per_epoch,
        batch_size=round_up(-(-longest["train"] // steps_per_epoch), mesh.shape[DATA]),
        epochs_per_chunk=experiment.epochs_per_chunk,
        mesh=mesh,
    )


def _make_lane(
    experiment: Experiment, clips: Clips, plan: Plan, *, index: int, longest: dict[str, int]
) -> dict[str, Any]:
    """The fields of `LaneData` but the keys."""
    fold = plan.folds[index]
    labels = clips.label[plan.clip[fold.train]]  # class weights are of the training items alone
    sides: dict[str, Items] = {side: pad_items(plan, getattr(fold, side), longest[side]) for side in SIDES}
    return {**sides, "class_weights": class_weights(labels, len(clips.class_names), experiment.class_weights)}


@jax.jit
def _draw_keys(seeds: UInt32[Array, " f"], folds: UInt32[Array, " f"]) -> dict[str, PRNGKey]:
    """Keys of lanes, from the seed and fold of each."""

    def draw(seed, fold):
        copy_key, fold_key = jax.random.split(jax.random.key(seed))
        init_key, train_key = jax.random.split(jax.random.fold_in(fold_key, fold))
        return {"init_key": init_key, "train_key": train_key, "copy_key": copy_key}

    return jax.vmap(draw)(seeds, folds)
