"""Small 2D blocks: equal to the layers of Flax in value and gradient, and networks of them to networks of those."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from benchmarks.small_net import PAIRS
from mer_jax.blocks import small_conv
from mer_jax.blocks.small_conv import conv_relu, conv_relu_norm_pool, conv_relu_pool
from mer_jax.blocks.small_layers import BatchNorm2D, ConvRelu2D, ConvReluPool2D
from mer_jax.blocks.small_pool import avg_pool, max_pool
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.system.devices import make_mesh

NONE, ONE, TWO = ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (2, 2))
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# pictures [b h w c], filters [kh kw d], padding, pool, pool padding
SIZES = {
    "STSTNet": ((5, 28, 28, 3), (3, 3, 16), TWO, (3, 3), ONE),
    "OFF-ApexNet": ((3, 14, 14, 6), (5, 5, 16), TWO, (2, 2), NONE),
    "one clip": ((1, 9, 7, 2), (3, 3, 4), ONE, (2, 3), NONE),
    "uneven": ((3, 11, 8, 1), (2, 4, 3), ((0, 1), (2, 0)), (4, 2), ((3, 0), (0, 1))),
    "no pool": ((2, 5, 6, 2), (1, 1, 3), NONE, (1, 1), NONE),
}
# More than one vector of filters and of channels, and of filters more than two on every instruction set.
MANY = {"many": ((2, 7, 6, 19), (3, 2, 37), ONE, (2, 3), NONE)}


@pytest.fixture(params=["plain", "tiled", "in tiles", "native"])
def implementation(request, monkeypatch):
    """What computes; in the third case so few clips are a tile that there are several."""
    if request.param == "in tiles":
        monkeypatch.setattr(small_conv, "_TILE", 2 * 900 * 43)  # two clips in STSTNet, or more of a smaller size
    return request.param.replace("in tiles", "tiled")


def draw(shape, key=0):
    return jax.random.normal(jax.random.key(key), shape)


def draw_arguments(size, filters):
    *taps, d = filters
    kernel = draw((*taps, size[-1], d), 1) / np.sqrt(np.prod(taps) * size[-1])
    scale = draw((d,), 3).at[0].set(-1.5).at[1].set(0.0)
    return draw(size), kernel, 0.3 * draw((d,), 2), scale, draw((d,), 4)


def flax_conv_relu(x, kernel, bias, *, padding):
    conv = nn.Conv(kernel.shape[-1], kernel.shape[:2], padding=padding)
    return nn.relu(conv.apply({"params": {"kernel": kernel, "bias": bias}}, x))


def flax_norm(x, scale, offset, statistics):
    variables = {"params": {"scale": scale, "bias": offset}}
    mean, variance = statistics or (jnp.zeros_like(scale), jnp.ones_like(scale))
    variables["batch_stats"] = {"mean": mean, "var": variance}
    norm = nn.BatchNorm(use_running_average=statistics is not None, momentum=0.0)
    y, new = norm.apply(variables, x, mutable=["batch_stats"])
    return y, (new["batch_stats"]["mean"], new["batch_stats"]["var"])


def evaluate(function, arguments):
    """Results of a function and, from random cotangents, the gradients of all arguments."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(function, *arguments))
    # Drawn outside of the program, which might round them differently from another one.
    cotangents = [draw(leaf.shape, 10 + number).astype(leaf.dtype) for number, leaf in enumerate(leaves)]

    @jax.jit
    def run(arguments, cotangents):
        results, transpose = jax.vjp(function, *arguments)
        return results, transpose(jax.tree.unflatten(tree, cotangents))

    return jax.tree.leaves(run(arguments, cotangents))


