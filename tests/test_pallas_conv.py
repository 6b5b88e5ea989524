"""The Pallas kernels against XLA's own operations: compiled on an NVIDIA GPU, interpreted elsewhere."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.blocks import pallas_conv
from mer_jax.blocks.conv_pool import Convolution, ConvReluPool, conv_relu_pool, output_size, resolve
from mer_jax.blocks.pallas_conv import PallasConv
from mer_jax.errors import ConfigError

INTERPRET = jax.default_backend() != "gpu"
CASES = [  # (t, h, w), channels, filters, kernel, pool, stride
    ((5, 5, 9), 1, 3, (2, 2, 2), (2, 2, 3), (2, 2, 3)),
    ((4, 6, 6), 2, 2, (1, 2, 1), (2, 3, 2), (1, 2, 2)),  # overlap, and several channels
]


def make_case(size, channels, filters, kernel_size, pool, stride, *, levels=None):
    keys = jax.random.split(jax.random.key(3), 3)
    out = output_size(size, kernel_size, pool, stride)
    used = [(n - 1) * s + p + k - 1 for n, k, p, s in zip(out, kernel_size, pool, stride, strict=True)]
    x = jax.random.normal(keys[0], (2, *used, channels))
    kernel = jax.random.normal(keys[1], (*kernel_size, channels, filters))
    if levels:
        x, kernel = jnp.round(x * levels) / levels, jnp.round(kernel * levels) / levels
    return x, kernel, jax.random.normal(keys[2], (filters,))


def differentiate(function, x, kernel, bias):
    def loss(kernel, bias):
        out = function(x, kernel, bias)
        return (out * jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)).sum(), out

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(kernel, bias)


@pytest.mark.parametrize("levels", [None, 1], ids=["numbers", "ties"])
@pytest.mark.parametrize("case", CASES, ids=["several windows", "overlap"])
def test_the_kernels_equal_xlas_own_operations(case, levels):
    arrays, (pool, stride) = make_case(*case, levels=levels), case[4:]
    direct = functools.partial(conv_relu_pool, pool_size=pool, pool_stride=stride, implementation="direct")
    with jax.default_matmul_precision("highest"):
        expected = differentiate(direct, *arrays)
    got = differentiate(PallasConv(pool, stride, INTERPRET), *arrays)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), got, expected)


def test_folds_as_an_axis_equal_one_after_another():
    case = CASES[0]
    x, kernel, bias = make_case(*case)
    function = PallasConv(*case[4:], INTERPRET)
    both = jax.vmap(lambda kernel: differentiate(function, x, kernel, bias))(jnp.stack([kernel, -kernel]))
    alone = differentiate(function, x, -kernel, bias)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5, atol=1e-5), both, alone)


@pytest.mark.parametrize("case", CASES, ids=["several windows", "overlap"])
def test_the_kernels_can_be_lowered_for_a_gpu(case):
    x, kernel, bias = make_case(*case)
    gradient = jax.jit(jax.grad(lambda kernel: PallasConv(*case[4:])(x, kernel, bias).sum()))
    with contextlib.ExitStack() as stack:
        if hasattr(jax.sharding, "AbstractDevice"):  # JAX 0.11 asks for a device, and takes one that is not there
            gpu = jax.sharding.AbstractDevice(platform="gpu", device_kind="NVIDIA H200", num_cores=None)
            stack.enter_context(jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=gpu)))
        text = gradient.trace(kernel).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("gpu$xla.gpu.triton") == 2  # the maxima, and the gradient of the filters


def test_not_a_number_is_not_hidden():
    x, kernel, bias = make_case(*CASES[0])
    out = PallasConv(*CASES[0][4:], INTERPRET)(x.at[1].set(jnp.nan), kernel, bias)
    assert bool(jnp.isfinite(out[0]).all())
    assert bool(jnp.isnan(out[1]).all())


def test_large_kernels_are_left_to_another_implementation():
    assert pallas_conv.is_suitable((3, 3, 3, 1, 64))
    assert not pallas_conv.is_suitable((3, 3, 3, 8, 8))


def test_the_kernels_are_refused_where_they_cannot_run():
    if not INTERPRET:
        assert resolve("auto") == resolve("pallas") == "pallas"
        return
    with pytest.raises(ConfigError, match=r"pallas.*NVIDIA GPUs, and this is a cpu.*expected 'auto'"):
        resolve("pallas")
    block = ConvReluPool(Convolution(2, (1, 1, 1), (1, 1, 1), implementation="pallas"))
    with pytest.raises(ConfigError, match="NVIDIA GPUs"):
        jax.eval_shape(block.init, jax.random.key(0), jnp.ones((1, 2, 2, 2, 1)))
