"""Faults of training that leave every shape right and every loss finite: they only make a result wrong.

People have unequal numbers of clips, so the folds differ in size, in class balance and in padding.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.config import Augmentation
from mer_jax.data.views import make_halves
from mer_jax.protocols import make_plan
from mer_jax.training import lanes as compiled_lanes
from mer_jax.training.program import SIDES, make_program
from tests.toy_training import SmallNet, make_clips, make_experiment

NO_AUGMENTATION = Augmentation(**{field.name: 0.0 for field in dataclasses.fields(Augmentation)})


class PlainNet(nn.Module):
    """Without dropout: a loss depends on weights and inputs alone."""

    view = "halves"
    num_classes: int = 3

    @nn.compact
    def __call__(self, upper, lower, *, is_training):
        x = jnp.concatenate([upper, lower], axis=-3)[:, 1::2, ::8, ::8]
        return nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def clips():
    return make_clips()


def plan_loso(clips, protocol="loso", num_copies=1):
    return make_plan(protocol, subjects=clips.subject, labels=clips.label, seed=0, num_folds=3, num_copies=num_copies)


def make_loso(clips, *, plan=None, **fields):
    """Leave-one-subject-out, an epoch a chunk."""
    fields = {"model": PlainNet(), "epochs": 3, "epochs_per_chunk": 1, "batch_size": 12, **fields}
    return make_program(make_experiment(**fields), clips, [plan or plan_loso(clips)])


def start(program, lane=0):
    return compiled_lanes.start_slot(
        jnp.asarray(lane), program.lane_data, program.data, program.limits, settings=program.settings
    )


def run(program, lane=0, chunks=2):
    """The state of one lane after some chunks, and the rows of its epochs."""
    state, rows = start(program, lane), []
    for _ in range(chunks):
        state, history = compiled_lanes.train_epochs(
            state,
            jnp.array([lane]),
            program.lane_data,
            program.data,
            program.limits,
            settings=program.settings,
        )
        rows += [{name: float(value[0, i]) for name, value in history.items()} for i in range(history["epoch"].size)]
    return state, rows


def side_of(program, lane, side):
    """Clips of one side of a fold, from its plan."""
    plan = program.plans[0]
    return plan.clip[getattr(plan.folds[lane], side)]


def last(tree):
    """Without the leading axis of lanes."""
    return jax.tree.map(lambda a: a[0], tree)


def logits_of(program, params, clips, which):
    """Logits of clips as they are stored, from the model alone."""
    halves = make_halves(jnp.asarray(clips.pictures[which]), program.settings.normalization)
    return np.asarray(program.settings.model.apply({"params": params}, *halves, is_training=False))


# --- class weights ------------------------------------------------------------------


def test_toy_folds_differ_in_size_and_balance(clips):
    """Otherwise the tests below could not fail."""
    program = make_loso(clips)
    assert len({tuple(np.bincount(clips.label[side_of(program, lane, "train")])) for lane in range(6)}) > 3
    for side in SIDES:
        real = np.asarray(getattr(program.lane_data, side).real)
        assert not real.all(), f"no fold is padded on the side {side}"


def test_class_weights_are_of_the_training_items_of_each_fold(clips):
    program = make_loso(clips, class_weights="raw")
    for lane in range(len(program.lanes)):
        labels = clips.label[side_of(program, lane, "train")].tolist()
        expected = [len(labels) / labels.count(k) for k in range(3)]
        np.testing.assert_allclose(program.lane_data.class_weights[lane], expected, rtol=1e-6)


def test_labels_of_test_clips_do_not_reach_training(clips):
    """Labels that are wrong from the beginning, before class weights are computed."""
    plan = plan_loso(clips)
    label = clips.label.copy()
    tested = plan.clip[plan.folds[0].test]
    label[tested] = 2
    assert np.any(label != clips.label)
    program, other = make_loso(clips, plan=plan), make_loso(dataclasses.replace(clips, label=label), plan=plan)
    (state, rows), (other_state, other_rows) = run(program), run(other)
    assert rows == other_rows
    jax.tree.map(np.testing.assert_array_equal, state.params, other_state.params)


def test_labels_of_validation_clips_do_not_reach_the_weights(clips):
    plan = plan_loso(clips)
    label = clips.label.copy()
    watched = plan.clip[plan.folds[0].validation]
    label[watched] = (label[watched] + 1) % 3
    (state, rows), (other_state, other_rows) = (
        run(make_loso(dataclasses.replace(clips, label=each), plan=plan)) for each in (clips.label, label)
    )
    jax.tree.map(np.testing.assert_array_equal, state.params, other_state.params)
    assert rows[0]["validation_loss"] != other_rows[0]["validation_loss"]


# --- padding ------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["loso", "paper"])
def test_each_side_of_a_fold_counts_its_own_items_once(clips, protocol):
    plan = plan_loso(clips, protocol, num_copies=2)
    program = make_loso(clips, plan=plan, num_copies=2)
    for lane, fold in enumerate(plan.folds):
        for side in SIDES:
            member, items = getattr(fold, side), getattr(program.lane_data, side)
            items = jax.tree.map(lambda a, lane=lane: a[lane], items)
            real = np.asarray(items.real)
            counted = sorted(zip(items.clip[real].tolist(), items.copy[real].tolist(), strict=True))
            assert counted == sorted(zip(plan.clip[member].tolist(), plan.copy[member].tolist(), strict=True))


@pytest.mark.parametrize("side", ["train", "validation"])
def test_what_pads_a_fold_changes_nothing(clips, side):
    """Clip 0 as padding, instead of a clip of the same fold."""
    program = make_loso(clips)
    lane = int(np.asarray(getattr(program.lane_data, side).real).sum(1).argmin())
    items = getattr(program.lane_data, side)
    assert not items.real[lane].all()
    other = dataclasses.replace(items, clip=jnp.where(items.real, items.clip, 0))
    assert np.any(np.asarray(other.clip[lane]) != np.asarray(items.clip[lane]))
    padded = dataclasses.replace(program, lane_data=dataclasses.replace(program.lane_data, **{side: other}))
    (state, rows), (other_state, other_rows) = run(program, lane), run(padded, lane)
    for row, other_row in zip(rows, other_rows, strict=True):
        assert row == pytest.approx(other_row, rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, other_state.params)


def test_training_loss_is_the_mean_over_the_items_of_the_fold(clips):
    """At learning rate 0 and without augmentation, against the loss computed by hand."""
    program = make_loso(clips, augment=NO_AUGMENTATION)
    limits = dataclasses.replace(program.limits, learning_rate=jnp.zeros_like(program.limits.learning_rate))
    program = dataclasses.replace(program, limits=limits)
    for lane in (1, 2):  # the largest and the smallest group of test clips
        state, rows = run(program, lane, chunks=1)
        params = last(state.params)
        for side, name in (("train", "train_loss"), ("validation", "validation_loss")):
            which = side_of(program, lane, side)
            log_p = jax.nn.log_softmax(logits_of(program, params, clips, which))
            losses = -np.asarray(log_p)[np.arange(len(which)), clips.label[which]]
            weights = np.asarray(program.lane_data.class_weights[lane])[clips.label[which]]
            assert rows[0][name] == pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-4)


# --- augmentation -------------------------------------------------------------------


def test_test_clips_are_predicted_as_they_are_stored(clips):
    program = make_loso(clips)
    state, _ = run(program, chunks=1)
    probabilities = compiled_lanes.predict_lanes(
        state, jnp.array([0]), program.lane_data, program.data, settings=program.settings
    )[0]
    which = side_of(program, 0, "test")
    expected = jax.nn.softmax(logits_of(program, last(state.best_params), clips, which))
    np.testing.assert_allclose(probabilities[: len(which)], expected, atol=1e-5)


def test_validation_clips_are_evaluated_as_they_are_stored(clips):
    program = make_loso(clips)
    state, rows = run(program, chunks=1)
    which = side_of(program, 0, "validation")
    correct = logits_of(program, last(state.params), clips, which).argmax(1) == clips.label[which]
    assert rows[0]["validation_accuracy"] == pytest.approx(correct.mean())
    log_p = np.asarray(jax.nn.log_softmax(logits_of(program, last(state.params), clips, which)))
    weights = np.asarray(program.lane_data.class_weights[0])[clips.label[which]]
    loss = -(log_p[np.arange(len(which)), clips.label[which]] * weights).sum() / weights.sum()
    assert rows[0]["validation_loss"] == pytest.approx(loss, rel=1e-4)


def test_copies_are_tested_augmented_and_originals_as_stored(clips):
    plan = plan_loso(clips, "paper", num_copies=2)
    program = make_loso(clips, plan=plan, num_copies=2)
    state = start(program)
    probabilities = compiled_lanes.predict_lanes(
        state, jnp.array([0]), program.lane_data, program.data, settings=program.settings
    )[0]
    member = plan.folds[0].test
    which, copy = plan.clip[member], plan.copy[member]
    stored = jax.nn.softmax(logits_of(program, last(state.best_params), clips, which))
    differences = np.abs(np.asarray(probabilities)[: len(which)] - stored).max(1)
    assert (copy == 0).any()
    assert (copy > 0).any()
    assert differences[copy == 0].max() < 1e-5
    assert differences[copy > 0].min() > 1e-4


def frozen_losses(clips, **fields):
    """Training loss of three epochs in which no weight moves."""
    program = make_loso(clips, **fields)
    limits = dataclasses.replace(program.limits, learning_rate=jnp.zeros_like(program.limits.learning_rate))
    _, rows = run(dataclasses.replace(program, limits=limits), chunks=3)
    return [row["train_loss"] for row in rows]


def test_every_epoch_augments_anew(clips):
    losses = frozen_losses(clips)
    assert min(abs(a - b) for a, b in ((losses[0], losses[1]), (losses[1], losses[2]), (losses[0], losses[2]))) > 1e-4
    plain = frozen_losses(clips, augment=NO_AUGMENTATION)
    assert plain == pytest.approx([plain[0]] * 3, rel=1e-5), "without augmentation, all epochs are alike"


def test_copies_of_the_paper_are_the_same_in_every_epoch(clips):
    losses = frozen_losses(clips, plan=plan_loso(clips, "paper", num_copies=2), num_copies=2)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def record(monkeypatch, program, name, values):
    """`values` of the arguments of a function of the compiled loop, at each of its calls in two epochs of lane 0."""
    calls, function = [], getattr(compiled_lanes, name)

    def recording(*arguments, **options):
        jax.debug.callback(lambda *arrays: calls.append([*map(np.asarray, arrays)]), *values(*arguments))
        return function(*arguments, **options)

    monkeypatch.setattr(compiled_lanes, name, recording)
    lane = jax.tree.map(lambda a: a[0], program.lane_data)
    run_epoch = jax.jit(
        lambda state: compiled_lanes.run_epoch(
            state, lane=lane, data=program.data, limits=program.limits, settings=program.settings
        )[0]
    )
    jax.block_until_ready(run_epoch(run_epoch(last(start(program)))))
    jax.effects_barrier()
    return calls


def test_every_clip_of_every_epoch_has_an_augmentation_of_its_own(clips, monkeypatch):
    program = make_loso(clips, model=SmallNet())
    loads = record(
        monkeypatch,
        program,
        "load_batch",
        lambda data, items, keys, augmented: (items.real, jax.random.key_data(keys), augmented),
    )
    trained = [load for load in loads if load[2].any()]
    assert len(loads) > len(trained), "validation loads clips as they are stored"
    assert all((augmented == real).all() for real, _, augmented in trained)
    used = np.concatenate([keys[real] for real, keys, _ in trained])
    assert len(used) == 2 * len(side_of(program, 0, "train"))
    assert len({tuple(key) for key in used.tolist()}) == len(used)


def test_every_epoch_has_an_order_of_its_own(clips, monkeypatch):
    program = make_loso(clips)
    calls = record(monkeypatch, program, "deal_batches", lambda items, *sizes: (items.clip, items.real))
    orders = [clip[real].tolist() for clip, real in calls]
    assert len(orders) == 2
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(side_of(program, 0, "train").tolist())
    assert orders[0] != orders[1]