def check_equal(ours, reference, arguments, **close):
    """Compares all results and gradients with those of a reference: a function, or what `evaluate` gave for it."""
    close = close or CLOSE
    expected = evaluate(reference, arguments) if callable(reference) else reference
    for one, other in zip(evaluate(ours, arguments), expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        # Gradients of filters are sums over thousands of pixels: relative to the largest of them.
        np.testing.assert_allclose(one, other, rtol=close["rtol"], atol=close["atol"] * max(1, np.abs(other).max()))


# --- pool -----------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["random", "ties"])
@pytest.mark.parametrize(("size", "padding"), [((2, 2), NONE), ((3, 3), ONE), ((4, 2), ((3, 0), (0, 1)))])
def test_pool_is_that_of_flax(size, padding, values):
    x = draw((2, 11, 8, 3))
    if values == "ties":  # whole numbers from -1 to 1, so most windows have several maxima
        x = jnp.round(x).clip(-1, 1)
    ours = functools.partial(max_pool, size=size, padding=padding)
    check_equal(ours, lambda x: nn.max_pool(x, size, size, padding), (x,), rtol=0, atol=0)


def test_pool_by_sign_is_that_of_multiplied_channels():
    x, sign = jnp.round(draw((2, 6, 6, 3))), jnp.array([1.0, -1.0, 0.0])

    def reference(x):
        pooled = nn.max_pool(x * sign, (2, 2), (2, 2))
        return jnp.where(sign == 0, x[:, ::2, ::2], pooled * sign)

    check_equal(lambda x: max_pool(x, (2, 2), sign=sign), reference, (x,), rtol=0, atol=0)


def test_padding_never_wins_the_pool():
    x = jnp.full((1, 2, 2, 3), -7.0)
    sign = jnp.array([1.0, -1.0, 0.0])
    np.testing.assert_array_equal(max_pool(x, (3, 3), ONE, sign=sign), jnp.full((1, 1, 1, 3), -7.0))


@pytest.mark.parametrize("place", range(4))
def test_not_a_number_is_the_maximum_of_its_window(place):
    x = jnp.arange(4.0).at[place].set(jnp.nan).reshape(1, 2, 2, 1)
    assert np.isnan(max_pool(x, (2, 2))).all()
    assert np.isnan(max_pool(x, (2, 2), sign=-jnp.ones(1))).all()


def test_large_windows_count_further_than_a_byte():
    x = jnp.arange(260.0).reshape(1, 1, 260, 1)
    check_equal(lambda x: max_pool(x, (1, 260)), lambda x: nn.max_pool(x, (1, 260), (1, 260)), (x,), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(2, 2), (4, 3)])
def test_average_pool_is_that_of_flax(size):
    x = draw((2, 11, 8, 3))
    check_equal(functools.partial(avg_pool, size=size), lambda x: nn.avg_pool(x, size, size), (x,))


# --- convolution ----------------------------------------------------------------------


# What Flax answers is computed once for all implementations: half of the time of these tests is its compilation.


@functools.cache
def evaluate_flax_conv(name):
    size, filters, padding, _, _ = SIZES[name]
    return evaluate(functools.partial(flax_conv_relu, padding=padding), draw_arguments(size, filters)[:3])


@functools.cache
def evaluate_flax_conv_pool(name):
    size, filters, padding, pool, pool_padding = SIZES[name]

    def reference(*arguments):
        return nn.max_pool(flax_conv_relu(*arguments, padding=padding), pool, pool, pool_padding)

    return evaluate(reference, draw_arguments(size, filters)[:3])


def draw_statistics(name):
    d = SIZES[name][1][-1]
    return 0.5 * draw((d,), 5), 0.5 + draw((d,), 6) ** 2


@functools.cache
def evaluate_flax_conv_norm_pool(name, running):
    size, filters, padding, pool, pool_padding = (SIZES | MANY)[name]
    statistics = draw_statistics(name) if running else None

    def reference(x, kernel, bias, scale, offset):
        y, new = flax_norm(flax_conv_relu(x, kernel, bias, padding=padding), scale, offset, statistics)
        return nn.max_pool(y, pool, pool, pool_padding), statistics or new

    return evaluate(reference, draw_arguments(size, filters))


@pytest.mark.parametrize("name", SIZES)
def test_convolution_is_that_of_flax(name, implementation):
    size, filters, padding, _, _ = SIZES[name]
    ours = functools.partial(conv_relu, padding=padding, implementation=implementation)
    check_equal(ours, evaluate_flax_conv(name), draw_arguments(size, filters)[:3])


