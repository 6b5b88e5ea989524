"""What networks know of a training batch, and the terms that they add to the loss."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from datasets.load import load_corpus
from mer_jax.config import Experiment
from mer_jax.data.action_units import ACTION_UNITS, columns_of, encode_action_units
from mer_jax.data.clips import Clips
from mer_jax.data.targets import make_targets, sum_terms
from mer_jax.data.views import check_motion
from mer_jax.errors import ConfigError
from mer_jax.training.losses import cross_entropy
from mer_jax.training.steps import train_step
from mer_jax.training.train import train
from mer_jax.vision.options import VisionOptions


class WithTerms(nn.Module):
    """A linear network with a term a clip, a scalar, and running class means."""

    view: ClassVar[str] = "motion"
    num_classes: int = 3
    dtype: object = None
    weight: float = 1.0

    @nn.compact
    def __call__(self, motion, *, is_training, targets=None):
        check_motion(motion)
        flat = motion.reshape(*motion.shape[:-3], -1)
        logits = nn.Dense(self.num_classes, name="logits")(flat)
        count = self.variable("class_stats", "count", jnp.zeros, self.num_classes)
        units = self.variable("class_stats", "units", jnp.zeros, len(ACTION_UNITS))
        last = self.variable("class_stats", "progress", jnp.zeros, ())
        if targets is not None:
            real = targets.real[:, None]
            count.value += (jax.nn.one_hot(targets.label, self.num_classes) * real).sum(0)
            units.value += jnp.where(real & (targets.action_units == 1), 1, 0).sum(0)
            last.value = targets.progress
            self.sow("losses", "size", self.weight * (logits**2).sum(-1))
            self.sow("losses", "scalar", self.weight * (logits**2).mean())
        return logits


class WithOwnLoss(WithTerms):
    def example_loss(self, logits, labels):
        return 2 * cross_entropy(logits, labels)


def make_step(model, **options):
    motion = jnp.asarray(np.random.default_rng(0).normal(size=(4, 28, 28, 3)), jnp.float32)
    variables = dict(model.init(jax.random.key(0), motion, is_training=False))
    params = variables.pop("params")
    optimizer = optax.sgd(1.0)
    labels, weights = jnp.array([0, 1, 2, 1]), jnp.array([1.0, 2.0, 1.0, 0.0])
    new, state, *_ = train_step(
        params, variables, optimizer.init(params), (motion,), labels, weights, jax.random.key(0),
        model=model, optimizer=optimizer, **options,
    )  # fmt: skip
    gradient = jax.tree.map(lambda before, after: before - after, params, new)
    return gradient, state, (params, motion, labels, weights)


@pytest.mark.parametrize("model", [WithTerms(), WithTerms(weight=0.1), WithOwnLoss()])
def test_a_step_follows_the_loss_and_the_terms(model):
    gradient, _, (params, motion, labels, weights) = make_step(model)

    def loss(params):
        logits = motion.reshape(4, -1) @ params["logits"]["kernel"] + params["logits"]["bias"]
        factor = 2 if isinstance(model, WithOwnLoss) else 1
        classes = factor * (cross_entropy(logits, labels) * weights).sum() / 3
        return classes + model.weight * ((logits[:3] ** 2).sum(-1).mean() + (logits**2).mean())

    expected = jax.grad(loss)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient, expected)


def test_statistics_are_of_the_real_clips():
    units = jnp.asarray(encode_action_units(["4+L10", "4", "", "12"]))
    _, state, _ = make_step(WithTerms(), action_units=units, progress=jnp.asarray(0.25))
    assert state["class_stats"]["count"].tolist() == [1, 1, 1]
    assert state["class_stats"]["units"][np.array(columns_of((4, 10, 12)))].tolist() == [2, 1, 0]
    assert float(state["class_stats"]["progress"]) == 0.25


def test_terms_of_padding_do_not_count():
    sown = {"a": (jnp.array([1.0, 3.0, jnp.nan]),), "b": {"c": (jnp.asarray(5.0), jnp.asarray(1.0))}}
    assert float(sum_terms(sown, jnp.array([True, True, False]))) == 8
    assert float(sum_terms({}, jnp.ones(2, bool))) == 0


def test_targets_without_action_units_are_not_coded():
    targets = make_targets(jnp.array([0, 1]), jnp.array([1.0, 0.0]))
    assert (targets.action_units == -1).all()
    assert targets.real.tolist() == [True, False]


def motion_clips(action_units=()):
    flow = np.random.default_rng(0).integers(0, 255, (12, 28, 28, 3), np.uint8)
    return Clips.from_arrays(
        flow, labels=[0, 1, 2] * 4, subjects=list("aaabbbcccddd"), action_units=action_units, clip_ids=range(12)
    )


def run(model, clips, checkpoints=None, epochs=2):
    experiment = Experiment(
        model=model, protocols=("loso",), epochs=epochs, min_epochs=1, epochs_per_chunk=1, selection="last"
    )
    return train(experiment, clips, checkpoints=checkpoints)


def test_a_network_with_terms_and_statistics_trains_and_resumes(tmp_path):
    clips = motion_clips(["1+2", "4"] * 6)
    whole = run(WithTerms(), clips)["loso"].probabilities
    np.testing.assert_array_equal(whole, run(WithTerms(), clips, tmp_path)["loso"].probabilities)
    np.testing.assert_array_equal(whole, run(WithTerms(), clips, tmp_path)["loso"].probabilities)
    assert np.abs(whole - run(WithTerms(weight=0.0), clips)["loso"].probabilities).max() > 1e-4


def test_action_units_are_part_of_the_fingerprint_and_follow_a_selection():
    plain, coded = motion_clips(), motion_clips(["1"] * 11 + ["2"])
    assert (plain.has_action_units, coded.has_action_units) == (False, True)
    assert plain.fingerprint != coded.fingerprint
    assert coded.select([11]).action_units[0, :2].tolist() == [0, 1]


def test_a_network_that_needs_action_units_is_refused_where_none_were_coded():
    class Needy(WithTerms):
        needs_action_units: ClassVar[bool] = True

    with pytest.raises(ConfigError, match=r"Needy is trained with action units, and no clip of arrays has any; use a"):
        run(Needy(), motion_clips())
    assert len(run(Needy(), motion_clips(["1"] * 12))["loso"].probabilities) == 12


def test_unknown_collections_are_refused():
    class Odd(WithTerms):
        @nn.compact
        def __call__(self, motion, *, is_training):
            self.variable("cache", "x", jnp.zeros, 1)
            return nn.Dense(3)(motion.reshape(*motion.shape[:-3], -1))

    with pytest.raises(ConfigError, match="Odd keeps the collections cache; expected params, batch_stats, class_stats"):
        run(Odd(), motion_clips())


def test_a_corpus_that_cannot_serve_a_network_is_refused_before_it_is_built(tmp_path):
    class Needy(WithTerms):
        needs_action_units: ClassVar[bool] = True

    def load(model, **vision):
        experiment = Experiment(corpus="smic", model=model, vision=VisionOptions(**vision))
        load_corpus(experiment, data_dir=tmp_path, say=lambda line: None)

    with pytest.raises(ConfigError, match=r"Needy is trained with action units, and the owners of SMIC .*coded none"):
        load(Needy(), sampling="apex")
    with pytest.raises(ConfigError, match=r"the view motion is of onset and apex, got vision.sampling='uniform'"):
        load(WithTerms())
    assert list(tmp_path.iterdir()) == []
