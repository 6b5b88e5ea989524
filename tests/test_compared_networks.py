"""Networks that the paper compares itself with: their sizes as published, and what gives each its name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks import small_conv
from mer_jax.blocks.inception import neighbourhood_maximum
from mer_jax.blocks.multi_scale_conv import MultiScaleConv2D
from mer_jax.blocks.region import blank_eyes, join_areas
from mer_jax.blocks.tiles import split_tiles, stack_tiles
from mer_jax.data.targets import make_targets
from mer_jax.data.views import input_shapes
from mer_jax.errors import ShapeError
from mer_jax.models.dualatme import cosine


def make_motion(batch=3, key=0):
    return jax.random.uniform(jax.random.key(key), (batch, 28, 28, 3), minval=-1.0)


def init(model, *inputs):
    return jax.jit(lambda key: model.init(key, *inputs, is_training=False))(jax.random.key(0))


def count_parameters(model):
    variables = jax.eval_shape(
        lambda *inputs: model.init(jax.random.key(0), *inputs, is_training=False), *input_shapes(model, 18)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


# --- LEARNet ---


@pytest.mark.parametrize(("num_classes", "published"), [(3, 1_865_539), (8, 1_866_824)])
def test_learnet_has_the_published_size_but_for_two_channels_of_the_stem(num_classes, published):
    assert count_parameters(models.LEARNet(num_classes=num_classes)) == published - 2 * 3 * 3 * 16


def test_learnet_accretes_from_the_left_neighbour():
    """The second column of a pair sees the first, and no column sees another pair."""
    model = models.LEARNet(picture_size=32)
    image = jax.random.normal(jax.random.key(0), (2, 32, 32, 1))
    variables = init(model, image)

    @jax.jit
    def run(variables):
        _, seen = model.apply(variables, image, is_training=False, capture_intermediates=True)
        return seen["intermediates"]["columns"]["__call__"][0]

    def moved_columns(layer):
        changed = jax.tree.map(lambda leaf: leaf, variables)
        changed["params"]["columns"][layer]["bias"] += 1.0
        moved = jnp.abs(run(changed) - before).max((0, 1, 2)) > 1e-4
        return [bool(column.any()) for column in jnp.split(moved, 4)]

    before = run(variables)
    assert before.shape == (2, 2, 2, 256)
    assert moved_columns("plain_1_1") == [True, True, False, False]
    assert moved_columns("plain_1_3") == [True, False, False, False]
    assert moved_columns("accreted_2_1") == [False, False, False, True]


# --- BDCN and DBMNet ---


@pytest.mark.parametrize(
    ("tile_size", "features", "published"),
    [(8, 512, 8.54), (10, 512, 10.88), (20, 256, 13.27), (30, 128, 13.31), (40, 32, 6.56)],
)
def test_bdcn_has_the_published_size(tile_size, features, published):
    count = count_parameters(models.BDCN(tile_size=tile_size, features=features))
    assert round((count + 2 * 3 * 3 * 8) / 1e6, 2) == published  # with three channels instead of one


def test_tiles_are_stacked_place_by_place():
    x = jnp.arange(2 * 6 * 9 * 2.0).reshape(2, 6, 9, 2)
    tiles = split_tiles(x, 3)
    assert tiles.shape == (2, 2, 3, 3, 3, 2)
    np.testing.assert_array_equal(tiles[1, 1, 2], x[1, 3:, 6:])
    stacked = stack_tiles(tiles)
    assert stacked.shape == (2, 3, 3, 12)
    np.testing.assert_array_equal(stacked[0, 1, 2, 8:10], x[0, 4, 5])  # row 1, column 1: tile 4
    with pytest.raises(ShapeError, match=r"got pictures of 6x9 .* tiles of 4x4, expected tiles that fill"):
        split_tiles(x, 4)


def test_all_tiles_of_all_maps_share_one_convolution():
    model = models.BDCN(picture_size=20, features=8, dense=(8, 8))
    maps = jax.random.normal(jax.random.key(0), (2, 20, 20, 4))
    variables = init(model, maps)
    _, seen = jax.jit(lambda variables: model.apply(variables, maps, is_training=False, capture_intermediates=True))(
        variables
    )
    got = seen["intermediates"]["tile"]["__call__"][0]
    assert got.shape == (2, 4, 2, 2, 4, 4, 8)
    tile = maps[:, 10:, :10, 2:3]
    y = nn.relu(nn.Conv(8, (3, 3)).apply({"params": variables["params"]["tile"]}, tile))
    expected = nn.max_pool(y, (3, 3), strides=(3, 3), padding=((1, 1), (1, 1)))
    np.testing.assert_allclose(got[:, 2, 1, 0], expected, atol=1e-5)


def test_scales_side_by_side_are_separate_convolutions():
    x = jax.random.normal(jax.random.key(0), (2, 10, 12, 2))
    module = MultiScaleConv2D(3, (1, 3, 5))
    variables = module.init(jax.random.key(1), x)
    params = jax.tree.map(lambda leaf: leaf + 0.1, variables["params"])
    parts = [
        nn.relu(nn.Conv(3, (n, n)).apply({"params": {"kernel": params[f"kernel_{n}"], "bias": params[f"bias_{n}"]}}, x))
        for n in (1, 3, 5)
    ]
    np.testing.assert_allclose(module.apply({"params": params}, x), jnp.concatenate(parts, -1), atol=1e-5)


@pytest.mark.parametrize("model", [models.BDCN(), models.DBMNet()])
def test_the_record_of_a_run_names_the_convolution_of_the_tiles(model):
    assert models.describe_model(model) == {"convolution": small_conv.resolve()}


def test_bdcn_keeps_class_statistics_and_augments_training_alone():
    model = models.BDCN(picture_size=20, features=8, dense=(16, 8))
    maps = jax.random.normal(jax.random.key(0), (6, 20, 20, 4))
    variables = init(model, maps)
    labels, weights = jnp.array([0, 0, 0, 1, 1, 2]), jnp.ones(6)

    @jax.jit
    def train(variables, progress):
        targets = make_targets(labels, weights, progress=progress)
        return model.apply(variables, maps, is_training=True, targets=targets, mutable=["class_stats"])

    plain = jax.jit(lambda: model.apply(variables, maps, is_training=False))()
    first, changed = train(variables, 0.0)
    np.testing.assert_allclose(first, plain, atol=1e-5)  # no strength at the start
    later, _ = train({**variables, **changed}, 1.0)
    rise = np.asarray(later - plain)
    np.testing.assert_allclose(rise[np.arange(6), labels], 0, atol=1e-5)
    assert (rise > -1e-5).all()
    assert rise[:3, 1:].min() > 1e-6  # class 0 varies
    assert changed["class_stats"]["features"]["count"].tolist() == [3, 2, 1]
    assert not jax.tree.leaves(init(model.clone(isda=0.0), maps).get("class_stats", {}))


# --- LAENet ---


def test_laenet_is_ststnet_that_does_not_see_the_eyes():
    motion = make_motion()
    variables = init(models.LAENet(), motion)
    got, expected = (
        jax.jit(lambda x, model=model: model.apply(variables, x, is_training=False))(x)
        for model, x in ((models.LAENet(), motion), (models.STSTNet(), blank_eyes(motion)))
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)
    blinked = motion.at[..., 8:11, 5:12, :].add(1.0).at[..., 8:11, 16:23, :].add(-1.0)
    np.testing.assert_array_equal(blank_eyes(blinked), blank_eyes(motion))
    assert 0 < (blank_eyes(jnp.ones((28, 28, 3))) == 0).mean() < 0.06
    mirrored = blank_eyes(jnp.ones((28, 28, 3)))
    np.testing.assert_array_equal(mirrored[:, ::-1], mirrored)


# --- Dual-ATME ---


def test_areas_are_cut_from_eyes_and_mouth():
    rows, columns = jnp.mgrid[:28, :28]
    picture = jnp.stack([rows, columns], -1).astype(jnp.float32)
    areas, sides = join_areas(picture), join_areas(picture, by_side=True)
    for place, (top, left) in {(0, 0): (3, 1), (0, 14): (3, 13), (14, 0): (13, 3), (14, 14): (13, 11)}.items():
        np.testing.assert_array_equal(areas[place], (top, left))
        np.testing.assert_array_equal(areas[place[0] + 13, place[1] + 13], (top + 13, left + 13))
        np.testing.assert_array_equal(sides[place[::-1]], (top, left))


def test_dual_atme_draws_its_branches_together():
    motion = make_motion()

    def sown(model, is_training):
        def run():
            variables = model.init(jax.random.key(0), motion, is_training=False)
            rngs, mutable = {"dropout": jax.random.key(1)}, ["batch_stats", "losses"]
            return model.apply(variables, motion, is_training=is_training, rngs=rngs, mutable=mutable)[1]

        return jax.eval_shape(run).get("losses", {})

    assert sown(models.DualATME(), True)["similarity"][0].shape == (3,)  # one number a clip
    assert not sown(models.DualATME(similarity=0.0), True)
    assert not sown(models.DualATME(), False)
    along, across = jnp.array([[[[1.0, 0.0]]]]), jnp.array([[[[0.0, 2.0]]]])
    for other, expected in ((3 * along, 1.0), (across, 0.0), (-along, -1.0), (0 * along, 0.0)):
        np.testing.assert_allclose(cosine(along, other), [expected], atol=1e-6)
        assert np.isfinite(jax.grad(lambda x: cosine(along, x).sum())(other)).all()


def test_dual_atme_has_the_size_of_its_authors_layers():
    def inception(c, d):
        convolutions = ((c + 1) * d, (c + 1) * 6, (9 * 6 + 1) * d, (c + 1) * 6, (25 * 6 + 1) * d, (c + 1) * d)
        return sum(convolutions) + 2 * (4 * d + 2 * 6)

    attention = 48 * 3 + 3 + 3 * 48 + 48 + (9 * 2 + 1)
    dense = (2 * 49 * 48 + 1) * 1024 + 2 * 1024 + (1024 + 1) * 3
    assert count_parameters(models.DualATME()) == 2 * (inception(3, 6) + inception(24, 12)) + attention + dense


def test_the_maximum_of_the_neighbourhood_is_a_max_pool_with_a_stride_of_1():
    x = make_motion()
    expected = -jax.lax.reduce_window(-x, jnp.inf, jax.lax.min, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    np.testing.assert_array_equal(neighbourhood_maximum(x), expected)
