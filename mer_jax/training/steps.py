"""The compiled part of training: pure functions, from one batch to a chunk of epochs.

    train_epochs   a chunk of epochs of some lanes as one scan   (compiled)
      train_step   one batch                                     (pure)
      eval_step    one batch                                     (pure)
      load_batch   gather, augment, normalise, cut in halves     (pure, in batches.py)

A lane is one fold under one seed. Functions with `lane` in their name are written for one;
`over_lanes` makes an axis of them. Lanes differ in the values of padded index arrays and
not in their shapes, so one compilation serves all of a protocol.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from mer_jax.config import Optimization
from mer_jax.data.views import View
from mer_jax.sharding import DATA, branch, lanes_sharding, over_lanes, replicated_sharding, round_up, shard_batch
from mer_jax.training.batches import Amounts, Data, Items, copy_keys, deal_batches, in_batches, load_batch
from mer_jax.training.losses import cross_entropy, focal_loss, weighted_mean
from mer_jax.training.optim import make_optimizer
from mer_jax.training.state import TrainState, init_state
from mer_jax.typing import Labels, Logits, PRNGKey, Weights


@dataclasses.dataclass(frozen=True)
class Settings:
    """The static part of an experiment: what the compiler sees as constants."""

    model: nn.Module
    view: View  # what the model is fed
    normalization: str
    augment: Amounts
    online_augmentation: bool
    optimization: tuple[tuple[str, Any], ...]  # fields of `Optimization`, as pairs: hashable
    half_precision: bool  # the model is fed bfloat16
    select_last: bool  # test the last epoch, instead of the one of the lowest validation loss
    watch_test: bool  # diagnostic `test_best`
    steps: int  # batches in an epoch
    width: int  # items in a batch
    epochs_per_chunk: int
    mesh: Mesh
    compiler_options: tuple[tuple[str, Any], ...]  # for XLA, as pairs

    def inputs(self) -> dict[str, Any]:
        """What `load_batch` needs of them."""
        return {"view": self.view, "augment": self.augment, "normalization": self.normalization}

    def optimizer(self, limits: "Limits") -> optax.GradientTransformation:
        """The optimiser of this experiment."""
        optimization = Optimization(**dict(self.optimization))
        return make_optimizer(
            optimization, learning_rate=limits.learning_rate, epochs=limits.epochs, steps_per_epoch=self.steps
        )

    def loss(self, logits: Logits, labels: Labels) -> Weights:
        """The loss of each example that is trained on."""
        optimization = Optimization(**dict(self.optimization))
        smoothing = optimization.label_smoothing
        if optimization.loss == "focal":
            return focal_loss(logits, labels, gamma=optimization.focal_gamma, label_smoothing=smoothing)
        return cross_entropy(logits, labels, label_smoothing=smoothing)


@struct.dataclass
class Limits:
    """The numbers of an experiment that the compiled program takes as values, not as constants."""

    learning_rate: Any  # Float[Array, ""]
    epochs: Any  # Int[Array, ""]: at most
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


# --- one batch ----------------------------------------------------------------------


def train_step(
    params: Any,
    model_state: Any,
    opt_state: optax.OptState,
    inputs: tuple[Array, ...],
    labels: Int[Array, " b"],
    weights: Float[Array, " b"],
    key: PRNGKey,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Logits, Labels], Weights] = cross_entropy,
) -> tuple[Any, Any, optax.OptState, Float[Array, "b k"]]:
    """One update of the weights on one batch.

    Args:
        params: weights.
        model_state: the model's other collections, such as `batch_stats`; {} for none.
        opt_state: of the optimiser.
        inputs: of the model.
        labels: class indices.
        weights: class weight of each item, 0 for padding. The loss is their weighted
            sum over the number of real items, as Keras does with class weights.
        key: for dropout.
        model: linen module.
        optimizer: optax transformation.
        loss: of each example.

    Returns:
        The new weights, collections and optimiser state, and the logits before the update.
    """

    def mean_loss(params):
        logits, new_state = model.apply(
            {"params": params, **model_state},
            *inputs,
            is_training=True,
            rngs={"dropout": key},
            mutable=list(model_state),
        )
        logits = logits.astype(jnp.float32)
        real = jnp.maximum((weights > 0).sum(), 1)
        return (loss(logits, labels) * weights).sum() / real, (logits, new_state)

    gradients, (logits, model_state) = jax.grad(mean_loss, has_aux=True)(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), model_state, opt_state, logits


def eval_step(params: Any, model_state: Any, inputs: tuple[Array, ...], *, model: nn.Module) -> Float[Array, "b k"]:
    """Logits of one batch, without dropout."""
    return model.apply({"params": params, **model_state}, *inputs, is_training=False).astype(jnp.float32)


def predict_items(
    params: Any, model_state: Any, data: Data, items: Items, key: PRNGKey, settings: Settings
) -> Float[Array, "m k"]:
    """Logits of items, in batches; copies are augmented by their own fixed keys."""
    # As few and as equal batches as the width allows: what is padded is computed for nothing.
    number = items.clip.shape[0]
    width = round_up(-(-number // -(-number // settings.width)), settings.mesh.shape[DATA])

    def one(batch):
        keys = copy_keys(key, batch)
        inputs = _load(data, batch, keys, batch.copy > 0, settings)
        return eval_step(params, model_state, inputs, model=settings.model)

    logits = lax.map(one, in_batches(items, width))
    return logits.reshape(-1, logits.shape[-1])[:number]


def _load(data, items, keys, augmented, settings):
    inputs = shard_batch(load_batch(data, items, keys, augmented, **settings.inputs()))
    return jax.tree.map(lambda a: a.astype(jnp.bfloat16), inputs) if settings.half_precision else inputs


# --- one lane -----------------------------------------------------------------------


def start_lane(lane: LaneData, data: Data, limits: Limits, settings: Settings) -> TrainState:
    """The state before the first epoch."""
    sample = settings.view.make(data.pictures[:1], settings.normalization)
    num_watched = lane.test.clip.shape[0] if settings.watch_test else 0
    return init_state(lane.init_key, settings.model, sample, settings.optimizer(limits), num_watched=num_watched)


def train_lane(
    state: TrainState, lane: LaneData, data: Data, limits: Limits, settings: Settings
) -> tuple[TrainState, dict[str, Array]]:
    """The next epochs of one lane; see `train_epochs`."""
    optimizer = settings.optimizer(limits)

    def train_on_batch(carry, batch):
        items, key = batch
        augment_key, dropout_key = jax.random.split(key)
        if settings.online_augmentation:
            keys, augmented = jax.random.split(augment_key, settings.width), items.real
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
                loss=settings.loss,
            )

        def keep():  # padding alone: Adam's momentum must not move the weights
            return *carry, jnp.zeros((settings.width, lane.class_weights.shape[0]))

        *carry, logits = branch(items.real.any(), update, keep, mesh=settings.mesh)
        return tuple(carry), (logits, labels, weights)

    def evaluate(params, model_state, items):
        logits = predict_items(params, model_state, data, items, lane.copy_key, settings)
        labels = data.label[items.clip]
        return logits, *_loss_and_accuracy(logits, labels, jnp.where(items.real, lane.class_weights[labels], 0.0))

    def run_epoch(state: TrainState):
        epoch_key = jax.random.fold_in(lane.train_key, state.epoch)
        order_key, batch_key = jax.random.split(epoch_key)
        # Real items in random order, then padding; dealt out in turn, so that all batches hold equally many real ones.
        order = jnp.argsort(jax.random.uniform(order_key, lane.train.real.shape) + ~lane.train.real)
        batches = deal_batches(jax.tree.map(lambda a: a[order], lane.train), settings.steps, settings.width)
        keys = jax.random.split(batch_key, settings.steps)
        carry = (state.params, state.model_state, state.opt_state)
        (params, model_state, opt_state), outputs = lax.scan(train_on_batch, carry, (batches, keys))
        logits, labels, weights = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), outputs)
        train_loss, train_accuracy = _loss_and_accuracy(logits, labels, weights)
        _, validation_loss, validation_accuracy = evaluate(params, model_state, lane.validation)

        epoch = state.epoch + 1
        failed = ~(jnp.isfinite(train_loss) & jnp.isfinite(validation_loss))
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
        if settings.watch_test:  # looked at, and nothing else: no choice above or below depends on it
            logits, _, accuracy = evaluate(params, model_state, lane.test)
            now = {"accuracy": accuracy, "epoch": epoch, "probabilities": jax.nn.softmax(logits)}
            test_best = _select(~failed & (accuracy > test_best["accuracy"]), now, test_best)
            row["test_accuracy"] = accuracy
        new = TrainState(
            params=_select(failed, state.params, params),
            model_state=_select(failed, state.model_state, model_state),
            opt_state=_select(failed, state.opt_state, opt_state),
            epoch=epoch,
            best_params=_select(better, params, state.best_params),
            best_model_state=_select(better, model_state, state.best_model_state),
            best_loss=jnp.where(better, validation_loss, state.best_loss),
            best_epoch=best_epoch,
            stopped=failed | enough | (epoch >= limits.epochs),
            failed_epoch=jnp.where(failed, epoch, 0),
            test_best=test_best,
        )
        return new, row

    def skip_epoch(state: TrainState):
        names = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
        names += ["test_accuracy"] if settings.watch_test else []
        return state, {"epoch": jnp.zeros((), jnp.int32), **dict.fromkeys(names, jnp.zeros(()))}

    def body(state, _):
        return branch(state.stopped, skip_epoch, run_epoch, state, mesh=settings.mesh)

    return lax.scan(body, state, length=settings.epochs_per_chunk)


def predict_lane(state: TrainState, lane: LaneData, data: Data, settings: Settings) -> Float[Array, "m k"]:
    """Class probabilities of the (padded) test items, from the weights of the best epoch."""
    logits = predict_items(state.best_params, state.best_model_state, data, lane.test, lane.copy_key, settings)
    return jax.nn.softmax(logits)


def _loss_and_accuracy(logits, labels, weights):
    loss = weighted_mean(cross_entropy(logits, labels), weights)
    accuracy = weighted_mean((logits.argmax(-1) == labels).astype(jnp.float32), (weights > 0).astype(jnp.float32))
    return loss, accuracy


def _select(condition: Bool[Array, ""], if_true: Any, if_false: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)


# --- some lanes, compiled -----------------------------------------------------------


class _ProgramOfSettings:
    """As `jax.jit` with static `settings`, which have the compiler's options; for what is part of no other program."""

    def __init__(self, function: Callable[..., Any], **how: Any):
        functools.update_wrapper(self, function)
        self._how, self._by_options = how, {}

    def __call__(self, *arguments: Any, settings: Settings) -> Any:
        return self._program(settings)(*arguments, settings=settings)

    def lower(self, *arguments: Any, settings: Settings) -> jax.stages.Lowered:
        return self._program(settings).lower(*arguments, settings=settings)

    def num_compiled(self) -> int:
        return sum(program._cache_size() for program in self._by_options.values())

    def _program(self, settings: Settings) -> Any:
        options = settings.compiler_options
        if options not in self._by_options:
            how = {"static_argnames": "settings", "compiler_options": dict(options), **self._how}
            self._by_options.setdefault(options, jax.jit(self.__wrapped__, **how))  # threads may come together
        return self._by_options[options]


