"""Networks that the paper compares itself with: their sizes as published, and what gives each its name."""

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import models
from mer_jax.blocks.inception import neighbourhood_maximum
from mer_jax.blocks.region import blank_eyes, join_areas


def make_motion(batch=3, key=0):
    return jax.random.uniform(jax.random.key(key), (batch, 28, 28, 3), minval=-1.0)


def init(model, *inputs):
    return jax.jit(lambda key: model.init(key, *inputs, is_training=False))(jax.random.key(0))


# --- LAENet ---


def test_laenet_is_ststnet_that_does_not_see_the_eyes():
    motion = make_motion()
    variables = init(models.LAENet(), motion)
    np.testing.assert_allclose(
        models.LAENet().apply(variables, motion, is_training=False),
        models.STSTNet().apply(variables, blank_eyes(motion), is_training=False),
        atol=1e-6,
    )
    blinked = motion.at[..., 8:11, 5:12, :].add(1.0).at[..., 8:11, 16:23, :].add(-1.0)
    np.testing.assert_array_equal(blank_eyes(blinked), blank_eyes(motion))
    assert 0 < (blank_eyes(jnp.ones((28, 28, 3))) == 0).mean() < 0.06
    mirrored = blank_eyes(jnp.ones((28, 28, 3)))
    np.testing.assert_array_equal(mirrored[:, ::-1], mirrored)


# --- Dual-ATME ---


def test_areas_are_cut_from_eyes_and_mouth():
    rows, columns = jnp.mgrid[:28, :28]
    areas = join_areas(jnp.stack([rows, columns], -1).astype(jnp.float32))
    for place, (top, left) in {(0, 0): (3, 2), (0, 14): (3, 12), (14, 0): (13, 3), (14, 14): (13, 11)}.items():
        np.testing.assert_array_equal(areas[place], (top, left))
        np.testing.assert_array_equal(areas[place[0] + 13, place[1] + 13], (top + 13, left + 13))


def test_dual_atme_draws_its_branches_together():
    motion = make_motion()
    model = models.DualATME()
    variables = init(model, motion)

    def train(model):
        rngs, mutable = {"dropout": jax.random.key(1)}, ["batch_stats", "losses"]
        return model.apply(variables, motion, is_training=True, rngs=rngs, mutable=mutable)[1]

    (term,) = train(model)["losses"]["similarity"]
    assert term.shape == (3,)
    assert ((term >= 0) & (term <= 2 * model.similarity)).all()
    assert "losses" not in train(model.clone(similarity=0.0))
    _, kept = model.apply(variables, motion, is_training=False, mutable=["losses"])
    assert not kept


def test_the_maximum_of_the_neighbourhood_is_a_max_pool_with_a_stride_of_1():
    x = make_motion()
    expected = -jax.lax.reduce_window(-x, jnp.inf, jax.lax.min, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    np.testing.assert_array_equal(neighbourhood_maximum(x), expected)
