"""Networks in their published sizes: parameter counts against those of the authors' code."""

import jax
import pytest

from mer_jax import models
from mer_jax.data.views import input_shapes
from mer_jax.errors import ConfigError


def count(model, frames=18):
    """Parameters of a network; nothing is computed."""
    variables = jax.eval_shape(
        lambda *inputs: model.init(jax.random.key(0), *inputs, is_training=False), *input_shapes(model, frames)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_htnet():
    """Layer by layer, from the sizes in the authors' code; heads of 256 // 3 = 85 features leave 255 of 256."""

    def layer(d, heads):
        inner = d // heads * heads
        return 2 * (2 * d) + 3 * d * inner + inner * d + d + d * 4 * d + 4 * d + 4 * d * d + d

    embed, places, logits = 7 * 7 * 3 * 256 + 256, 3, 2 * 1024 + 1024 * 3 + 3
    halve = sum(9 * d * 2 * d + 2 * d + 2 * (2 * d) for d in (256, 512))
    layers = sum(repeats * layer(256 * 2**level, 3 * 2**level) for level, repeats in enumerate((2, 2, 10)))
    published = models.HTNet(dim=256, heads=3, repeats=(2, 2, 10))
    assert count(published) == embed + places + layers + halve + logits == 139_582_982


@pytest.mark.parametrize("sizes", [{"patch_size": 5}, {"patch_size": 14, "repeats": (1, 1, 1)}, {"dim": 4, "heads": 8}])
def test_sizes_of_htnet_that_do_not_divide_are_refused(sizes):
    with pytest.raises(ConfigError, match=r"got patch_size=.*; expected a patch size that divides 28"):
        count(models.HTNet(**sizes))
