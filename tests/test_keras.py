"""Convolution, pool and dense layer against those of Keras, with copied weights.

Keras is an optional dependency: `make test-extras` runs these tests with it, on its JAX backend.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks.conv_pool import conv_relu_pool
from mer_jax.models import MicroExpSTCNN

os.environ["KERAS_BACKEND"] = "jax"  # Keras reads it once, when it is imported
keras = pytest.importorskip("keras", reason="needs Keras: make test-extras")


@pytest.mark.parametrize("implementation", ["fused", "direct"])
@pytest.mark.parametrize(("kernel_size", "pool_size"), [((3, 3, 3), (3, 3, 3)), ((5, 3, 3), (2, 4, 8))])
def test_convolution_and_pool(kernel_size, pool_size, implementation):
    layers = keras.Sequential(
        [
            keras.layers.Input((9, 20, 30, 2)),
            keras.layers.Conv3D(4, kernel_size, activation="relu"),
            keras.layers.MaxPooling3D(pool_size),
        ]
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 20, 30, 2)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, 2, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    layers.layers[0].set_weights([kernel, bias])

    def mine(x, kernel, bias):
        return conv_relu_pool(x, kernel, bias, pool_size=pool_size, implementation=implementation)

    np.testing.assert_allclose(jax.jit(mine)(x, kernel, bias), layers(x), atol=1e-4)

    def theirs(x, kernel, bias):
        y = keras.ops.relu(keras.ops.conv(x, kernel) + bias)
        return keras.ops.max_pool(y, pool_size, strides=pool_size)

    weight = jnp.asarray(rng.normal(size=layers(x).shape), jnp.float32)
    for position in range(3):  # input, kernel, bias
        one, other = (
            jax.jit(jax.grad(lambda *a, f=function: (f(*a) * weight).sum(), argnums=position))(x, kernel, bias)
            for function in (mine, theirs)
        )
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-4)


def test_a_whole_published_network():
    """MicroExpSTCNN as its authors write it in Keras, on the face that ours makes of two halves."""
    frames = 17
    published = keras.Sequential(
        [
            keras.layers.Input((frames, 64, 64, 1)),
            keras.layers.Conv3D(32, (15, 3, 3), activation="relu"),
            keras.layers.MaxPooling3D((3, 3, 3)),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(128, kernel_initializer="normal", activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, kernel_initializer="normal"),
        ]
    )
    upper, lower = jax.random.normal(jax.random.key(0), (2, 2, frames, 64, 128, 1))
    model = MicroExpSTCNN()
    variables = jax.jit(lambda key: model.init(key, upper, lower, is_training=False))(jax.random.key(1))
    variables = jax.tree.map(lambda a: a + 0.01 * jax.random.normal(jax.random.key(a.size), a.shape), variables)
    for layer, name in ((0, "conv"), (4, "dense"), (6, "logits")):
        published.layers[layer].set_weights([variables["params"][name][kind] for kind in ("kernel", "bias")])
    face = jnp.concatenate([upper, lower], axis=2).reshape(2, frames, 64, 2, 64, 2, 1).mean((3, 5))
    got = jax.jit(lambda variables: model.apply(variables, upper, lower, is_training=False))(variables)
    np.testing.assert_allclose(got, published(face, training=False), atol=1e-3, rtol=1e-3)
    assert published.count_params() == sum(leaf.size for leaf in jax.tree.leaves(variables))
