"""The fast convolutions against XLA's own and against NumPy in float64."""

import dataclasses
import functools
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from mer_jax.blocks import conv_pool
from mer_jax.blocks.conv_pool import IMPLEMENTATIONS, Convolution, ConvReluPool, conv_relu_pool, output_size, resolve
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.native import conv_pool as native

# (t, h, w), channels, filters, kernel, pool, stride: odd sizes, leftovers, uneven pools, several channels.
CASES = [
    ((18, 31, 40), 1, 32, (3, 3, 3), (3, 3, 3), None),
    ((9, 17, 18), 3, 7, (2, 4, 3), (4, 2, 5), None),
    ((17, 20, 20), 2, 5, (15, 3, 3), (3, 3, 3), None),
    ((18, 34, 34), 1, 17, (3, 3, 3), (4, 8, 8), None),
    ((6, 40, 40), 1, 3, (3, 3, 3), (4, 17, 17), None),  # more than 256 places in a window
    ((4, 5, 6), 1, 1, (1, 1, 1), (1, 1, 1), None),
    ((9, 19, 22), 1, 33, (3, 3, 3), (3, 3, 3), (1, 2, 2)),  # windows that overlap
    ((12, 17, 26), 6, 49, (2, 3, 2), (2, 3, 2), (3, 4, 5)),  # gaps between windows
    ((8, 15, 15), 1, 4, (3, 3, 7), (3, 2, 3), (2, 3, 1)),  # both
    ((6, 14, 15), 9, 5, (2, 3, 3), (2, 2, 3), None),  # so many channels that `fused` is the 2D convolution
    ((3, 1, 2), 1, 2, (1, 1, 1), (2, 1, 1), (1, 1, 1)),  # less than a vector in all
]
FORMS = ("native", "fused", "batched", "batched by 2")


@pytest.fixture(scope="module", autouse=True)
def _native_is_there():
    if reason := native.load():
        pytest.fail(f"the native convolution is part of the tests: {reason}")


def apply(form, x, kernel, bias, **window):
    name, _, chunk = form.partition(" by ")
    return conv_relu_pool(x, kernel, bias, implementation=name, chunk=int(chunk or 0), **window)


def make_case(size, channels, filters, kernel_size, *, levels=None, clips=3):
    keys = jax.random.split(jax.random.key(3), 3)
    x = jax.random.normal(keys[0], (clips, *size, channels))
    kernel = jax.random.normal(keys[1], (*kernel_size, channels, filters))
    if levels:  # few different values: many exact ties
        x, kernel = jnp.round(x * levels) / levels, jnp.round(kernel * levels) / levels
    return x, kernel, jax.random.normal(keys[2], (filters,))


@functools.partial(jax.jit, static_argnames=("form", "pool_size", "pool_stride"))
def differentiate(case, *, form, **window):
    def weighted(x, kernel, bias):
        y = apply(form, x, kernel, bias, **window)
        # Weights that differ from place to place, so that a gradient in the wrong place shows.
        return (y * jnp.sin(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)).sum(), y

    return jax.value_and_grad(weighted, argnums=(0, 1, 2), has_aux=True)(*case)


def value_and_gradients(form, case, **window):
    (_, y), gradients = differentiate(tuple(case), form=form, **window)
    return dict(zip(("value", "gradient of x", "gradient of kernel", "gradient of bias"), (y, *gradients), strict=True))


def assert_same(got, expected, atol):
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(got[name] / scale, value / scale, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] * (i in (1, 2, 3, 4, 5, 6, 8)), id=str(i)) for i, c in enumerate(CASES)],
)
def test_all_equal_direct_in_value_and_gradient(case):
    *sizes, pool_size, pool_stride = case
    window = {"pool_size": pool_size, "pool_stride": pool_stride}
    for levels in (None, 1):  # 1: few different values, so exact ties
        arrays = make_case(*sizes, levels=levels)
        direct = value_and_gradients("direct", arrays, **window)
        for form in FORMS if case in CASES[:1] else FORMS[:-1]:
            assert_same(value_and_gradients(form, arrays, **window), direct, 1e-5)


