"""Faces that C++ augments and normalises against the same in pure JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.config import Augmentation
from mer_jax.data.augment import augment_clip
from mer_jax.data.views import VIEWS
from mer_jax.native import conv_pool as native
from mer_jax.native.faces import load_faces
from mer_jax.training.batches import Data, Items, load_batch


@pytest.fixture(scope="module", autouse=True)
def _native_is_there():
    if reason := native.load():
        pytest.fail(f"the native library is part of the tests: {reason}")


@pytest.fixture(scope="module")
def faces():
    """Three smooth clips of 18 frames; the last one is flat."""
    y, x = np.mgrid[:128, :128] / 20
    t = np.arange(18)[:, None, None] / 30
    clips = [128 + 100 * np.sin(x + t + k) * np.cos(y - t) for k in range(2)]
    return jnp.asarray(np.stack([*clips, np.full((18, 128, 128), 77)]).astype(np.uint8))


@pytest.mark.parametrize("view", ["halves", "face"])
@pytest.mark.parametrize(
    "amounts", [Augmentation(), Augmentation(rotation_deg=40, shift=0.3, zoom=0.4, brightness=0.9)]
)
def test_equals_pure_jax(faces, view, amounts):
    view = VIEWS[view]
    index, augmented = jnp.asarray([2, 0, 1, 1]), jnp.asarray([True, True, True, False])
    items = Items(clip=index, copy=jnp.zeros(4, jnp.int32), real=jnp.ones(4, bool))
    keys = jax.random.split(jax.random.key(1), 4)
    got = load_batch(Data(faces, jnp.zeros(3)), items, keys, augmented, view=view, augment=amounts,
                     normalization="difference")  # fmt: skip
    for i, clip in enumerate(index):
        face = faces[clip].astype(jnp.float32)
        expected = view.make(augment_clip(keys[i], face, amounts) if augmented[i] else face, "difference")
        assert len(got) == len(expected)
        for part, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(part[i], wanted, atol=5e-3)


def test_every_instruction_set_gives_the_same(faces):
    change = {
        "position": jnp.asarray([[[0.9, 0.1, 60.0], [-0.1, 0.9, 70.0]]]),
        "gain": jnp.asarray([1.2]),
        "offset": jnp.asarray([-9.0]),
    }
    names = native.instruction_sets()
    results = []
    try:
        for name in names:
            native.choose_instruction_set(name)
            results.append(load_faces(faces, jnp.asarray([1]), jnp.asarray([True]), **change, parts=2))
    finally:
        native.choose_instruction_set(names[0])
    for result in results:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-4)


def test_positions_that_are_no_numbers_stay_inside(faces):
    nan = jnp.full((1, 2, 3), jnp.nan)
    (got,) = load_faces(faces, jnp.asarray([99]), jnp.asarray([True]), nan, jnp.ones(1), jnp.zeros(1), parts=1)
    assert np.isfinite(got).all()


def test_wrong_shapes_are_an_error_and_no_crash(faces):
    with pytest.raises(jax.errors.JaxRuntimeError, match="shapes of faces, indices and changes do not fit"):
        jax.block_until_ready(
            load_faces(faces[..., :120], jnp.asarray([0]), jnp.asarray([False]), jnp.zeros((1, 2, 3)), jnp.ones(1),
                       jnp.zeros(1), parts=1)
        )  # fmt: skip


@pytest.mark.parametrize(
    ("normalization", "amounts"), [("gray", Augmentation()), ("difference", Augmentation(speed=0.2))]
)
def test_what_it_does_not_know_is_left_to_jax(faces, monkeypatch, normalization, amounts):
    monkeypatch.setattr("mer_jax.training.batches.load_faces", None)
    items = Items(clip=jnp.zeros(1, jnp.int32), copy=jnp.zeros(1, jnp.int32), real=jnp.ones(1, bool))
    keys = jax.random.split(jax.random.key(1), 1)
    (got,) = load_batch(Data(faces, jnp.zeros(3)), items, keys, jnp.ones(1, bool), view=VIEWS["face"], augment=amounts,
                        normalization=normalization)  # fmt: skip
    assert np.isfinite(got).all()
