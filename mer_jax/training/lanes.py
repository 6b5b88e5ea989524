"""The compiled loop: a chunk of epochs of several lanes as one scan.

    train_epochs   a chunk of epochs of some lanes          (compiled)
      train_lane   a chunk of epochs of one lane            (pure)
        run_epoch  all batches of an epoch, validation, choice of the epoch
          train_step, eval_step   one batch                 (steps.py)
          load_batch              gather, augment, view     (batches.py)

A lane is one fold under one seed. Lanes differ in the values of padded index arrays and
not in their shapes, so one compilation serves a whole protocol. Functions with `lane` in
their name are written for one; `over_lanes` maps them over an axis of lanes.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, UInt8

from mer_jax.system.devices import branch, lanes_sharding, over_lanes, replicated_sharding, shard_batch
from mer_jax.training.batches import Data, Items, copy_keys, deal_batches, in_batches, load_batch
from mer_jax.training.compiled import Compiled
from mer_jax.training.losses import cross_entropy, example_loss, weighted_mean
from mer_jax.training.optim import make_optimizer
from mer_jax.training.settings import LaneData, Limits, Settings
from mer_jax.training.state import TrainState, init_state
from mer_jax.training.steps import eval_step, train_step
from mer_jax.typing import Mask, PRNGKey

_COMPILING = threading.Lock()

# --- one lane -----------------------------------------------------------------------


def start_lane(
    key: PRNGKey, pictures: UInt8[Array, "..."], limits: Limits, initial: Any, num_watched: int, settings: Settings
) -> TrainState:
    """The state before the first epoch, from the pictures of one clip and a lane's `init_key`, or `initial` weights."""
    sample = settings.view.make(pictures, settings.normalization)
    optimizer = _optimizer(limits, settings)
    return init_state(key, settings.model, sample, optimizer, num_watched=num_watched, initial=initial)


def train_lane(
    state: TrainState, lane: LaneData, data: Data, limits: Limits, settings: Settings
) -> tuple[TrainState, dict[str, Array]]:
    """Runs the next epochs of one lane; see `train_epochs`."""
    run = functools.partial(run_epoch, lane=lane, data=data, limits=limits, settings=settings)
    skip = functools.partial(_skip_epoch, settings=settings)
    return lax.scan(
        lambda state, _: branch(state.stopped, skip, run, state, mesh=settings.mesh),
        state,
        length=settings.epochs_per_chunk,
    )