@pytest.mark.parametrize("name", SIZES)
def test_convolution_and_pool_are_those_of_flax(name, implementation):
    size, filters, padding, pool, pool_padding = SIZES[name]
    ours = functools.partial(
        conv_relu_pool, padding=padding, pool_size=pool, pool_padding=pool_padding, implementation=implementation
    )
    check_equal(ours, evaluate_flax_conv_pool(name), draw_arguments(size, filters)[:3])


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("name", SIZES)
def test_convolution_normalisation_and_pool_are_those_of_flax(name, implementation, running):
    """Scales are positive, negative and zero; statistics are those of the batch or given."""
    size, filters, padding, pool, pool_padding = SIZES[name]
    ours = functools.partial(
        conv_relu_norm_pool,
        statistics=draw_statistics(name) if running else None,
        padding=padding,
        pool_size=pool,
        pool_padding=pool_padding,
        implementation=implementation,
    )
    check_equal(ours, evaluate_flax_conv_norm_pool(name, running), draw_arguments(size, filters))


def test_bfloat16_has_statistics_in_float32(implementation):
    size, filters, padding, pool, pool_padding = SIZES["STSTNet"]
    x, kernel, bias, scale, offset = draw_arguments(size, filters)
    ours = functools.partial(
        conv_relu_norm_pool, padding=padding, pool_size=pool, pool_padding=pool_padding, implementation=implementation
    )
    half = (each.astype(jnp.bfloat16) for each in (x, kernel, bias))
    pooled, statistics = jax.jit(ours)(*half, scale, offset)
    exact, exact_statistics = jax.jit(ours)(x, kernel, bias, scale, offset)
    assert pooled.dtype == jnp.bfloat16
    assert [each.dtype for each in statistics] == [jnp.float32] * 2
    np.testing.assert_allclose(pooled.astype(jnp.float32), exact, rtol=0.02, atol=0.05)
    # Sums in bfloat16 would be wrong by a factor: 4,500 numbers, of which 256 ones can be counted.
    for one, other in zip(statistics, exact_statistics, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=1e-3)


def test_leading_axes_jit_and_vmap_are_free(implementation):
    """Also of filters: the engine maps a whole training step over folds."""
    x, kernel, bias, scale, offset = draw_arguments((6, 28, 28, 3), (3, 3, 16))
    norm_pool = functools.partial(
        conv_relu_norm_pool, padding=TWO, pool_size=(3, 3), pool_padding=ONE, implementation=implementation
    )
    pooled, _ = norm_pool(x, kernel, bias, scale, offset)
    two_axes, _ = jax.jit(norm_pool)(x.reshape(2, 3, 28, 28, 3), kernel, bias, scale, offset)
    np.testing.assert_allclose(two_axes.reshape(pooled.shape), pooled, **CLOSE)
    pool = functools.partial(conv_relu_pool, padding=TWO, implementation=implementation)
    np.testing.assert_allclose(pool(x[0], kernel, bias), pool(x, kernel, bias)[0], **CLOSE)

    def loss(*arguments):
        return (norm_pool(*arguments)[0] ** 2 * draw(pooled.shape, 7)).sum()

    gradient = jax.grad(loss, argnums=(0, 1, 2, 3, 4))
    folds = [jnp.stack([each, each[..., ::-1]]) for each in (x, kernel, bias, scale, offset)]
    together = jax.jit(jax.vmap(gradient))(*folds)
    for fold in range(2):
        alone = jax.jit(gradient)(*(each[fold] for each in folds))
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[fold], other, rtol=1e-4, atol=1e-5 * float(np.abs(other).max()))


