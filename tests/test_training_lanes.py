"""The engine, on small clips whose class is a motion that can be seen."""

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.config import Optimization
from mer_jax.data.views import make_halves
from mer_jax.errors import ConfigError, MemoryLimitError
from mer_jax.models import HybridAttention3DNet, OffApexNet
from mer_jax.protocols import make_plan
from mer_jax.training import batches, fit
from mer_jax.training import lanes as compiled_lanes
from mer_jax.training import program as program_module
from mer_jax.training.checkpoint import FoldCheckpoints
from mer_jax.training.fit import Callbacks
from tests.toy_training import NET_OF_THE_PAPER, SmallNet, make_clips, make_experiment

# Of probabilities and losses of folds as an axis against folds one by one, after a few epochs: sums are taken in
# another order, and Adam makes a step of the same size from a gradient of any size.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def clips():
    return make_clips()


def make_program(clips, protocol="subject", **fields):
    experiment = make_experiment(**fields)
    plans = [
        make_plan(
            protocol,
            subjects=clips.subject,
            labels=clips.label,
            seed=experiment.seed + seed,
            num_folds=experiment.num_folds,
            num_copies=experiment.num_copies,
        )
        for seed in range(experiment.num_seeds)
    ]
    return program_module.make_program(experiment, clips, plans)


class Recorder(Callbacks):
    """Keeps all callbacks; lets `stop_after` chunks pass before the process "dies"."""

    def __init__(self, stop_after=None):
        self.history, self.restored, self.results = {}, {}, {}
        self.chunks, self.stop_after, self.first_seed = 0, stop_after, 0

    def number(self, lane):
        """Index of the lane in its program."""
        return (lane.seed - self.first_seed) * lane.num_folds + lane.fold

    def on_start(self, lane, epoch):
        self.restored[self.number(lane)] = epoch

    def on_epochs(self, lane, rows):
        self.history.setdefault(self.number(lane), []).extend(rows)

    def on_result(self, lane, result):
        self.results[self.number(lane)] = result

    @contextlib.contextmanager
    def after_chunk(self):
        yield
        self.chunks += 1
        if self.chunks == self.stop_after:
            raise KeyboardInterrupt


def fit_lanes(program, folder, lanes, num_slots=1, fingerprint="x", recorder=None, **options):
    recorder = recorder or Recorder()

    def open_checkpoints(lane):
        return FoldCheckpoints(folder / f"{lane.seed}_{lane.fold}", fingerprint)

    recorder.first_seed = program.lanes[0].seed
    results = fit.fit_lanes(
        program, lanes, num_slots=num_slots, open_checkpoints=open_checkpoints, callbacks=recorder, **options
    )
    assert results == recorder.results
    return results, recorder


def fit_one(program, folder, index=0, stop_after=None):
    """Fits one fold: its result, its history, and the epoch that it went on from."""
    results, recorder = fit_lanes(program, folder, [index], recorder=Recorder(stop_after))
    return results[index], recorder.history.get(index, []), recorder.restored[index]


def test_learns_what_can_be_seen(clips, tmp_path):
    program = make_program(clips, epochs=30, learning_rate=3e-3, model=NET_OF_THE_PAPER)
    result, history, _ = fit_one(program, tmp_path)
    accuracy = (result.probabilities.argmax(1) == clips.label[program.plans[0].clip[result.item]]).mean()
    assert accuracy > 0.8
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)


def test_gray_is_an_option(clips, tmp_path):
    result, history, _ = fit_one(make_program(clips, normalization="gray", epochs=2), tmp_path)
    assert len(history) == 2
    assert np.isfinite(result.probabilities).all()


def test_two_runs_are_equal_bit_for_bit(clips, tmp_path):
    results = [fit_one(make_program(clips), tmp_path / name)[0] for name in "ab"]
    np.testing.assert_array_equal(results[0].probabilities, results[1].probabilities)
    other, *_ = fit_one(make_program(clips, seed=1), tmp_path / "c")
    assert other.probabilities.shape != results[0].probabilities.shape or np.any(
        other.probabilities != results[0].probabilities
    )


def test_interrupted_run_goes_on_bit_for_bit(clips, tmp_path):
    whole, whole_history, _ = fit_one(make_program(clips), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_one(make_program(clips), tmp_path / "cut", stop_after=1)
    resumed, history, restored = fit_one(make_program(clips), tmp_path / "cut")
    assert restored == 2
    assert history == whole_history[2:]
    np.testing.assert_array_equal(resumed.probabilities, whole.probabilities)
    again, history, restored = fit_one(make_program(clips), tmp_path / "cut")
    assert (history, restored) == ([], 6), "a finished fold is tested, not trained again"
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)