def run_epoch(
    state: TrainState, *, lane: LaneData, data: Data, limits: Limits, settings: Settings
) -> tuple[TrainState, dict[str, Array]]:
    """Trains one epoch, validates, and keeps the weights if this epoch is the one to test so far.

    Returns:
        The new state and one row of the history.
    """
    optimizer = _optimizer(limits, settings)
    order_key, batch_key = jax.random.split(jax.random.fold_in(lane.train_key, state.epoch))
    # Real items in random order, then padding; dealt out in turn, so that all batches hold equally many real ones.
    order = jnp.argsort(jax.random.uniform(order_key, lane.train.real.shape) + ~lane.train.real)
    shuffled = jax.tree.map(lambda a: a[order], lane.train)
    batches = deal_batches(shuffled, settings.steps_per_epoch, settings.batch_size)
    keys = jax.random.split(batch_key, settings.steps_per_epoch)
    progress = state.epoch / limits.epochs
    train_batch = functools.partial(
        _train_batch, lane=lane, data=data, progress=progress, optimizer=optimizer, settings=settings
    )
    carry, outputs = lax.scan(
        lambda carry, batch: train_batch(carry, batch),
        (state.params, state.model_state, state.opt_state),
        (batches, keys),
    )
    train_loss, train_accuracy = _loss_and_accuracy(*jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), outputs))
    params, model_state, opt_state = carry
    failed = ~jnp.isfinite(train_loss)
    choose = functools.partial(_choose, mesh=settings.mesh)
    validation_loss = validation_accuracy = jnp.full((), jnp.nan)
    if settings.validates:
        _, validation_loss, validation_accuracy = _evaluate(params, model_state, lane.validation, lane, data, settings)
        failed |= ~jnp.isfinite(validation_loss)

    epoch = state.epoch + 1
    better = ~failed
    if not settings.select_last:
        better &= (validation_loss < state.best_loss) & (epoch >= limits.min_epochs)
    best_epoch = jnp.where(better, epoch, state.best_epoch)
    waited = epoch - jnp.maximum(best_epoch, limits.min_epochs)
    enough = (limits.patience > 0) & (waited >= limits.patience)
    row = {
        "epoch": epoch,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
    }
    test_best = state.test_best
    if settings.watch_test:  # recorded, and nothing else: no choice above or below depends on it
        logits, _, accuracy = _evaluate(params, model_state, lane.test, lane, data, settings)
        now = {"accuracy": accuracy, "epoch": epoch, "probabilities": jax.nn.softmax(logits)}
        test_best = choose(~failed & (accuracy > test_best["accuracy"]), now, test_best)
        row["test_accuracy"] = accuracy
    best_params, best_model_state = choose(better, (params, model_state), (state.best_params, state.best_model_state))
    params, model_state, opt_state = choose(failed, (state.params, state.model_state, state.opt_state), carry)
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        epoch=epoch,
        best_params=best_params,
        best_model_state=best_model_state,
        best_loss=jnp.where(better, validation_loss, state.best_loss),
        best_epoch=best_epoch,
        stopped=failed | enough | (epoch >= limits.last_epoch),
        failed_epoch=jnp.where(failed, epoch, 0),
        test_best=test_best,
    ), row


def _skip_epoch(state: TrainState, *, settings: Settings) -> tuple[TrainState, dict[str, Array]]:
    """The row of an epoch that a stopped lane does not run."""
    names = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    names += ["test_accuracy"] if settings.watch_test else []
    return state, {"epoch": jnp.zeros((), jnp.int32), **dict.fromkeys(names, jnp.zeros(()))}


def _train_batch(
    carry: tuple[Any, Any, optax.OptState],
    batch: tuple[Items, PRNGKey],
    *,
    lane: LaneData,
    data: Data,
    progress: Float[Array, ""],
    optimizer: optax.GradientTransformation,
    settings: Settings,
):
    items, key = batch
    augment_key, dropout_key = jax.random.split(key)
    if settings.online_augmentation:
        keys, augmented = jax.random.split(augment_key, settings.batch_size), items.real
    else:
        keys, augmented = copy_keys(lane.copy_key, items), items.copy > 0
    inputs = _load(data, items, keys, augmented, settings)
    labels = data.label[items.clip]
    weights = jnp.where(items.real, lane.class_weights[labels], 0.0)

    def update():
        return train_step(
            *carry,
            inputs,
            labels,
            weights,
            dropout_key,
            model=settings.model,
            optimizer=optimizer,
            loss=functools.partial(example_loss, optimization=settings.optimization),
            action_units=None if data.action_units is None else data.action_units[items.clip],
            progress=progress,
        )

    def keep():  # padding alone: Adam's momentum must not move the weights
        return *carry, jnp.zeros((settings.batch_size, lane.class_weights.shape[0]))

    *new, logits = branch(items.real.any(), update, keep, mesh=settings.mesh)
    return tuple(new), (logits, labels, weights)


def predict_items(
    params: Any, model_state: Any, data: Data, items: Items, key: PRNGKey, settings: Settings
) -> Float[Array, "m k"]:
    """Logits of items, in batches; copies are augmented by their own fixed keys."""
    # As few and as equal batches as the batch size allows: padding is computed for nothing.
    number = items.clip.shape[0]
    size = settings.even_batch(number)

    def one(batch):
        inputs = _load(data, batch, copy_keys(key, batch), batch.copy > 0, settings)
        return eval_step(params, model_state, inputs, model=settings.model)

    logits = lax.map(one, in_batches(items, size))
    return logits.reshape(-1, logits.shape[-1])[:number]