def test_forward_mode_and_second_derivatives(implementation):
    x, kernel, bias, scale, offset = draw_arguments((5, 28, 28, 3), (3, 3, 16))
    scale = jnp.where(scale == 0, 1.0, scale)

    def ours(x, kernel):
        pooled, _ = conv_relu_norm_pool(
            x, kernel, bias, scale, offset, padding=TWO, pool_size=(3, 3), pool_padding=ONE,
            implementation=implementation,
        )  # fmt: skip
        return (pooled**2).mean()

    def reference(x, kernel):
        y, _ = flax_norm(flax_conv_relu(x, kernel, bias, padding=TWO), scale, offset, None)
        # Flax has no derivative of its pool in forward mode: the maximum of each window by its place.
        padded = jnp.pad(y, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=-1e9)[:, :30, :30]
        windows = padded.reshape(5, 10, 3, 10, 3, 16).transpose(0, 1, 3, 5, 2, 4).reshape(5, 10, 10, 16, 9)
        place = lax.stop_gradient(windows).argmax(-1)[..., None]
        return (jnp.take_along_axis(windows, place, -1) ** 2).mean()

    along = draw(x.shape, 8), draw(kernel.shape, 9)

    def derivatives(function):
        gradient = jax.grad(function, argnums=(0, 1))
        first = jax.jit(lambda: jax.jvp(function, (x, kernel), along))()
        return first, jax.jit(lambda: jax.jvp(gradient, (x, kernel), along))()

    for one, other in zip(*(jax.tree.leaves(derivatives(each)) for each in (ours, reference)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5 * max(1e-3, float(np.abs(other).max())))


def test_backward_pass_keeps_no_patches():
    """Residuals are the convolution and one byte for each maximum; patches would be 27 / 16 as much again."""
    x, kernel, bias, scale, offset = draw_arguments((40, 28, 28, 3), (3, 3, 16))

    def loss(kernel):
        out, _ = conv_relu_norm_pool(x, kernel, bias, scale, offset, padding=TWO, implementation="tiled")
        return (out**2).sum()

    _, transpose = jax.vjp(jax.jit(loss), kernel)
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(transpose))
    convolved = 4 * 40 * 900 * 16
    assert convolved < kept < 2 * convolved  # pooled features too


def test_what_runs_where(monkeypatch):
    assert [small_conv.resolve(name) for name in ("plain", "tiled", "native")] == ["plain", "tiled", "native"]
    assert small_conv.resolve() == "native"
    with jax.set_mesh(make_mesh(1)):
        assert small_conv.resolve() == ("native" if len(jax.devices()) == 1 else "plain")
    assert small_conv.resolve("auto", jnp.bfloat16) == "native"
    assert small_conv.resolve("auto", jnp.float64) == "tiled"
    assert small_conv.resolve("auto", pool_size=(17, 16)) == "tiled"
    for change, reason in (
        ({"dtype": jnp.float64}, "it computes in float32, and the pictures are float64"),
        ({"pool_size": (17, 16)}, "it has windows of at most 256 pixels, and these are 17x16"),
    ):
        with pytest.raises(ConfigError, match=rf"got implementation='native', .*: {reason}; expected 'auto' or 'ti"):
            small_conv.resolve("native", **change)
    monkeypatch.setenv("MER_NATIVE", "0")
    assert small_conv.resolve() == "tiled"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert small_conv.resolve() == "plain"


def test_not_a_number_is_seen(implementation):
    """As in XLA's own pool."""
    x = draw((2, 6, 6, 1)).at[0, 3, 3, 0].set(jnp.nan)
    pooled = conv_relu_pool(x, jnp.ones((1, 1, 1, 2)), jnp.zeros(2), implementation=implementation)
    assert np.isnan(pooled[0, 1, 1]).all()
    assert np.isfinite(np.delete(pooled.reshape(-1, 2), 4, axis=0)).all()


def test_many_filters_and_channels(implementation):
    size, filters, padding, pool, _ = MANY["many"]
    ours = functools.partial(conv_relu_norm_pool, padding=padding, pool_size=pool, implementation=implementation)
    check_equal(ours, evaluate_flax_conv_norm_pool("many", running=False), draw_arguments(size, filters))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"implementation": "tilde"}, ConfigError, r"got implementation='tilde'; did you mean 'tiled'\?"),
        ({"pool_padding": ((3, 0), (0, 0))}, ConfigError, r"got pool padding .* less than a window on each side"),
        ({"pool_size": (4, 3)}, ShapeError, r"got pictures of 3x3 .* expected at least 4x3, one pooling window; use"),
        ({"padding": NONE, "x": (1, 2, 9, 1)}, ShapeError, r"got pictures of 2x9 .* at least 3x3, one filter; use"),
    ],
)  # fmt: skip
def test_refusals(change, error, message):
    arguments = {"padding": ONE, "pool_size": (3, 3)} | change
    x = jnp.zeros(arguments.pop("x", (1, 3, 3, 1)))
    with pytest.raises(error, match=message):
        conv_relu_pool(x, jnp.zeros((3, 3, 1, 2)), jnp.zeros(2), **arguments)