@functools.partial(jax.jit, static_argnames="settings")
def start_slot(index: Int[Array, ""], lanes: LaneData, data: Data, limits: Limits, *, settings: Settings) -> TrainState:
    """The state of one lane before its first epoch, with a leading axis of 1."""
    state = start_lane(jax.tree.map(lambda a: a[index], lanes), data, limits, settings)
    return jax.tree.map(lambda a: a[None], state)


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


@functools.partial(_ProgramOfSettings, donate_argnames="state")
def train_epochs(
    state: TrainState, which: Int[Array, " f"], lanes: LaneData, data: Data, limits: Limits, *, settings: Settings
) -> tuple[TrainState, dict[str, Array]]:
    """Runs the next `settings.epochs_per_chunk` epochs of f lanes, or as many as each has left.

    Args:
        state: of these lanes, with a leading axis; donated. They may be in different epochs.
        which: their indices in `lanes`.
        lanes: all lanes of the protocol.
        data: the corpus.
        limits: learning rate and number of epochs.
        settings: static.

    Returns:
        The new state, and [f, epochs_per_chunk] of `epoch` (from 1; 0 where none was
        run), `train_loss`, `train_accuracy`, `validation_loss`,
        `validation_accuracy`, with the diagnostic also `test_accuracy`; losses are means
        weighted by class.
    """
    train = over_lanes(functools.partial(train_lane, settings=settings), settings.mesh, num_lane_arguments=2)
    state, history = train(state, _take(lanes, which), data, limits)
    return _keep_on_lanes(state, settings.mesh), _replicate(history, settings.mesh)


@_ProgramOfSettings
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