@pytest.mark.parametrize("form", FORMS[:-1])
def test_against_numpy(form):
    size, channels, filters, kernel_size, pool_size, _ = CASES[1]
    case = make_case(size, channels, filters, kernel_size)
    x, kernel, bias = (np.asarray(a, np.float64) for a in case)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(1, 2, 3))  # b t h w c kt kh kw
    y = np.maximum(np.einsum("bthwcijk,ijkcd->bthwd", windows, kernel) + bias, 0)
    t, h, w = output_size(size, kernel_size, pool_size)
    (pt, ph, pw), d = pool_size, kernel.shape[-1]
    y = y[:, : t * pt, : h * ph, : w * pw].reshape(-1, t, pt, h, ph, w, pw, d).max((2, 4, 6))
    np.testing.assert_allclose(apply(form, *case, pool_size=pool_size), y, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_first_of_equal_maxima_gets_the_gradient(form):
    x = jnp.ones((1, 3, 3, 3, 1))
    kernel, bias = jnp.ones((1, 1, 1, 1, 1)), jnp.zeros(1)
    gradient = jax.grad(lambda x: apply(form, x, kernel, bias).sum())(x)
    assert gradient[0, 0, 0, 0, 0] == 1
    assert gradient.sum() == 1


# Derivatives beyond the gradient: of f(x, kernel, bias), along tangents of the same shapes.
TRANSFORMS = {
    "jvp": lambda f, args, dots: jax.jvp(f, args, dots),
    "linearize": lambda f, args, dots: jax.linearize(f, *args)[1](*dots),
    "jvp of one": lambda f, args, dots: jax.jvp(lambda kernel: f(args[0], kernel, args[2]), args[1:2], dots[1:2]),
    "forward over reverse": lambda f, args, dots: jax.jvp(gradients(f), args, dots),
    "reverse over reverse": lambda f, args, dots: gradients(lambda *a: inner(gradients(f)(*a), dots))(*args),
    "reverse over forward": lambda f, args, dots: gradients(lambda *a: jax.jvp(f, a, dots)[1])(*args),
    "forward over forward": lambda f, args, dots: jax.jvp(lambda *a: jax.jvp(f, a, dots), args, dots),
    "forward over vmap": lambda f, args, dots: jax.jvp(lambda *a: over_kernels(f, *a), args, dots),
    "reverse over vmap": lambda f, args, dots: gradients(lambda *a: over_kernels(f, *a))(*args),
    "twice over vmap": lambda f, args, dots: jax.jvp(gradients(lambda *a: over_kernels(f, *a)), args, dots),
    "jacfwd of the bias": lambda f, args, dots: jax.jacfwd(lambda bias: f(*args[:2], bias))(args[2]),
    "mixed": lambda f, args, dots: jax.jvp(
        lambda x: jax.jacfwd(lambda bias: jnp.sin(f(x, args[1], bias)))(args[2]), args[:1], dots[:1]
    ),
    "checkpoint": lambda f, args, dots: gradients(jax.checkpoint(f))(*args),
}


def gradients(f):
    return jax.grad(lambda *args: (jnp.sin(f(*args)) ** 2).sum(), argnums=(0, 1, 2))


def inner(some, others):
    return sum((a * b).sum() for a, b in zip(some, others, strict=True))


def over_kernels(f, x, kernel, bias):
    return jax.vmap(f, (None, 0, None))(x, jnp.stack([kernel, -kernel, 2 * kernel]), bias)


@functools.cache
def transformed(form, transform):
    arrays = make_case((6, 7, 9), 2, 3, (2, 3, 2), clips=3)
    dots = tuple(jax.random.normal(jax.random.key(a.size), a.shape) for a in arrays)
    function = functools.partial(apply, form, pool_size=(2, 2, 3))
    return jax.jit(functools.partial(TRANSFORMS[transform], function))(arrays, dots)


# The rules are the same for all forms, which differ in the gradients that these call.
@pytest.mark.parametrize(
    ("form", "transform"),
    [
        *(("native", transform) for transform in TRANSFORMS),
        *((form, transform) for form in FORMS[1:] for transform in ("jvp", "reverse over reverse", "twice over vmap")),
    ],
)
def test_every_derivative_equals_that_of_direct(form, transform):
    got, expected = (jax.tree.leaves(transformed(name, transform)) for name in (form, "direct"))
    assert any(np.any(leaf) for leaf in expected)
    for a, b in zip(got, expected, strict=True):
        scale = np.abs(b).max() or 1  # a derivative of the bias may be 0
        np.testing.assert_allclose(a / scale, b / scale, atol=2e-5)


def test_the_gradient_of_clips_is_computed_only_where_it_is_asked_for():
    """Training needs none: its program must not hold the call."""
    case = make_case((6, 8, 8), 1, 4, (3, 3, 3))

    def text(argnums):
        loss = lambda *a: apply("native", *a).sum()  # noqa: E731
        return jax.jit(jax.grad(loss, argnums)).lower(*case).as_text()

    assert "input_gradient" not in text((1, 2))
    assert "input_gradient" in text((0, 1))


@pytest.mark.parametrize("form", FORMS[:-1])
def test_what_is_not_a_number_is_not_swallowed(form):
    x, kernel, bias = make_case((6, 8, 8), 1, 4, (3, 3, 3))
    spoilt = apply(form, x.at[1, 3, 4, 4, 0].set(jnp.nan), kernel, bias)
    assert not np.isnan(spoilt[::2]).any()
    assert np.isnan(spoilt[1]).any()


@pytest.mark.parametrize("form", FORMS[:-1])
def test_bfloat16_is_close_to_float32(form):
    size, channels, filters, kernel_size, *_ = CASES[0]
    case = make_case(size, channels, filters, kernel_size)
    single, half = (value_and_gradients(form, [a.astype(t) for a in case]) for t in (jnp.float32, jnp.bfloat16))
    for name, expected in single.items():
        assert half[name].dtype == jnp.bfloat16
        # Rounding moves some maxima to a neighbour, so single entries differ; the whole does not.
        error = jnp.linalg.norm(half[name].astype(jnp.float32) - expected) / jnp.linalg.norm(expected)
        assert error < (0.02 if name == "value" else 0.3), name


@pytest.mark.parametrize("form", ["native", "fused", pytest.param("batched", marks=pytest.mark.slow)])
def test_weights_may_have_an_axis_of_folds(form):
    x, kernel, bias = make_case((5, 6, 7), 2, 5, (2, 2, 2), clips=2)
    kernels, biases = jnp.stack([kernel, -kernel]), jnp.stack([bias, bias + 1])
    clips = jnp.stack([x, x[::-1]])

    def gradients(x, kernel, bias):
        loss = lambda *a: (apply(form, *a, pool_size=(2, 2, 2)) ** 2).sum()  # noqa: E731
        return jax.value_and_grad(loss, argnums=(0, 1, 2))(x, kernel, bias)

    together = jax.jit(jax.vmap(gradients))(clips, kernels, biases)
    shared = jax.jit(jax.vmap(gradients, in_axes=(None, 0, 0)))(x, kernels, biases)
    for fold in range(2):
        for xs, got in ((clips[fold], together), (x, shared)):
            one = gradients(xs, kernels[fold], biases[fold])
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(one), strict=True):
                np.testing.assert_allclose(a[fold], b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize("form", FORMS)
def test_leading_axes_are_free(form):
    x, kernel, bias = make_case((6, 8, 8), 1, 7, (3, 3, 3))
    batched = apply(form, x, kernel, bias)
    np.testing.assert_allclose(apply(form, x[0], kernel, bias), batched[0], rtol=1e-6)
    np.testing.assert_array_equal(apply(form, x[:, None], kernel, bias), batched[:, None])
    assert apply(form, x[:0], kernel, bias).shape == (0, *batched.shape[1:])


@pytest.mark.parametrize("form", ["native", "fused"])
def test_same_bits_every_time(form):
    case = make_case((9, 15, 17), 1, 20, (3, 3, 3), clips=30)
    first = value_and_gradients(form, case)
    for _ in range(2):
        for name, value in value_and_gradients(form, case).items():
            np.testing.assert_array_equal(value, first[name], err_msg=name)


def test_a_clip_is_pooled_alike_alone_and_among_others():
    x, kernel, bias = make_case((18, 31, 40), 1, 32, (3, 3, 3))
    together = apply("native", x, kernel, bias)
    np.testing.assert_array_equal(together[1:2], apply("native", x[1:2], kernel, bias))


@pytest.mark.parametrize("form", ["auto", *FORMS])
def test_module_equals_flax_conv(form):
    class Naive(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(5, (3, 3, 3), padding="VALID", name="conv")(x))
            return nn.max_pool(x, (2, 3, 2), strides=(2, 1, 2))

    x = jax.random.normal(jax.random.key(0), (2, 8, 10, 12, 1))
    name, _, chunk = form.partition(" by ")
    fast = ConvReluPool(Convolution(5, (3, 3, 3), (2, 3, 2), (2, 1, 2), name, int(chunk) if chunk else None))
    params = fast.init(jax.random.key(1), x)["params"]

    def loss(params, model):
        return (model.apply({"params": params}, x) ** 2).sum()

    value, gradient = jax.value_and_grad(loss)(params, fast)
    expected, naive_gradient = jax.value_and_grad(loss)({"conv": params}, Naive())
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), gradient, naive_gradient["conv"])