# --- layers ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_layers_are_those_of_flax(dtype):
    x = draw((2, 3, 8, 8, 2))
    ours, flax = ConvRelu2D(4, (3, 5), ((1, 1), (2, 2)), dtype=dtype), nn.Conv(4, (3, 5), dtype=dtype)
    variables = ours.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, variables, flax.init(jax.random.key(1), x))
    close = {"rtol": 0.02, "atol": 0.02} if dtype else CLOSE
    expected = nn.relu(flax.apply(variables, x))
    assert ours.apply(variables, x).dtype == expected.dtype
    np.testing.assert_allclose(np.float32(ours.apply(variables, x)), np.float32(expected), **close)
    pooled = ConvReluPool2D(4, (3, 5), ((1, 1), (2, 2)), dtype=dtype).apply(variables, x)
    flat = nn.max_pool(expected.reshape(6, 8, 8, 4), (2, 2), (2, 2)).reshape(2, 3, 4, 4, 4)
    np.testing.assert_allclose(np.float32(pooled), np.float32(flat), **close)


@pytest.mark.parametrize("is_training", [False, True])
def test_batch_normalisation_is_that_of_flax(is_training):
    x = 2 + draw((4, 5, 6, 3))
    ours, flax = BatchNorm2D(), nn.BatchNorm(use_running_average=not is_training, momentum=0.9)
    variables = ours.init(jax.random.key(0), x, is_training=is_training)
    jax.tree.map(np.testing.assert_array_equal, variables, flax.init(jax.random.key(0), x))
    variables["params"] = {"scale": draw((3,), 1), "bias": draw((3,), 2)}
    result = ours.apply(variables, x, is_training=is_training, mutable=["batch_stats"])
    expected = flax.apply(variables, x, mutable=["batch_stats"])
    jax.tree.map(functools.partial(np.testing.assert_allclose, **CLOSE), result, expected)


# --- networks -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "STSTNet")) for name in PAIRS])
def test_network_is_the_one_of_flax(name):
    """The same first weights to the bit, logits, running statistics and gradients; without dropout."""
    flax, ours = (model.clone(dropout=0.0) for model in PAIRS[name])
    motion = jax.random.uniform(jax.random.key(0), (37, 28, 28, 3), minval=-1.0)
    first = [
        jax.jit(lambda key, model=model: model.init(key, motion[:1], is_training=False))(jax.random.key(1))
        for model in (flax, ours)
    ]
    jax.tree.map(np.testing.assert_array_equal, *first)
    variables = dict(first[0])
    # Scales of both signs, and statistics that are not those of the start.
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * draw(leaf.shape, 2) if leaf.ndim == 1 else leaf, variables["params"]
    )
    if name == "STSTNet":
        params["normalize_2"]["scale"] = jnp.array([1.0, -1.0, 0.5, -0.5, 2.0])
        variables["batch_stats"] = jax.tree.map(lambda leaf: leaf + 0.2, variables["batch_stats"])

    def evaluate(model):
        @jax.jit
        def run(params):
            def loss(params):
                logits, new = model.apply(
                    {**variables, "params": params},
                    motion,
                    is_training=True,
                    rngs={"dropout": jax.random.key(3)},
                    mutable=["batch_stats"],
                )
                return (logits**2).sum(), (logits, new)

            predicted = model.apply({**variables, "params": params}, motion, is_training=False)
            return predicted, jax.value_and_grad(loss, has_aux=True)(params)

        return run(params)

    for one, other in zip(*(jax.tree.leaves(evaluate(model)) for model in (ours, flax)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(other).max())))
