"""Convolution by patches against XLA's own, forward, backward, in tiles and not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks import patch_conv as module
from mer_jax.blocks.patch_conv import PatchConv, patch_conv
from mer_jax.errors import ShapeError


@pytest.mark.parametrize("tile", [1, 1 << 20], ids=["tiles", "whole"])
@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "padding"),
    [
        ((5, 9, 8, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1))),
        ((2, 3, 9, 8, 3), (3, 2, 3, 4), (2, 3), ((0, 1), (2, 0))),
        ((3, 6, 7, 5, 2), (3, 1, 2, 2, 4), (1, 2, 2), ((1, 1), (0, 0), (1, 0))),
    ],
)
def test_values_and_gradients_are_those_of_xla(monkeypatch, tile, shape, kernel, strides, padding):
    monkeypatch.setattr(module, "_TILE", tile)
    x = jax.random.normal(jax.random.key(0), shape)
    filters = jax.random.normal(jax.random.key(1), kernel)
    if len(kernel) == 4 and len(shape) == 5:  # two leading axes
        assert patch_conv(x, filters, strides=strides, padding=padding).shape[:2] == shape[:2]

    def answer(implementation):
        def loss(x, filters):
            y = patch_conv(x, filters, strides=strides, padding=padding, implementation=implementation)
            return (jnp.sin(y)).sum(), y

        (_, y), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, filters)
        return y, *gradients

    for one, other in zip(answer("tiled"), answer("plain"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_tiles_that_leave_a_remainder(monkeypatch):
    monkeypatch.setattr(module, "_TILE", 3 * 16 * 9)
    x = jax.random.normal(jax.random.key(0), (7, 4, 4, 1))
    filters = jax.random.normal(jax.random.key(1), (3, 3, 1, 2))
    tiled, plain = (
        patch_conv(x, filters, strides=(1, 1), padding=((1, 1), (1, 1)), implementation=each)
        for each in ("tiled", "plain")
    )
    np.testing.assert_allclose(tiled, plain, rtol=1e-5, atol=1e-5)


def test_small_inputs_are_refused():
    with pytest.raises(ShapeError, match=r"got inputs of 2x2 .* expected at least 5x5, one filter; use larger inputs"):
        PatchConv(4, (5, 5), padding=((0, 0), (0, 0))).init(jax.random.key(0), jnp.zeros((1, 2, 2, 3)))
