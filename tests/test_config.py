import dataclasses
from typing import Any

import flax.linen as nn
import jaxtyping
import pytest

from mer_jax.config import Augmentation, Experiment, Optimization
from mer_jax.errors import ConfigError
from mer_jax.models import CapsuleNet, DualPath3DNet, IntermediateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


@pytest.fixture(autouse=True)
def _without_type_checks(monkeypatch):
    """Users run without them; what they read instead is tested here."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class Deep(nn.Module):
    """A network with fields that default to what other fields may not be."""

    num_classes: int = 3
    num_extra_layers: int = 0
    axis: int = -2
    limit: int | None = None
    dropout: float | None = None
    wide: bool = False
    dtype: Any = None


def make_experiment(**fields):
    defaults = {"name": "x", "corpus": "smic", "model": DualPath3DNet(), "vision": VisionOptions()}
    return Experiment(**{**defaults, **fields})


def test_defaults_are_the_papers_where_it_gives_them():
    experiment = make_experiment()
    experiment.validate()
    assert (experiment.batch_size, experiment.epochs, experiment.learning_rate) == (80, 200, 0.001)
    assert experiment.class_weights == "raw"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, "got batch_size=0, expected a whole number from 1"),
        ({"epochs": True}, "got epochs=True"),
        ({"learning_rate": float("nan")}, "got learning_rate=nan"),
        ({"num_folds": 1}, "got num_folds=1, expected a whole number from 2"),
        ({"min_epochs": -1}, "got min_epochs=-1, expected a whole number from 0"),
        ({"seed": 0.5}, "got seed=0.5, expected a whole number"),
        ({"epochs": 20}, "got epochs=20 and min_epochs=40, expected min_epochs of at most epochs"),
        ({"name": "../x"}, r"got name='../x', expected letters, digits"),
        ({"protocols": "paper"}, r"got protocols='paper', expected a tuple such as"),
        ({"model": DualPath3DNet(path_dense=0)}, "got model.path_dense=0, expected a whole number from 1"),
        ({"model": Deep(num_classes=None)}, "got model.num_classes=None, expected a whole number from 1"),
        ({"model": IntermediateMicroExpFuseNet(dense=(4, 0))}, "got model.dense=0, expected a whole number from 1"),
        ({"model": DualPath3DNet(dropout=5.0)}, "got model.dropout=5.0, expected a share"),
        ({"model": DualPath3DNet(dropout=1.0)}, "got model.dropout=1.0, expected a share"),
        ({"model": Deep(dropout="a")}, "got model.dropout='a', expected a share"),
        ({"model": Deep(num_extra_layers=-1)}, "got model.num_extra_layers=-1, expected a whole number from 0"),
        ({"model": nn.Dense(3)}, "got the model Dense, expected one with a field num_classes; add it"),
        ({"class_weights": "raww"}, "did you mean 'raw'"),
        ({"normalization": "grey"}, "did you mean 'gray'"),
        ({"protocols": ()}, r"got protocols=\(\), expected at least one"),
        ({"protocols": ("paper", "paper")}, "expected each protocol once"),
        ({"augment": Augmentation(mirror=2.0)}, r"got augment.mirror=2.0, expected a number from 0 to 1"),
        ({"augment": Augmentation(speed=1.0)}, r"got augment.speed=1.0, expected a number from 0 to 0.9"),
        ({"num_seeds": 0}, "got num_seeds=0, expected a whole number from 1"),
        ({"selection": "test"}, "got selection='test'; known: 'last', 'validation'"),
        ({"diagnostic": "test-best"}, "did you mean 'test_best'"),
        ({"precision": "bf16"}, "got precision='bf16'"),
        ({"optimization": Optimization(optimizer="adm")}, "got optimization.optimizer='adm'; did you mean 'adam'"),
        ({"optimization": Optimization(weight_decay=0.1)}, "with optimizer 'adam', which has none; set"),
        ({"optimization": Optimization(warmup_epochs=201)}, "got optimization.warmup_epochs=201 of epochs=200"),
        ({"optimization": Optimization(label_smoothing=1.0)}, "got optimization.label_smoothing=1.0"),
        (
            {"model": CapsuleNet(), "optimization": Optimization(loss="focal")},
            "got optimization.loss='focal' and label_smoothing=0.0 with CapsuleNet, which has a loss of its own",
        ),
        (
            {"model": CapsuleNet(), "optimization": Optimization(label_smoothing=0.1)},
            "label_smoothing=0.1 with CapsuleNet, which has a loss of its own; expected 'cross_entropy' and 0",
        ),
    ],
)
def test_impossible_values_are_refused(fields, message):
    experiment = make_experiment(**fields)
    with pytest.raises(ConfigError, match=message):
        experiment.validate()


def test_defaults_of_a_model_are_valid():
    """No value of a field is refused by its name alone."""
    make_experiment(model=Deep()).validate()
    make_experiment(model=Deep(num_extra_layers=3, axis=-1, dropout=0.0, wide=False)).validate()


def test_unknown_fields_do_not_exist():
    with pytest.raises(TypeError):
        make_experiment(learnig_rate=1.0)


def test_to_dict_tells_everything():
    told = make_experiment().to_dict()
    assert set(told) == {field.name for field in dataclasses.fields(Experiment)}
    assert told["model"]["class"] == "DualPath3DNet"
    assert told["model"]["conv"]["pool_size"] == [4, 8, 8]
    assert told["vision"]["mask"] == "keep"
