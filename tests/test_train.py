"""The engine, on small clips whose class is a motion that can be seen."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import train
from mer_jax.checkpoint import FoldCheckpoints
from mer_jax.clips import Clips, FlowFeatures
from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, NonFiniteLossError
from mer_jax.models import HybridAttention3DNet, OffApexNet
from mer_jax.protocols import make_plan
from mer_jax.vision.options import VisionOptions


def make_clips(num_subjects=6, per_subject=6, seed=0):
    """Class 0: a spot moves in the upper half, 1: in the lower, 2: nothing moves."""
    rng = np.random.default_rng(seed)
    n = num_subjects * per_subject
    faces = np.repeat(rng.integers(60, 120, (n, 1, 128, 128)), 6, axis=1).astype(np.int16)
    label = np.arange(n) % 3
    for i in range(n):
        for t in range(6):
            row = {0: 30, 1: 90, 2: None}[label[i]]
            if row is not None:
                faces[i, t, row : row + 16, 40 + 3 * t : 60 + 3 * t] += 60
    faces = np.clip(faces + rng.integers(-3, 4, faces.shape), 0, 255).astype(np.uint8)
    return Clips(
        upper=faces[:, :, :64, :, None],
        lower=faces[:, :, 64:, :, None],
        label=label.astype(np.int32),
        subject=tuple(f"s{i // per_subject}" for i in range(n)),
        clip_id=tuple(f"c{i:03d}" for i in range(n)),
        corpus=("toy",) * n,
        class_names=("upper", "lower", "still"),
        provenance="surrogate",
        fingerprint="toy",
        corpus_name="toy",
    )


def make_experiment(**fields):
    defaults = {"batch_size": 12, "epochs": 6, "epochs_per_chunk": 2, "min_epochs": 0, "patience": 0}
    defaults.update(num_folds=3, num_copies=1)
    model = HybridAttention3DNet(
        features=4, kernel_size=(2, 3, 3), pool_size=(2, 16, 16), path_dense=16, fusion_dense=16, dropout=0.2
    )
    defaults.update(model=model, name="toy", corpus="toy", vision=VisionOptions())
    return Experiment(**{**defaults, **fields})


@pytest.fixture(scope="module")
def clips():
    return make_clips()


def make_program(clips, protocol="subject", **fields):
    experiment = make_experiment(**fields)
    plan = make_plan(
        protocol,
        subjects=clips.subject,
        labels=clips.label,
        seed=experiment.seed,
        num_folds=experiment.num_folds,
        num_copies=experiment.num_copies,
    )
    return train.make_program(experiment, clips, plan)


def fit(program, folder, index=0, fingerprint="x", stop_after=None):
    """Fits a fold; `stop_after` chunks are all it gets before the process "dies"."""
    history, restored = [], []

    def on_saved():
        if stop_after is not None and len(history) >= stop_after:
            raise KeyboardInterrupt

    with FoldCheckpoints(folder / str(index), fingerprint) as checkpoints:
        result = train.fit_fold(
            program,
            index,
            checkpoints=checkpoints,
            on_chunk=history.append,
            on_saved=on_saved,
            on_restore=restored.append,
        )
    return result, [row for rows in history for row in rows], restored[0]


def test_learns_what_can_be_seen(clips, tmp_path):
    program = make_program(clips, epochs=30, learning_rate=3e-3)
    result, history, _ = fit(program, tmp_path)
    accuracy = (result.probabilities.argmax(1) == clips.label[program.plan.clip[result.item]]).mean()
    assert accuracy > 0.8
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)


def test_gray_is_an_option(clips, tmp_path):
    result, history, _ = fit(make_program(clips, normalization="gray", epochs=2), tmp_path)
    assert len(history) == 2
    assert np.isfinite(result.probabilities).all()


def test_two_runs_are_equal_bit_for_bit(clips, tmp_path):
    results = [fit(make_program(clips), tmp_path / name)[0] for name in "ab"]
    np.testing.assert_array_equal(results[0].probabilities, results[1].probabilities)
    other, *_ = fit(make_program(clips, seed=1), tmp_path / "c")
    assert other.probabilities.shape != results[0].probabilities.shape or np.any(
        other.probabilities != results[0].probabilities
    )


def test_interrupted_run_goes_on_bit_for_bit(clips, tmp_path):
    whole, whole_history, _ = fit(make_program(clips), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(make_program(clips), tmp_path / "cut", stop_after=1)
    resumed, history, restored = fit(make_program(clips), tmp_path / "cut")
    assert restored == 2
    assert history == whole_history[2:]
    np.testing.assert_array_equal(resumed.probabilities, whole.probabilities)
    again, history, restored = fit(make_program(clips), tmp_path / "cut")
    assert (history, restored) == ([], 6), "a finished fold is tested, not trained again"
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)


def test_chunks_do_not_change_the_result(clips, tmp_path):
    """Six epochs as 2+2+2 and as 4+2."""
    results = [fit(make_program(clips, epochs_per_chunk=n), tmp_path / str(n)) for n in (2, 4)]
    assert len(results[1][1]) == 6
    np.testing.assert_allclose(results[0][0].probabilities, results[1][0].probabilities, atol=1e-5)


def test_early_stopping_keeps_the_best_epoch(clips, tmp_path):
    program = make_program(clips, epochs=40, patience=3, learning_rate=3e-2)
    result, history, _ = fit(program, tmp_path)
    losses = [row["validation_loss"] for row in history]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert result.epochs == len(history)
    if result.stop_reason == "early stopping":
        assert result.epochs == result.best_epoch + 3
    else:
        assert result.epochs == 40
    assert result.epochs < 40, "with so high a learning rate the loss does not fall for 40 epochs"


def test_no_epoch_before_the_first_allowed_one_is_chosen(clips, tmp_path):
    result, *_ = fit(make_program(clips, epochs=20, min_epochs=7, patience=2, learning_rate=3e-2), tmp_path)
    assert result.best_epoch >= 7
    assert result.epochs in (result.best_epoch + 2, 20)


def test_prediction_uses_the_best_weights(clips, tmp_path):
    """A run that is given only the epochs up to the best one predicts the same."""
    result, *_ = fit(make_program(clips, epochs=12, patience=4, learning_rate=3e-2), tmp_path / "long")
    assert result.best_epoch < result.epochs
    limits = {"epochs": result.best_epoch, "min_epochs": result.best_epoch}
    short, *_ = fit(make_program(clips, learning_rate=3e-2, **limits), tmp_path / "short")
    np.testing.assert_allclose(result.probabilities, short.probabilities, atol=1e-4)


def test_one_compilation_serves_all_folds_and_learning_rates(clips, tmp_path):
    fit(make_program(clips, epochs=2), tmp_path, 0)
    compiled = train.train_epochs._cache_size()
    for index, learning_rate in ((1, 1e-3), (2, 1e-2)):
        fit(make_program(clips, epochs=2, learning_rate=learning_rate), tmp_path, index)
    assert train.train_epochs._cache_size() == compiled


def test_folds_in_threads_equal_folds_one_by_one(clips, tmp_path):
    program = make_program(clips, epochs=4)
    alone = [fit(program, tmp_path / "alone", index)[0].probabilities for index in (0, 1)]
    program = make_program(clips, epochs=4)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda index: fit(program, tmp_path / "together", index)[0].probabilities, (0, 1)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_padding_of_validation_changes_no_loss(clips):
    program = make_program(clips, epochs=1, batch_size=64)
    fold = program.folds[0]
    padded = jax.tree.map(lambda a: jnp.pad(a, (0, 40)), fold.validation)
    key = jax.random.key(0)
    losses = []
    for each in (fold, dataclasses.replace(fold, validation=padded)):
        state = make_state(program)
        _, history = train.train_epochs(state, program.data, each, program.limits, key, key, settings=program.settings)
        losses.append(np.asarray(history["validation_loss"]))
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_batches_of_a_short_fold_are_equally_full():
    real = jnp.arange(13) < 10  # real items first, as an epoch orders them
    items = train.Items(clip=jnp.arange(13), copy=jnp.zeros(13, int), real=real)
    batches = train.deal_batches(items, 4)
    assert sorted(batches.real.sum(1).tolist()) == [2, 2, 3, 3]
    assert sorted(batches.clip[batches.real].tolist()) == list(range(10))


def test_a_batch_of_padding_moves_no_weight(clips):
    program = make_program(clips, epochs=2)
    fold = program.folds[0]
    padding = dataclasses.replace(fold.train, real=jnp.zeros_like(fold.train.real))
    nothing = dataclasses.replace(fold, train=padding)
    state = make_state(program)
    before = jax.tree.map(np.asarray, state.params)
    key = jax.random.key(0)
    after, _ = train.train_epochs(state, program.data, nothing, program.limits, key, key, settings=program.settings)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, after.params))


def make_state(program):
    return train.start_fold(jax.random.key(1), program.data, program.limits, settings=program.settings)


def test_copies_of_the_paper_are_fixed_and_differ(clips):
    program = make_program(clips, "paper", num_copies=2)
    items = train.Items(clip=jnp.array([3, 3, 3, 4]), copy=jnp.array([0, 1, 2, 1]), real=jnp.ones(4, bool))
    key = jax.random.key(0)

    def load():
        keys = train.copy_keys(key, items)
        upper, lower = train.load_batch(program.data, items, keys, items.copy > 0, **program.settings.inputs())
        return np.concatenate([upper, lower], axis=2)

    first = load()
    np.testing.assert_array_equal(first, load())
    as_stored = train.model_inputs(program.data.pictures[3], "halves", "difference")
    np.testing.assert_allclose(first[0], np.concatenate(as_stored, axis=1), atol=1e-5)
    assert np.abs(first[1] - first[2]).max() > 0.1
    assert np.abs(first[1] - first[0]).max() > 0.1


def test_paper_protocol_trains(clips, tmp_path):
    program = make_program(clips, "paper", epochs=2)
    result, history, _ = fit(program, tmp_path)
    assert len(history) == 2
    assert len(result.item) == program.plan.folds[0].test.sum()


def test_nan_loss_is_an_error_that_says_where(clips, tmp_path):
    program = make_program(clips, learning_rate=1e-3)
    huge = dataclasses.replace(program, limits=dataclasses.replace(program.limits, learning_rate=jnp.float32(1e30)))
    name = program.plan.folds[0].name
    with pytest.raises(
        NonFiniteLossError, match=rf"fold '{name}' of protocol 'subject', epoch \d.*learning rate 1e\+30.*no checkpoint"
    ):
        fit(huge, tmp_path)


def test_test_items_decide_nothing(clips, tmp_path):
    """Other pixels and labels on the test side leave training as it is, to the last bit."""
    program = make_program(clips)
    test_clips = np.flatnonzero(program.plan.folds[0].test)
    label, faces = clips.label.copy(), clips.faces().copy()
    label[test_clips] = (label[test_clips] + 1) % 3
    faces[test_clips] = 255 - faces[test_clips]
    data = train.Data(pictures=jnp.asarray(faces), label=jnp.asarray(label))
    (one, history, _), (other, other_history, _) = (
        fit(each, tmp_path / str(i)) for i, each in enumerate((program, dataclasses.replace(program, data=data)))
    )
    assert history == other_history
    assert np.any(one.probabilities != other.probabilities), "the tested pixels are others"


def test_a_resumed_fold_does_not_compile_again(clips, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(make_program(clips), tmp_path, stop_after=1)
    compiled = train.train_epochs._cache_size()
    fit(make_program(clips), tmp_path)
    assert train.train_epochs._cache_size() == compiled


# --- models of motion features ---


def make_motion(clips):
    """The class is the sign of the flow."""
    flow = np.full((len(clips), 28, 28, 3), 128, np.uint8)
    flow[..., :2] += (clips.label[:, None, None, None] * 40).astype(np.uint8)
    flow += np.random.default_rng(0).integers(0, 8, flow.shape, dtype=np.uint8)
    names = ("label", "subject", "clip_id", "corpus", "class_names", "provenance", "fingerprint", "corpus_name")
    return FlowFeatures(flow=flow, **{name: getattr(clips, name) for name in names})


def test_a_model_of_motion_features_trains_without_augmentation(clips, tmp_path):
    program = make_program(make_motion(clips), model=OffApexNet(), epochs=20)
    assert not program.settings.online_augmentation
    result, history, _ = fit(program, tmp_path)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    true = clips.label[program.plan.clip[result.item]]
    assert (result.probabilities.argmax(1) == true).mean() > 0.8


def test_copies_of_motion_features_are_refused(clips):
    with pytest.raises(ConfigError, match="motion features are not augmented"):
        make_program(make_motion(clips), "paper", model=OffApexNet())


def test_a_model_of_the_other_kind_is_refused(clips):
    with pytest.raises(ConfigError, match="OffApexNet takes motion, the corpus holds halves"):
        make_program(clips, model=OffApexNet())
