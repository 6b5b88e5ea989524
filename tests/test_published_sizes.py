"""Networks in their published sizes: parameter counts against those of the authors' code."""

import pytest

from mer_jax import models
from mer_jax.errors import ConfigError
from mer_jax.training.cost import count_parameters


def test_htnet():
    """Layer by layer, from the sizes in the authors' code; heads of 256 // 3 = 85 features leave 255 of 256."""

    def layer(d, heads):
        inner = d // heads * heads
        return 2 * (2 * d) + 3 * d * inner + inner * d + d + d * 4 * d + 4 * d + 4 * d * d + d

    embed, places, logits = 7 * 7 * 3 * 256 + 256, 3, 2 * 1024 + 1024 * 3 + 3
    halve = sum(9 * d * 2 * d + 2 * d + 2 * (2 * d) for d in (256, 512))
    layers = sum(repeats * layer(256 * 2**level, 3 * 2**level) for level, repeats in enumerate((2, 2, 10)))
    published = models.HTNet(dim=256, heads=3, repeats=(2, 2, 10))
    assert count_parameters(published, 18) == embed + places + layers + halve + logits == 139_582_982


@pytest.mark.parametrize("sizes", [{"patch_size": 5}, {"patch_size": 14, "repeats": (1, 1, 1)}, {"dim": 4, "heads": 8}])
def test_sizes_of_htnet_that_do_not_divide_are_refused(sizes):
    with pytest.raises(ConfigError, match=r"got patch_size=.*; expected a patch size that divides 28"):
        count_parameters(models.HTNet(**sizes), 18)


def test_network_that_augcn_descends_from():
    """As counted in a re-implementation of Lei et al. 2021."""
    assert count_parameters(models.AUGCN(patch_frames=1, joined=False), 18) == 1_047_176


def test_capsulenet():
    """As counted in the authors' code, less two of the three colours of its first filters."""
    published = models.CapsuleNet(width=64, kernel_size=9, resize_to=224)
    assert count_parameters(published, 18) == 13_842_496 - 2 * 7 * 7 * 64
