"""The compiled training engine.

`fit_fold` runs one fold of a protocol: chunks of epochs, each chunk one compiled call,
with the history, the checkpoint and the check for a loss that is not finite between
chunks. One compilation serves all folds of a plan: folds differ in the values of
padded index arrays, not in their shapes.

    train_epochs   a chunk of epochs as one scan             (compiled)
      train_step   one batch                                 (pure)
      eval_step    one batch                                 (pure)
      load_batch   gather, augment, normalise, cut in halves (pure)
"""

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int

from mer_jax.batches import Amounts, Data, Items, copy_keys, deal_batches, in_batches, load_batch, pad_items
from mer_jax.checkpoint import FoldCheckpoints
from mer_jax.clips import Clips, FlowFeatures
from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, NonFiniteLossError
from mer_jax.inputs import input_kind, model_inputs
from mer_jax.losses import class_weights, cross_entropy, weighted_mean
from mer_jax.optim import make_optimizer
from mer_jax.protocols import Plan
from mer_jax.state import TrainState, init_state
from mer_jax.typing import PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings:
    """The static part of an experiment: what the compiler sees as constants."""

    model: nn.Module
    kind: str  # what the model takes, see mer_jax.inputs
    normalization: str
    augment: Amounts
    online_augmentation: bool
    steps: int  # batches in an epoch
    width: int  # items in a batch
    epochs_per_chunk: int

    def inputs(self) -> dict[str, Any]:
        """What `load_batch` needs of them."""
        return {"kind": self.kind, "augment": self.augment, "normalization": self.normalization}


@struct.dataclass
class Limits:
    """The numbers of an experiment that the compiled program takes as values, not as constants."""

    learning_rate: Float[Array, ""]
    epochs: Int[Array, ""]  # at most
    min_epochs: Int[Array, ""]  # the first epoch that may be chosen
    patience: Int[Array, ""]  # epochs without a better one before a fold stops; 0 never stops it


