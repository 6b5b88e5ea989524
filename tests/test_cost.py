"""`mer models`: what is said of a network is what it is."""

import pytest

from mer_jax import models
from mer_jax.cli import main as cli
from mer_jax.data.views import input_shapes
from mer_jax.training import cost


def test_networks_are_found_by_looking():
    assert models.find_model("hybridattention3dnet") is models.HybridAttention3DNet


@pytest.mark.parametrize("name", sorted(models.__all__))
def test_layers_add_up_to_the_network(name):
    model = getattr(models, name)()
    layers = cost.list_layers(model, 18, batch=2)
    assert sum(layer.parameters for layer in layers) == cost.count_parameters(model, 18)
    assert layers[0].path == ""
    assert layers[0].shape == (2, 3)


def test_layers_stand_in_the_order_of_their_calls():
    layers = cost.list_layers(models.HybridAttention3DNet(), 18)
    paths = [layer.path for layer in layers]
    upper = [path for path in paths if path.count("/") == 1 and path.startswith("upper")]
    assert upper == ["upper/conv", "upper/attention", "upper/dense", "upper/Dropout_0"]
    assert {layer.path: layer.shape for layer in layers}["lower/conv"] == (1, 4, 7, 15, 8)


def test_flops_are_those_of_the_layers():
    """A dense layer of [d, e] needs 2 d e; those of OFF-ApexNet are counted by hand."""
    by_hand = 2 * (28 * 28 * 25 * 6 + 14 * 14 * 150 * 16) * 2 + 2 * (1568 * 1024 + 1024 * 1024 + 1024 * 3)
    assert cost.count_flops(models.OffApexNet(), 18) == pytest.approx(by_hand, rel=0.15)


def test_memory_holds_weights_gradients_moments_and_the_batch():
    model = models.OffApexNet()
    (shape,) = input_shapes(model, 18, batch=4)
    least = 4 * cost.count_parameters(model, 18) * 4 + 4 * shape.size
    memory = cost.measure_step_memory(model, 18, batch=4)
    assert least <= memory < 3 * least


def test_command_lists_all_networks_or_the_layers_of_one(capsys):
    assert cli.main(["models", "--no-memory"]) == 0
    listed = capsys.readouterr().out
    assert [name for name in models.__all__ if name not in listed] == []
    assert "894,665" in listed
    assert cli.main(["models", "OffApexNet"]) == 0
    assert "horizontal_2" in capsys.readouterr().out


def test_command_says_which_networks_cannot_take_so_few_frames(capsys):
    assert cli.main(["models", "--no-memory", "--frames", "10"]) == 0
    assert "MicroExpSTCNN: got a clip of 10 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LinearFlow"], "LinearFlow is a baseline, which has no layers; expected a network"),
        (["HybridAtention3DNet"], "did you mean 'HybridAttention3DNet'"),
        (["--frames", "0"], "got --frames=0; expected a whole number, 1 or more"),
        (["DualPath3DNet", "--frames", "3"], "got a clip of 3 frames"),
    ],
)
def test_command_refuses_what_is_not_there(capsys, arguments, message):
    assert cli.main(["models", *arguments]) == 1
    assert message in capsys.readouterr().err