def test_chunks_do_not_change_the_result(clips, tmp_path):
    """Six epochs as 2+2+2 and as 4+2."""
    results = [fit_one(make_program(clips, epochs_per_chunk=n), tmp_path / str(n)) for n in (2, 4)]
    assert len(results[1][1]) == 6
    np.testing.assert_allclose(results[0][0].probabilities, results[1][0].probabilities, atol=1e-5)


def test_early_stopping_keeps_the_best_epoch(clips, tmp_path):
    program = make_program(clips, epochs=40, patience=3, learning_rate=3e-2)
    result, history, _ = fit_one(program, tmp_path)
    losses = [row["validation_loss"] for row in history]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert result.epochs == len(history)
    if result.stop_reason == "early stopping":
        assert result.epochs == result.best_epoch + 3
    else:
        assert result.epochs == 40
    assert result.epochs < 40, "with so high a learning rate the loss does not fall for 40 epochs"


def test_no_epoch_before_the_first_allowed_one_is_chosen(clips, tmp_path):
    result, *_ = fit_one(make_program(clips, epochs=20, min_epochs=7, patience=2, learning_rate=3e-2), tmp_path)
    assert result.best_epoch >= 7
    assert result.epochs in (result.best_epoch + 2, 20)


def test_prediction_uses_the_best_weights(clips, tmp_path):
    """A run that is given only the epochs up to the best one predicts the same."""
    result, *_ = fit_one(make_program(clips, epochs=40, patience=4, learning_rate=3e-2), tmp_path / "long")
    assert result.best_epoch < result.epochs
    limits = {"epochs": result.best_epoch, "min_epochs": result.best_epoch}
    short, *_ = fit_one(make_program(clips, learning_rate=3e-2, **limits), tmp_path / "short")
    np.testing.assert_allclose(result.probabilities, short.probabilities, atol=1e-4)


def test_one_compilation_serves_all_folds_and_learning_rates(clips, tmp_path):
    fit_one(make_program(clips, epochs=2), tmp_path, 0)
    compiled = compiled_lanes.train_epochs.num_compiled()
    for index, learning_rate in ((1, 1e-3), (2, 1e-2)):
        fit_one(make_program(clips, epochs=2, learning_rate=learning_rate), tmp_path, index)
    assert compiled_lanes.train_epochs.num_compiled() == compiled


def test_folds_in_threads_equal_folds_one_by_one(clips, tmp_path):
    program = make_program(clips, epochs=4)
    alone = [fit_one(program, tmp_path / "alone", index)[0].probabilities for index in (0, 1)]
    program = make_program(clips, epochs=4)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda index: fit_one(program, tmp_path / "together", index)[0].probabilities, (0, 1)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def train_chunk(program, lanes):
    """One chunk of the first lane, and the state before it."""
    state = compiled_lanes.start_slot(jnp.asarray(0), lanes, program.data, program.limits, settings=program.settings)
    before = jax.tree.map(np.array, state)
    after, history = compiled_lanes.train_epochs(
        state, jnp.zeros(1, int), lanes, program.data, program.limits, settings=program.settings
    )
    return before, jax.tree.map(np.asarray, after), history


def test_padding_of_validation_changes_no_loss(clips):
    program = make_program(clips, epochs=1, batch_size=64)
    validation = program.lane_data.validation
    padded = jax.tree.map(lambda a: jnp.pad(a, ((0, 0), (0, 40))), validation)
    losses = []
    for each in (validation, padded):
        *_, history = train_chunk(program, dataclasses.replace(program.lane_data, validation=each))
        losses.append(np.asarray(history["validation_loss"]))
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_batches_of_a_short_fold_are_equally_full():
    real = jnp.arange(13) < 10  # real items first, as an epoch orders them
    items = batches.Items(clip=jnp.arange(13), copy=jnp.zeros(13, int), real=real)
    dealt = batches.deal_batches(items, 4, 5)
    assert dealt.clip.shape == (4, 5)
    assert sorted(dealt.real.sum(1).tolist()) == [2, 2, 3, 3]
    assert sorted(dealt.clip[dealt.real].tolist()) == list(range(10))


def test_padding_is_of_the_same_side(clips):
    """Or batch normalisation would gather what a fold may not see."""
    program = make_program(clips)
    for number, lane in enumerate(program.lanes):
        for side in ("train", "validation", "test"):
            items = getattr(program.lane_data, side)
            allowed = program.plans[0].clip[getattr(program.plans[0].folds[lane.fold], side)]
            assert set(np.asarray(items.clip[number]).tolist()) <= set(allowed.tolist())