@struct.dataclass
class FoldData:
    """The three sides of one fold, and its class weights."""

    train: Items
    validation: Items
    test: Items
    class_weights: Float[Array, " k"]


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What one fold leaves behind.

    Attributes:
        item: indices of the test items in the plan.
        probabilities: of each test item [m, k], from the weights of the best epoch.
        epochs: epochs done.
        best_epoch: epoch whose weights were kept, counted from 1.
        stop_reason: `early stopping` or `all epochs`.
    """

    item: Int[np.ndarray, " m"]
    probabilities: Float[np.ndarray, "m k"]
    epochs: int
    best_epoch: int
    stop_reason: str


# --- pure functions -----------------------------------------------------------------


def train_step(
    params: Any,
    opt_state: optax.OptState,
    inputs: tuple[Array, ...],
    labels: Int[Array, " b"],
    weights: Float[Array, " b"],
    key: PRNGKey,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
) -> tuple[Any, optax.OptState, Float[Array, "b k"]]:
    """One update of the weights on one batch.

    Args:
        params: weights.
        opt_state: of the optimiser.
        inputs: of the model.
        labels: class indices.
        weights: class weight of each item, 0 for padding. The loss is their weighted
            sum over the number of real items, as Keras does with class weights.
        key: for dropout.
        model: linen module.
        optimizer: optax transformation.

    Returns:
        The new weights and optimiser state, and the logits before the update.
    """

    def loss(params):
        logits = model.apply({"params": params}, *inputs, is_training=True, rngs={"dropout": key})
        real = jnp.maximum((weights > 0).sum(), 1)
        return (cross_entropy(logits, labels) * weights).sum() / real, logits

    gradients, logits = jax.grad(loss, has_aux=True)(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, logits


def eval_step(params: Any, inputs: tuple[Array, ...], *, model: nn.Module) -> Float[Array, "b k"]:
    """Logits of one batch, without dropout."""
    return model.apply({"params": params}, *inputs, is_training=False)


def predict_items(params: Any, data: Data, items: Items, key: PRNGKey, settings: Settings) -> Float[Array, "m k"]:
    """Logits of items, in batches; copies are augmented by their own fixed keys."""
    # As few and as equal batches as the width allows: what is padded is computed for nothing.
    number = items.clip.shape[0]
    batches = in_batches(items, -(-number // -(-number // settings.width)))

    def one(batch):
        keys = copy_keys(key, batch)
        inputs = load_batch(data, batch, keys, batch.copy > 0, **settings.inputs())
        return eval_step(params, inputs, model=settings.model)

    logits = lax.map(one, batches)
    return logits.reshape(-1, logits.shape[-1])[: items.clip.shape[0]]


# --- one compiled chunk -------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="settings")
def start_fold(key: PRNGKey, data: Data, limits: Limits, *, settings: Settings) -> TrainState:
    """The state before the first epoch."""
    sample = model_inputs(data.pictures[:1], settings.kind, settings.normalization)
    return init_state(key, settings.model, sample, make_optimizer(limits.learning_rate))


@functools.partial(jax.jit, static_argnames="settings", donate_argnames="state")
def train_epochs(
    state: TrainState,
    data: Data,
    fold: FoldData,
    limits: Limits,
    key: PRNGKey,
    copy_key: PRNGKey,
    *,
    settings: Settings,
) -> tuple[TrainState, dict[str, Array]]:
    """Runs the next `settings.epochs_per_chunk` epochs, or as many as are left.

    Args:
        state: donated.
        data: the corpus.
        fold: which items train and validate.
        limits: learning rate and number of epochs.
        key: of this seed and fold.
        copy_key: of the fixed augmented copies, the same in all folds.
        settings: static.

    Returns:
        The new state, and per epoch of the chunk `epoch` (from 1; 0 where none was
        run), `train_loss`, `train_accuracy`, `validation_loss`,
        `validation_accuracy`; losses are means weighted by class.
    """
    optimizer = make_optimizer(limits.learning_rate)

    def train_on_batch(carry, batch):
        params, opt_state = carry
        items, key = batch
        augment_key, dropout_key = jax.random.split(key)
        if settings.online_augmentation:
            keys, augmented = jax.random.split(augment_key, settings.width), items.real
        else:
            keys, augmented = copy_keys(copy_key, items), items.copy > 0
        inputs = load_batch(data, items, keys, augmented, **settings.inputs())
        labels = data.label[items.clip]
        weights = jnp.where(items.real, fold.class_weights[labels], 0.0)
        params, opt_state, logits = lax.cond(
            items.real.any(),
            lambda: train_step(
                params, opt_state, inputs, labels, weights, dropout_key, model=settings.model, optimizer=optimizer
            ),
            # Padding alone: Adam's momentum must not move the weights.
            lambda: (params, opt_state, jnp.zeros((settings.width, fold.class_weights.shape[0]))),
        )
        return (params, opt_state), (logits, labels, weights)

    def run_epoch(state: TrainState):
        epoch_key = jax.random.fold_in(key, state.epoch)
        order_key, batch_key = jax.random.split(epoch_key)
        # Real items in random order, then padding; dealt out in turn, so that all batches hold equally many real ones.
        order = jnp.argsort(jax.random.uniform(order_key, fold.train.real.shape) + ~fold.train.real)
        batches = deal_batches(jax.tree.map(lambda a: a[order], fold.train), settings.steps)
        keys = jax.random.split(batch_key, settings.steps)
        (params, opt_state), outputs = lax.scan(train_on_batch, (state.params, state.opt_state), (batches, keys))
        logits, labels, weights = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), outputs)
        train_loss, train_accuracy = _loss_and_accuracy(logits, labels, weights)

        logits = predict_items(params, data, fold.validation, copy_key, settings)
        labels = data.label[fold.validation.clip]
        weights = jnp.where(fold.validation.real, fold.class_weights[labels], 0.0)
        validation_loss, validation_accuracy = _loss_and_accuracy(logits, labels, weights)

        epoch = state.epoch + 1
        failed = ~(jnp.isfinite(train_loss) & jnp.isfinite(validation_loss))
        better = ~failed & (validation_loss < state.best_loss) & (epoch >= limits.min_epochs)
        best_epoch = jnp.where(better, epoch, state.best_epoch)
        waited = epoch - jnp.maximum(best_epoch, limits.min_epochs)
        enough = (limits.patience > 0) & (waited >= limits.patience)
        new = TrainState(
            params=_select(failed, state.params, params),
            opt_state=_select(failed, state.opt_state, opt_state),
            epoch=epoch,
            best_params=_select(better, params, state.best_params),
            best_loss=jnp.where(better, validation_loss, state.best_loss),
            best_epoch=best_epoch,
            stopped=failed | enough | (epoch >= limits.epochs),
            failed_epoch=jnp.where(failed, epoch, 0),
        )
        return new, {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }

    def skip_epoch(state: TrainState):
        nothing = jnp.zeros(())
        names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
        return state, {"epoch": jnp.zeros((), jnp.int32), **dict.fromkeys(names, nothing)}

    def body(state, _):
        return lax.cond(state.stopped, skip_epoch, run_epoch, state)

    return lax.scan(body, state, length=settings.epochs_per_chunk)


@functools.partial(jax.jit, static_argnames="settings")
def predict_fold(
    state: TrainState, data: Data, fold: FoldData, copy_key: PRNGKey, *, settings: Settings
) -> Float[Array, "m k"]:
    """Class probabilities of the (padded) test items, from the weights of the best epoch."""
    return jax.nn.softmax(predict_items(state.best_params, data, fold.test, copy_key, settings))


def _loss_and_accuracy(logits, labels, weights):
    loss = weighted_mean(cross_entropy(logits, labels), weights)
    accuracy = weighted_mean((logits.argmax(-1) == labels).astype(jnp.float32), (weights > 0).astype(jnp.float32))
    return loss, accuracy


def _select(condition, if_true, if_false):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)


# --- the host's side ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Program:
    """A plan made ready for the device: shared by all folds, compiled once.

    Several threads may fit different folds of it at the same time.
    """

    plan: Plan
    settings: Settings
    limits: Limits
    data: Data
    folds: tuple[FoldData, ...]
    root_key: PRNGKey
    compiling: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)
    compiled: threading.Event = dataclasses.field(default_factory=threading.Event, repr=False)

    def train_epochs(self, state: TrainState, index: int, key: PRNGKey, copy_key: PRNGKey):
        """`train_epochs` of fold `index`; of threads that come first together, one compiles."""
        run = functools.partial(
            train_epochs, state, self.data, self.folds[index], self.limits, key, copy_key, settings=self.settings
        )
        if self.compiled.is_set():
            return run()
        with self.compiling:
            result = run()
            self.compiled.set()
        return result


def make_program(experiment: Experiment, clips: Clips | FlowFeatures, plan: Plan) -> Program:
    """Moves clips to the device and pads every fold to one shape.

    Args:
        experiment: validated.
        clips: the corpus, of the kind that the model takes.
        plan: of the protocol, over these clips.

    Raises:
        ConfigError: the model takes another kind; or copies of motion features, which are
            not augmented, would be tested.
    """
    kind = input_kind(experiment.model)
    if kind != clips.kind:
        raise ConfigError(
            f"the model {type(experiment.model).__name__} takes {kind}, the corpus holds {clips.kind}; "
            "choose another --config"
        )
    if kind == "motion" and np.any(plan.copy):
        raise ConfigError(
            f"protocol {plan.protocol!r} trains and tests on augmented copies, and motion features are not augmented: "
            "copies would be the clips themselves; expected --config.protocols=\"('subject',)\" or \"('loso',)\""
        )
    longest = {
        side: max(int(getattr(fold, side).sum()) for fold in plan.folds) for side in ("train", "validation", "test")
    }
    # The paper's batch of 80 would leave a remainder: we make batches of at most that size, all as full as each other.
    steps = -(-longest["train"] // experiment.batch_size)
    settings = Settings(
        model=experiment.model,
        kind=clips.kind,
        normalization=experiment.normalization,
        augment=tuple(sorted(dataclasses.asdict(experiment.augment).items())),
        online_augmentation=plan.online_augmentation and clips.kind != "motion",
        steps=steps,
        width=-(-longest["train"] // steps),
        epochs_per_chunk=experiment.epochs_per_chunk,
    )
    limits = Limits(
        learning_rate=jnp.asarray(experiment.learning_rate, jnp.float32),
        epochs=jnp.asarray(experiment.epochs),
        min_epochs=jnp.asarray(experiment.min_epochs),
        patience=jnp.asarray(experiment.patience),
    )
    folds = []
    for fold in plan.folds:
        weights = class_weights(clips.label[plan.clip[fold.train]], len(clips.class_names), experiment.class_weights)
        sides = {side: pad_items(plan, getattr(fold, side), longest[side]) for side in longest}
        folds.append(FoldData(**sides, class_weights=jnp.asarray(weights)))
    data = Data(pictures=jnp.asarray(clips.pictures()), label=jnp.asarray(clips.label))
    return Program(plan, settings, limits, data, tuple(folds), jax.random.key(experiment.seed))


def fit_fold(
    program: Program,
    index: int,
    *,
    checkpoints: FoldCheckpoints,
    on_chunk: Callable[[list[dict[str, float]]], None],
    on_saved: Callable[[], None],
    on_restore: Callable[[int], None],
) -> FoldResult:
    """Trains one fold, from its newest checkpoint if there is one, and tests it.

    Args:
        program: from `make_program`.
        index: of the fold in the plan.
        checkpoints: of this fold.
        on_chunk: called between chunks with the history of the chunk, before its
            checkpoint is written.
        on_saved: called between chunks after that; what it raises ends the fold.
        on_restore: called once with the number of epochs that a checkpoint already holds.

    Returns:
        Probabilities of the test items, and how training ended.

    Raises:
        NonFiniteLossError: naming fold, epoch, learning rate and last checkpoint.
        CheckpointError: a checkpoint is of another experiment, or cannot be written.
    """
    settings, limits, fold = program.settings, program.limits, program.folds[index]
    copy_key, fold_key = jax.random.split(program.root_key)
    init_key, train_key = jax.random.split(jax.random.fold_in(fold_key, index))
    state = start_fold(init_key, program.data, limits, settings=settings)
    state = checkpoints.restore_newest(state) or state
    on_restore(int(state.epoch))
    while not bool(state.stopped):
        last_epoch = int(state.epoch)
        state, history = program.train_epochs(state, index, train_key, copy_key)
        on_chunk(_rows(history))
        if failed := int(state.failed_epoch):
            kept = (
                f"the last good checkpoint holds epoch {last_epoch}" if last_epoch else "no checkpoint was written yet"
            )
            raise NonFiniteLossError(
                f"the loss is not finite in fold {program.plan.folds[index].name!r} of protocol "
                f"{program.plan.protocol!r}, epoch {failed}, at learning rate {float(limits.learning_rate):g}; "
                f"{kept} ({checkpoints.folder}). Lower --config.learning_rate, or set "
                "--config.class_weights=normalized, and start another --workdir"
            )
        checkpoints.save(int(state.epoch), state)
        on_saved()
    probabilities = predict_fold(state, program.data, fold, copy_key, settings=settings)
    item = np.flatnonzero(program.plan.folds[index].test)
    return FoldResult(
        item=item,
        probabilities=np.asarray(probabilities)[: len(item)],
        epochs=int(state.epoch),
        best_epoch=int(state.best_epoch),
        stop_reason="all epochs" if int(state.epoch) >= int(limits.epochs) else "early stopping",
    )


def _rows(history: dict[str, Array]) -> list[dict[str, float]]:
    columns = {name: np.asarray(values).tolist() for name, values in history.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows if row["epoch"]]