def predict_lane(state: TrainState, lane: LaneData, data: Data, settings: Settings) -> Float[Array, "m k"]:
    """Class probabilities of the (padded) test items, from the weights of the best epoch."""
    logits = predict_items(state.best_params, state.best_model_state, data, lane.test, lane.copy_key, settings)
    return jax.nn.softmax(logits)


def _load(data: Data, items: Items, keys: PRNGKey, augmented: Mask, settings: Settings) -> tuple[Array, ...]:
    inputs = load_batch(
        data, items, keys, augmented,
        view=settings.view, augment=settings.augment, normalization=settings.normalization,
    )  # fmt: skip
    inputs = shard_batch(inputs)
    return jax.tree.map(lambda a: a.astype(jnp.bfloat16), inputs) if settings.half_precision else inputs


def _optimizer(limits: Limits, settings: Settings) -> optax.GradientTransformation:
    return make_optimizer(
        settings.optimization,
        learning_rate=limits.learning_rate,
        epochs=limits.epochs,
        steps_per_epoch=settings.steps_per_epoch,
    )


def _evaluate(params, model_state, items: Items, lane: LaneData, data: Data, settings: Settings):
    logits = predict_items(params, model_state, data, items, lane.copy_key, settings)
    labels = data.label[items.clip]
    return logits, *_loss_and_accuracy(logits, labels, jnp.where(items.real, lane.class_weights[labels], 0.0))


def _loss_and_accuracy(logits, labels, weights):
    loss = weighted_mean(cross_entropy(logits, labels), weights)
    accuracy = weighted_mean((logits.argmax(-1) == labels).astype(jnp.float32), (weights > 0).astype(jnp.float32))
    return loss, accuracy


def _choose(condition: Bool[Array, ""], if_true: Any, if_false: Any, *, mesh: Mesh) -> Any:
    # Not `jnp.where`: that is a program of its own to compile for every array, and these are all of a network's.
    return branch(condition, lambda: if_true, lambda: if_false, mesh=mesh)


# --- several lanes, compiled --------------------------------------------------------


def start_slot(
    index: Int[Array, ""], lanes: LaneData, data: Data, limits: Limits, initial: Any = None, *, settings: Settings
) -> TrainState:
    """The state of one lane before its first epoch, with a leading axis of 1.

    One compiled program serves all protocols of an experiment: it gets nothing that differs between them.

    Args:
        index: Of the lane in `lanes`.
        lanes: All lanes of the protocol.
        data: The corpus.
        limits: Learning rate and number of epochs.
        initial: Variables that every lane starts from; None draws them from the lane's own key.
        settings: Static.
    """
    with _COMPILING:  # of threads that come together one compiles
        return _start_slot()(lanes.init_key[index], data.pictures[:1], limits, initial, **_of_start(lanes, settings))


def slot_shapes(lanes: LaneData, data: Data, limits: Limits, *, settings: Settings) -> Any:
    """Shapes and types of what `start_slot` returns, without computing it."""
    start = functools.partial(_start, **_of_start(lanes, settings))
    return jax.eval_shape(lambda: start(lanes.init_key[0], data.pictures[:1], limits, None))


def _of_start(lanes: LaneData, settings: Settings) -> dict[str, Any]:
    num_watched = lanes.test.clip.shape[-1] if settings.watch_test else 0
    return {"num_watched": num_watched, "settings": settings.without_sizes()}


def _start(
    key: PRNGKey, pictures: Array, limits: Limits, initial: Any, *, num_watched: int, settings: Settings
) -> TrainState:
    return jax.tree.map(lambda a: a[None], start_lane(key, pictures, limits, initial, num_watched, settings))