def test_a_batch_of_padding_moves_no_weight(clips):
    program = make_program(clips, epochs=2)
    train_items = program.lane_data.train
    padding = dataclasses.replace(train_items, real=jnp.zeros_like(train_items.real))
    before, after, _ = train_chunk(program, dataclasses.replace(program.lane_data, train=padding))
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)


def test_copies_of_the_paper_are_fixed_and_differ(clips):
    program = make_program(clips, "paper", num_copies=2)
    items = batches.Items(clip=jnp.array([3, 3, 3, 4]), copy=jnp.array([0, 1, 2, 1]), real=jnp.ones(4, bool))
    key, settings = jax.random.key(0), program.settings
    view = {"view": settings.view, "augment": settings.augment, "normalization": settings.normalization}

    def load():
        keys = batches.copy_keys(key, items)
        upper, lower = batches.load_batch(program.data, items, keys, items.copy > 0, **view)
        return np.concatenate([upper, lower], axis=2)

    first = load()
    np.testing.assert_array_equal(first, load())
    as_stored = make_halves(program.data.pictures[3], "difference")
    np.testing.assert_allclose(first[0], np.concatenate(as_stored, axis=1), atol=1e-5)
    assert np.abs(first[1] - first[2]).max() > 0.1
    assert np.abs(first[1] - first[0]).max() > 0.1


def test_paper_protocol_trains(clips, tmp_path):
    program = make_program(clips, "paper", epochs=2)
    result, history, _ = fit_one(program, tmp_path)
    assert len(history) == 2
    assert len(result.item) == program.plans[0].folds[0].test.sum()


def spoil(program, lane):
    """Makes the loss of one lane infinite from its first update on."""
    weights = np.array(program.lane_data.class_weights)
    weights[lane] = 1e38
    return dataclasses.replace(
        program, lane_data=dataclasses.replace(program.lane_data, class_weights=jnp.asarray(weights))
    )


@pytest.mark.parametrize("num_slots", [1, 3])
def test_a_loss_that_is_not_finite_ends_its_fold_alone(clips, tmp_path, num_slots):
    program = make_program(clips, epochs=2)
    results, recorder = fit_lanes(spoil(program, 1), tmp_path / "spoilt", [0, 1, 2], num_slots)
    assert results[1].probabilities is None
    assert results[1].stop_reason == "loss not finite in epoch 1"
    assert not np.isfinite(recorder.history[1][0]["train_loss"])
    alone, _ = fit_lanes(program, tmp_path / "alone", [0, 2], num_slots)
    for lane in (0, 2):
        np.testing.assert_allclose(results[lane].probabilities, alone[lane].probabilities, atol=1e-6)


def test_test_items_decide_nothing(clips, tmp_path):
    """Other pixels and labels on the test side leave training as it is, to the last bit."""
    program = make_program(clips)
    test_clips = np.flatnonzero(program.plans[0].folds[0].test)
    label, faces = clips.label.copy(), clips.pictures.copy()
    label[test_clips] = (label[test_clips] + 1) % 3
    faces[test_clips] = 255 - faces[test_clips]
    data = batches.Data(pictures=jnp.asarray(faces), label=jnp.asarray(label))
    (one, history, _), (other, other_history, _) = (
        fit_one(each, tmp_path / str(i)) for i, each in enumerate((program, dataclasses.replace(program, data=data)))
    )
    assert history == other_history
    assert np.any(one.probabilities != other.probabilities), "the tested pixels are others"