def test_too_few_frames_are_refused():
    with pytest.raises(ShapeError, match=r"got a clip of 4 frames of 8x9 .* at least 5 frames of 5x5"):
        output_size((4, 8, 9), (3, 3, 3), (3, 3, 3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": 0}, "got features=0, expected a whole number from 1"),
        ({"features": 2.0}, "got features=2.0, expected a whole number"),
        ({"chunk": True}, "got chunk=True, expected a whole number from 1"),
        ({"kernel_size": (3, 3)}, r"got kernel_size=\(3, 3\), expected three whole numbers from 1: frames"),
        ({"pool_size": None}, "got pool_size=None, expected three"),
        ({"pool_stride": (1, 0, 2)}, r"got pool_stride=\(1, 0, 2\), expected three"),
        ({"implementation": "natve"}, "got implementation='natve'; did you mean 'native'"),
        ({"implementation": 3}, "got implementation=3; known: 'auto'"),
    ],
)
def test_a_convolution_validates_itself(monkeypatch, fields, message):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users run without type checks
    conv = Convolution(5, (3, 3, 3), (2, 3, 2))
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(conv, **fields)


def test_a_convolution_is_a_value(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    conv = Convolution(5, [3, 3, 3], (2, 3, 2))
    assert conv == Convolution(5, (3, 3, 3), (2, 3, 2))
    assert len({conv, Convolution(5, (3, 3, 3), (2, 3, 2)), dataclasses.replace(conv, chunk=2)}) == 2
    assert conv.reference() == dataclasses.replace(conv, implementation="direct")


def test_unknown_implementation_is_refused():
    x, kernel, bias = make_case((6, 8, 8), 1, 7, (3, 3, 3))
    with pytest.raises(ConfigError, match="did you mean 'fused'"):
        conv_relu_pool(x, kernel, bias, implementation="fusd")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_device_works_on_its_own_clips():
    """Eight devices have to be asked for before JAX starts, so in a process of its own."""
    done = subprocess.run([sys.executable, "-c", ON_DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["native", "fused", "batched"]


ON_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 8)
import jax.numpy as jnp
import jaxtyping
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from mer_jax.blocks.conv_pool import conv_relu_pool
from mer_jax.system.devices import make_mesh

keys = jax.random.split(jax.random.key(0), 3)
x, kernel = jax.random.normal(keys[0], (16, 6, 8, 9, 1)), jax.random.normal(keys[1], (3, 3, 3, 1, 5))
for name in ("native", "fused", "batched"):
    def step(x, kernel):
        y = conv_relu_pool(x, kernel, jnp.ones(5), implementation=name, chunk=1)
        return (y * jnp.sin(jnp.arange(y.size)).reshape(y.shape)).sum(), y

    gradients = jax.value_and_grad(step, argnums=(0, 1), has_aux=True)
    expected = jax.jit(gradients)(x, kernel)
    for lanes in (1, 2):  # 8 devices share the clips; 4 do, beside another 4 with the same clips
        mesh = make_mesh(lanes)
        with jax.set_mesh(mesh):
            program = jax.jit(gradients, in_shardings=(NamedSharding(mesh, P("data")), NamedSharding(mesh, P())))
            compiled = program.lower(x, kernel).compile()
            got = compiled(*jax.device_put((x, kernel), compiled.input_shardings[0]))
            odd = jax.jit(gradients)(x[:3], kernel)  # cannot be divided: every device does all of it
        assert "all-gather" not in compiled.as_text(), name
        assert got[0][1].sharding.spec[0] == "data", name
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
        np.testing.assert_allclose(odd[0][1], expected[0][1][:3], rtol=1e-5)
    print(name)
"""


# --- Which one runs.


def test_a_cpu_with_a_compiler_runs_native():
    assert resolve("auto") == "native"
    assert resolve("auto", jnp.bfloat16) == "native"
    assert resolve("direct") == "direct"


def test_native_can_be_switched_off(monkeypatch, capsys):
    monkeypatch.setenv("MER_NATIVE", "0")
    assert resolve("auto") == "fused"
    assert capsys.readouterr().err == ""
    with pytest.raises(ConfigError, match="cannot be used: MER_NATIVE=0 switches it off; expected 'auto' or 'fused'"):
        resolve("native")


def test_wide_vectors_are_for_fused_alone(monkeypatch):
    wide = {"xla_cpu_prefer_vector_width": 512}
    conv = Convolution(5, (3, 3, 3), (2, 3, 2))
    names = [name for name in IMPLEMENTATIONS if name != "pallas"]  # which is refused on a CPU
    options = {name: dataclasses.replace(conv, implementation=name).compiler_options() for name in names}
    assert options == {name: wide if name == "fused" else {} for name in names}
    monkeypatch.setenv("MER_NATIVE", "0")
    assert conv.compiler_options() == wide
    assert conv.describe() == {"convolution": "fused"}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert dataclasses.replace(conv, implementation="fused").compiler_options() == {}


def test_an_accelerator_runs_batched(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert resolve("auto") == "batched"
    with pytest.raises(ConfigError, match="it is for CPUs, and this is a gpu"):
        resolve("native")


def test_double_precision_is_left_to_jax():
    assert resolve("auto", jnp.float64) == "fused"
    with pytest.raises(ConfigError, match="it computes in float32, and the clips are float64"):
        conv_pool.resolve("native", jnp.float64)