@functools.cache
def _start_slot() -> Callable[..., TrainState]:
    # Random numbers are much code that runs once: LLVM's thorough passes would take three times as long, for the same
    # bits.
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
    return jax.jit(_start, static_argnames=("num_watched", "settings"), compiler_options=options)


@functools.partial(jax.jit, static_argnames=("number", "mesh"))
def make_slots(one: TrainState, *, number: int, mesh: Mesh) -> TrainState:
    """That many slots with nothing to do: the state of `one` lane, stopped, in all of them."""
    slots = jax.tree.map(lambda a: jnp.broadcast_to(a, (number, *a.shape[1:])), one)
    return _keep_on_lanes(slots.replace(stopped=jnp.ones(number, bool)), mesh)


@functools.partial(jax.jit, static_argnames="mesh", donate_argnames="slots")
def put_slot(slots: TrainState, slot: Int[Array, ""], one: TrainState, *, mesh: Mesh) -> TrainState:
    """Replaces the lane in a slot by `one`."""
    put = jax.tree.map(lambda a, b: lax.dynamic_update_slice_in_dim(a, b, slot, 0), slots, one)
    return _keep_on_lanes(put, mesh)


@functools.partial(jax.jit, static_argnames="mesh")
def take_slot(slots: TrainState, slot: Int[Array, ""], *, mesh: Mesh) -> TrainState:
    """The lane in a slot, with a leading axis of 1, whole on every device."""
    one = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, slot, 1, 0), slots)
    return _replicate(one, mesh)


@functools.partial(Compiled, donate_argnames="state")
def train_epochs(
    state: TrainState, which: Int[Array, " f"], lanes: LaneData, data: Data, limits: Limits, *, settings: Settings
) -> tuple[TrainState, dict[str, Array]]:
    """Runs the next `settings.epochs_per_chunk` epochs of f lanes, or as many as each has left.

    Args:
        state: State of these lanes, with a leading axis; donated. They may be in different epochs.
        which: Indices of the lanes in `lanes`.
        lanes: All lanes of the protocol.
        data: The corpus.
        limits: Learning rate and number of epochs.
        settings: Static.

    Returns:
        The new state, and [f, epochs_per_chunk] of `epoch` (from 1; 0 where none was
        run), `train_loss`, `train_accuracy`, `validation_loss`,
        `validation_accuracy`, with the diagnostic also `test_accuracy`; losses are means
        weighted by class.
    """
    train = over_lanes(functools.partial(train_lane, settings=settings), settings.mesh, num_lane_arguments=2)
    state, history = train(state, _take(lanes, which), data, limits)
    return _keep_on_lanes(state, settings.mesh), _replicate(history, settings.mesh)


@Compiled
def predict_lanes(
    state: TrainState, which: Int[Array, " f"], lanes: LaneData, data: Data, *, settings: Settings
) -> Float[Array, "f m k"]:
    """Class probabilities of each lane's (padded) test items."""
    predict = over_lanes(functools.partial(predict_lane, settings=settings), settings.mesh, num_lane_arguments=2)
    return _replicate(predict(state, _take(lanes, which), data), settings.mesh)


@functools.partial(jax.jit, static_argnames="mesh")
def read_stopped(slots: TrainState, *, mesh: Mesh) -> Bool[Array, " f"]:
    """Which slots have no epoch left to run."""
    return _replicate(slots.stopped, mesh)


def _take(lanes: LaneData, which: Int[Array, " f"]) -> LaneData:
    return jax.tree.map(lambda a: a[which], lanes)


def _keep_on_lanes(tree: Any, mesh: Mesh) -> Any:
    return tree if mesh.size == 1 else lax.with_sharding_constraint(tree, lanes_sharding(mesh))


def _replicate(tree: Any, mesh: Mesh) -> Any:
    """Whole on every device, and so readable in every process."""
    return tree if mesh.size == 1 else lax.with_sharding_constraint(tree, replicated_sharding(mesh))