def test_a_resumed_fold_does_not_compile_again(clips, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit_one(make_program(clips), tmp_path, stop_after=1)
    compiled = compiled_lanes.train_epochs.num_compiled()
    fit_one(make_program(clips), tmp_path)
    assert compiled_lanes.train_epochs.num_compiled() == compiled


# --- folds and seeds as an axis -----------------------------------------------------


@pytest.mark.parametrize(("model", "num_slots"), [(SmallNet(), 2), (SmallNet(), 3), (NET_OF_THE_PAPER, 3)])
def test_folds_as_an_axis_equal_folds_one_by_one(clips, tmp_path, model, num_slots):
    program = make_program(clips, epochs=4, model=model)
    alone, recorder_alone = fit_lanes(program, tmp_path / "alone", [0, 1, 2])
    together, recorder = fit_lanes(program, tmp_path / "together", [0, 1, 2], num_slots)
    for lane, result in alone.items():
        np.testing.assert_allclose(together[lane].probabilities, result.probabilities, atol=TOLERANCE)
        assert together[lane].best_epoch == result.best_epoch
        for row, expected in zip(recorder.history[lane], recorder_alone.history[lane], strict=True):
            assert row == pytest.approx(expected, abs=TOLERANCE)


def test_a_lane_takes_the_slot_of_one_that_stopped(clips, tmp_path):
    """Lanes in the same slots are in different epochs, and none of them can tell."""
    fields = {"epochs": 12, "patience": 2, "learning_rate": 3e-2}
    program = make_program(clips, **fields)
    alone, _ = fit_lanes(program, tmp_path / "alone", [0, 1, 2])
    assert len({result.epochs for result in alone.values()}) > 1, "or the lanes would stop together"
    together, _ = fit_lanes(program, tmp_path / "together", [0, 1, 2], 2)
    for lane, result in alone.items():
        assert together[lane].epochs == result.epochs
        np.testing.assert_allclose(together[lane].probabilities, result.probabilities, atol=TOLERANCE)


def test_lanes_resume_in_other_slots(clips, tmp_path):
    program = make_program(clips, epochs=6)
    whole, _ = fit_lanes(program, tmp_path / "whole", [0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        fit_lanes(program, tmp_path / "cut", [0, 1, 2], 2, recorder=Recorder(stop_after=2))
    resumed, recorder = fit_lanes(program, tmp_path / "cut", [0, 1, 2], 3)
    assert recorder.restored == {0: 4, 1: 4, 2: 0}
    for lane, result in whole.items():
        np.testing.assert_allclose(resumed[lane].probabilities, result.probabilities, atol=TOLERANCE)


def test_seeds_are_lanes_too(clips, tmp_path):
    program = make_program(clips, epochs=2, num_seeds=2)
    assert [(lane.seed, lane.fold) for lane in program.lanes] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    second, *_ = fit_one(program, tmp_path / "both", 4)
    alone, *_ = fit_one(make_program(clips, epochs=2, seed=1), tmp_path / "alone", 1)
    np.testing.assert_array_equal(second.item, alone.item)
    np.testing.assert_allclose(second.probabilities, alone.probabilities, atol=1e-6)


class DeviceWithoutRoom:
    """A device on which more than `most` lanes do not fit."""

    def __init__(self, most):
        self.most, self.real, self.tried = most, compiled_lanes.train_epochs, []

    def __call__(self, slots, which, *rest, **settings):
        self.tried.append(which.shape[0])
        if which.shape[0] > self.most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return self.real(slots, which, *rest, **settings)

    def lower(self, *arguments, **settings):
        return self.real.lower(*arguments, **settings)


def test_fewer_folds_at_once_where_the_device_has_no_room(clips, tmp_path, monkeypatch):
    program = make_program(clips, epochs=2)
    alone, _ = fit_lanes(program, tmp_path / "alone", [0, 1, 2])
    monkeypatch.setattr(compiled_lanes, "train_epochs", device := DeviceWithoutRoom(1))
    results, _ = fit_lanes(program, tmp_path / "shrunk", [0, 1, 2], 3)
    assert device.tried[0] == 3
    assert set(device.tried[1:]) == {1}
    for lane, result in alone.items():
        np.testing.assert_array_equal(results[lane].probabilities, result.probabilities)


def test_no_room_at_all_names_what_to_lower(clips, tmp_path, monkeypatch):
    program = make_program(clips, epochs=2)
    monkeypatch.setattr(compiled_lanes, "train_epochs", DeviceWithoutRoom(0))
    with pytest.raises(
        MemoryLimitError, match=r"no room for 1 folds at once, each of about \d+ MB; use a lower --fold_"
    ):
        fit_lanes(program, tmp_path / "one", [0], 1)
    monkeypatch.setattr(compiled_lanes, "train_epochs", DeviceWithoutRoom(2))
    with pytest.raises(MemoryLimitError, match="no room for 3 folds at once"):
        fit_lanes(program, tmp_path / "three", [0, 1, 2], 3, may_shrink=False)


def test_number_of_slots_follows_devices_and_memory(clips, monkeypatch):
    program = make_program(clips)
    assert program_module.choose_num_slots(program, None) == 1, "one fold at a time on a CPU"
    assert program_module.choose_num_slots(program, 2) == 2
    assert program_module.choose_num_slots(program, 100) == 3, "there are three folds"
    one = program.lane_bytes()
    for room, num_slots in ((2.6, 2), (1.0, 1), (100.0, 3)):
        monkeypatch.setattr(program_module, "free_bytes", lambda _, room=room: int(room * one))
        assert program_module.choose_num_slots(program, None) == num_slots


# --- what else can be asked for -----------------------------------------------------


def test_last_epoch_instead_of_the_best(clips, tmp_path):
    fields = {"epochs": 8, "learning_rate": 3e-2, "selection": "last", "patience": 2}
    result, history, _ = fit_one(make_program(clips, **fields), tmp_path)
    assert (result.best_epoch, result.epochs, len(history)) == (8, 8, 8)
    assert np.argmin([row["validation_loss"] for row in history]) + 1 < 8, "or there would be nothing to tell apart"


def test_the_diagnostic_watches_and_changes_nothing(clips, tmp_path):
    fields = {"epochs": 8, "learning_rate": 3e-2}
    plain, history, _ = fit_one(make_program(clips, **fields), tmp_path / "plain")
    watched, rows, _ = fit_one(make_program(clips, **fields, diagnostic="test_best"), tmp_path / "watched")
    np.testing.assert_allclose(watched.probabilities, plain.probabilities, atol=1e-6)
    assert plain.test_best is None
    accuracies = [row["test_accuracy"] for row in rows]
    assert watched.test_best.epoch == int(np.argmax(accuracies)) + 1
    true = clips.label[make_program(clips).plans[0].clip[watched.item]]
    assert (watched.test_best.probabilities.argmax(1) == true).mean() == pytest.approx(max(accuracies))
    assert "test_accuracy" not in history[0]


@pytest.mark.parametrize(
    "optimization",
    [
        {"optimizer": "adamw", "weight_decay": 1e-3},
        {"optimizer": "sgd", "clip_norm": 1.0},
        {"schedule": "cosine", "warmup_epochs": 2},
        {"loss": "focal", "label_smoothing": 0.1},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_other_optimisations_learn_too(clips, tmp_path, optimization):
    program = make_program(clips, epochs=12, learning_rate=1e-2, optimization=Optimization(**optimization))
    _, history, _ = fit_one(program, tmp_path)
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]


@pytest.mark.parametrize("num_slots", [1, 2])
def test_batch_statistics_are_trained_saved_and_used(clips, tmp_path, num_slots):
    program = make_program(clips, epochs=4, model=SmallNet(batch_norm=True))
    before, after, _ = train_chunk(program, program.lane_data)
    means = [jax.tree.leaves(state.model_state)[0] for state in (before, after)]
    assert np.abs(means[0] - means[1]).max() > 0
    whole, _ = fit_lanes(program, tmp_path / "whole", [0, 1], num_slots)
    with pytest.raises(KeyboardInterrupt):
        fit_lanes(program, tmp_path / "cut", [0, 1], num_slots, recorder=Recorder(stop_after=1))
    resumed, _ = fit_lanes(program, tmp_path / "cut", [0, 1], num_slots)
    for lane, result in whole.items():
        np.testing.assert_array_equal(resumed[lane].probabilities, result.probabilities)


# --- models of motion features ------------------------------------------------------


def make_motion(clips):
    """Horizontal motion, vertical motion, or none."""
    flow = np.full((len(clips), 28, 28, 3), 128, np.uint8)
    for label in (0, 1):
        flow[clips.label == label, :, :, label] += 80
    flow += np.random.default_rng(0).integers(0, 8, flow.shape, dtype=np.uint8)
    return dataclasses.replace(clips, pictures=flow)


def test_a_model_of_motion_features_trains_without_augmentation(clips, tmp_path):
    program = make_program(make_motion(clips), model=OffApexNet(dropout=0.0), epochs=8)
    assert not program.settings.online_augmentation
    result, history, _ = fit_one(program, tmp_path)
    assert history[-1]["train_loss"] < 0.75 * history[0]["train_loss"]
    true = clips.label[program.plans[0].clip[result.item]]
    assert (result.probabilities.argmax(1) == true).mean() > 0.8


def test_copies_of_motion_features_are_refused(clips):
    with pytest.raises(ConfigError, match="takes clips as they are"):
        make_program(make_motion(clips), "paper", model=OffApexNet())


def test_a_model_of_the_other_kind_is_refused(clips):
    with pytest.raises(ConfigError, match="OffApexNet takes motion, made from motion; the clips are faces"):
        make_program(clips, model=OffApexNet())


def test_a_model_of_other_classes_is_refused(clips):
    with pytest.raises(ConfigError, match=r"classes upper, lower, still, the model answers 5; set .*num_classes=3"):
        make_program(clips, model=HybridAttention3DNet(num_classes=5))
