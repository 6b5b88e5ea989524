"""Small trained models, for tests of prediction."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.config import Experiment
from mer_jax.data.views import input_shapes
from mer_jax.prediction.classifier import flatten_members
from mer_jax.prediction.description import ModelDescription
from mer_jax.sizes import MOTION_SIZE
from mer_jax.vision.options import VisionOptions
from tests.toy_training import NET_OF_THE_PAPER

NAMES = ("negative", "positive", "surprise")
TRAINING = {"corpus": "toy", "clips": 36, "people": 6, "fingerprint": "toy", "epochs": 3}


def describe(**fields) -> ModelDescription:
    """A description of the toy network on eight frames, or with other fields."""
    network = {
        "name": "toy", "kind": "network", "architecture": Experiment(model=NET_OF_THE_PAPER).to_dict()["model"],
        "class_names": NAMES, "view": "halves", "num_frames": 8, "vision": VisionOptions(num_frames=8),
        "provenance": "surrogate", "training": TRAINING,
    }  # fmt: skip
    return ModelDescription(**{**network, **fields})


@functools.cache
def draw_weights(network, num_frames, seed):
    """First weights of a network, drawn once: its compilation takes seconds."""
    inputs = [jnp.zeros(each.shape) for each in input_shapes(network, num_frames)]
    init = jax.jit(functools.partial(network.init, is_training=False))
    return jax.tree.map(np.asarray, init(jax.random.key(seed), *inputs))


def make_weights(network=NET_OF_THE_PAPER, num_frames=8, seed=0):
    """First weights of a network: enough to answer differently about different clips."""
    return jax.tree.map(lambda leaf: leaf, draw_weights(network, num_frames, seed))  # the caller's own dicts


def make_network_model(members=1, **fields):
    """Description and arrays of the toy network."""
    arrays = flatten_members([make_weights(seed=seed) for seed in range(members)])
    return describe(members=members, **fields), arrays


def describe_linear(**fields) -> ModelDescription:
    """A description of a linear classifier on motion features."""
    linear = {
        "kind": "linear", "architecture": {"class": "LinearFlow"}, "view": "motion", "num_frames": 8,
        "vision": VisionOptions(num_frames=8, sampling="apex", mask="none"),
    }  # fmt: skip
    return describe(**{**linear, **fields})


def make_linear_model(**fields):
    """Description and arrays of a linear classifier on motion features: one class for each channel that moves."""
    weights = np.zeros((MOTION_SIZE, MOTION_SIZE, 3, 3), np.float32)
    for channel in range(3):
        weights[:, :, channel, channel] = 0.1
    arrays = {"0/weights": weights.reshape(-1, 3), "0/bias": np.zeros(3, np.float32)}
    return describe_linear(**fields), arrays
