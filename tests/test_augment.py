import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

from mer_jax.config import Augmentation
from mer_jax.data.augment import augment_clip, change_speed, sample_bilinear

NONE = dict.fromkeys(("rotation_deg", "shift", "zoom", "brightness", "contrast", "mirror"), 0.0)


def augment(key, clip, **amounts):
    return augment_clip(key, clip, Augmentation(**amounts))


@pytest.fixture
def clip():
    """A smooth picture that moves a little from frame to frame."""
    y, x = np.mgrid[:48, :64] / 10
    frames = [np.sin(x + t / 9) * np.cos(y) + 0.3 * np.sin(3 * x) for t in range(4)]
    return jnp.asarray(128 + 60 * np.stack(frames), jnp.float32)


def test_nothing_asked_nothing_done(clip):
    np.testing.assert_allclose(augment(jax.random.key(0), clip, **NONE), clip, atol=1e-3)


def test_bilinear_reading_equals_scipy(clip):
    rng = np.random.default_rng(0)
    y, x = rng.uniform(-3, 51, (20, 30)), rng.uniform(-3, 67, (20, 30))
    got = sample_bilinear(clip, jnp.asarray(y), jnp.asarray(x))
    for frame, expected in zip(got, clip, strict=True):
        np.testing.assert_allclose(frame, map_coordinates(expected, [y, x], 1, mode="nearest"), atol=1e-2)


def test_mirror_exchanges_left_and_right(clip):
    mirrored = augment(jax.random.key(0), clip, **{**NONE, "mirror": 1.0})
    np.testing.assert_allclose(mirrored, clip[..., ::-1], atol=1e-3)


def test_half_of_the_clips_are_mirrored(clip):
    small = clip[:1, :8, :8]
    amounts = {**NONE, "mirror": 0.5}
    many = jax.vmap(lambda key: augment(key, small, **amounts))(jax.random.split(jax.random.key(0), 400))
    share = (np.abs(many - small[..., ::-1]).max((1, 2, 3)) < 1e-2).mean()
    assert 0.4 < share < 0.6


def displacement(before, after):
    """How far a picture has moved down and to the right, in pixels, by phase correlation."""
    product = np.fft.fft2(after) * np.conj(np.fft.fft2(before))
    surface = np.abs(np.fft.ifft2(product / (np.abs(product) + 1e-9)))
    peak = np.array(np.unravel_index(surface.argmax(), surface.shape))
    middle = np.array(surface.shape) // 2
    return (peak + middle) % surface.shape - middle


def test_displacement_is_measured_right():
    texture = np.random.default_rng(0).uniform(0, 255, (60, 100))
    assert (displacement(texture, np.roll(texture, (3, -7), (0, 1))) == (3, -7)).all()


def test_shift_moves_by_at_most_what_was_asked():
    """Displacements are measured: they fill the range, along both axes and in both directions."""
    texture = np.random.default_rng(0).uniform(0, 255, (1, 60, 100))
    amounts = {**NONE, "shift": 0.1}
    keys = jax.random.split(jax.random.key(2), 40)
    many = jax.vmap(lambda key: augment(key, jnp.asarray(texture, jnp.float32), **amounts))(keys)
    moved = np.array([displacement(texture[0], np.asarray(each[0])) for each in many])
    for axis, most in enumerate((6, 10)):  # a tenth of height and width
        assert np.abs(moved[:, axis]).max() <= most
        assert moved[:, axis].min() < -most / 2
        assert moved[:, axis].max() > most / 2
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5, "each axis is drawn by itself"


@pytest.mark.parametrize("amounts", [{"rotation_deg": 20.0}, {"zoom": 0.5}], ids=["rotation", "zoom"])
def test_geometry_keeps_the_middle_and_moves_the_rest(clip, amounts):
    moved = augment(jax.random.key(1), clip, **{**NONE, **amounts})
    np.testing.assert_allclose(moved[:, 23:25, 31:33].mean(), clip[:, 23:25, 31:33].mean(), atol=1.0)
    assert np.abs(moved - clip)[:, :5].max() > 5


def test_one_transform_for_all_frames():
    still = jnp.tile(jax.random.uniform(jax.random.key(9), (1, 32, 32)) * 255, (5, 1, 1))
    amounts = dataclasses.asdict(Augmentation())
    moved = augment(jax.random.key(4), still, **amounts)
    np.testing.assert_allclose(moved, np.tile(moved[:1], (5, 1, 1)), atol=1e-3)
    assert np.abs(moved - still).max() > 1


def test_lighting_stays_in_range_and_keeps_order(clip):
    lit = augment(jax.random.key(3), clip, **{**NONE, "brightness": 0.9, "contrast": 0.9})
    assert lit.min() >= 0
    assert lit.max() <= 255
    inside = (lit > 0) & (lit < 255)
    order = np.argsort(np.asarray(clip[inside]))
    assert (np.diff(np.asarray(lit[inside])[order]) >= -1e-3).all()


def test_same_key_same_clip(clip):
    amounts = dataclasses.asdict(Augmentation())
    first, again, other = (augment(jax.random.key(k), clip, **amounts) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_speed_keeps_the_onset_and_reads_between_frames(clip):
    np.testing.assert_allclose(change_speed(clip, jnp.float32(1.0)), clip, atol=1e-4)
    slow, fast = change_speed(clip, jnp.float32(0.5)), change_speed(clip, jnp.float32(2.0))
    for moved in (slow, fast):
        np.testing.assert_allclose(moved[0], clip[0], atol=1e-4)
    np.testing.assert_allclose(slow[1], (clip[0] + clip[1]) / 2, atol=1e-3)
    np.testing.assert_allclose(fast, clip[np.array([0, 2, 3, 3])], atol=1e-3)


def test_speed_adds_no_other_change(clip):
    """Rotation and light are drawn as they are without it."""
    amounts = {**dataclasses.asdict(Augmentation()), "speed": 0.0}
    still, moved = (augment(jax.random.key(5), clip, **{**amounts, "speed": speed}) for speed in (0.0, 0.3))
    np.testing.assert_allclose(still[0], moved[0], atol=0.5)
    assert np.abs(still - moved)[1:].max() > 0.5
