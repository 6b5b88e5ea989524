import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.config import Augmentation
from mer_jax.data.face_views import FRAME_WEIGHTS, Dynamic, Pair, rank_weights
from mer_jax.data.flow_views import Patches, mirrored_points
from mer_jax.data.stored import find_kind
from mer_jax.data.views import (
    VIEWS,
    check_face,
    find_view,
    make_face,
    make_halves,
    make_motion,
    normalize_difference,
    normalize_gray,
)
from mer_jax.errors import ConfigError, ShapeError
from mer_jax.sizes import PATCH_POINTS
from mer_jax.vision.flow import landmark_patches


@pytest.fixture
def faces():
    return jax.random.uniform(jax.random.key(0), (2, 5, 128, 128)) * 255


def test_halves_are_64_high_and_128_wide_and_join_to_the_face(faces):
    upper, lower = make_halves(faces, "gray")
    assert upper.shape == lower.shape == (2, 5, 64, 128, 1)
    joined = np.concatenate([upper, lower], axis=-3)[..., 0]
    np.testing.assert_array_equal(joined, normalize_gray(faces))


def test_the_upper_half_holds_the_eyes_and_the_lower_half_the_mouth():
    """A bright bar at the height of the eyes, and one half as bright at the height of the mouth."""
    faces = np.zeros((3, 128, 128), np.uint8)
    faces[:, 40:52, 20:108] = 200
    faces[:, 90:100, 44:84] = 100
    upper, lower = make_halves(jnp.asarray(faces), "gray")
    bright = upper.max() - 1e-3
    assert (upper[:, 40:52, 20:108] > bright).all()
    assert (upper > bright).sum() == 3 * 12 * 88
    assert 0 < lower.max() < bright
    np.testing.assert_array_equal(lower[:, 26:36, 44:84], lower.max())


def test_difference_formula(faces):
    x = np.asarray(faces, np.float64)
    expected = np.clip(8 * (x - x[:, :1]) / (x[:, :1].std((-2, -1), keepdims=True) + 5), -4, 4)
    np.testing.assert_allclose(normalize_difference(faces), expected, atol=1e-3)


def test_difference_of_a_still_clip_is_zero_even_where_flat():
    assert not np.any(normalize_difference(jnp.full((3, 128, 128), 7.0)))


def test_difference_does_not_feel_brightness_and_gray_does_not_feel_contrast(faces):
    faces = faces / 4  # room to spare
    np.testing.assert_allclose(normalize_difference(faces + 20), normalize_difference(faces), atol=1e-2)
    np.testing.assert_allclose(normalize_gray(faces * 2 + 20), normalize_gray(faces), atol=1e-2)


def test_gray_has_mean_zero_and_deviation_one(faces):
    gray = np.asarray(normalize_gray(faces))
    np.testing.assert_allclose(gray.mean((-3, -2, -1)), 0, atol=1e-4)
    np.testing.assert_allclose(gray.std((-3, -2, -1)), 1, atol=1e-3)


def test_each_clip_is_normalised_alone(faces):
    for normalize in (normalize_difference, normalize_gray):
        np.testing.assert_allclose(normalize(faces)[1], jax.jit(normalize)(faces[1]), atol=1e-4)


def test_unknown_normalization_is_refused(faces):
    with pytest.raises(ConfigError, match="did you mean 'gray'"):
        make_halves(faces, "grey")


def test_a_whole_face_is_what_its_check_accepts(faces):
    (face,) = make_face(faces, "difference")
    check_face(face)
    check_face(face[0])
    with pytest.raises(
        ShapeError, match=r"got the face with shape \(5, 64, 128, 1\), expected \[\*b, t, 128, 128, 1\]"
    ):
        check_face(face[0, :, :64])


def test_motion_features_are_scaled_to_both_sides_of_nothing():
    pictures = np.zeros((2, 28, 28, 3), np.uint8)
    pictures[0], pictures[1] = 128, 255
    (motion,) = make_motion(jnp.asarray(pictures))
    np.testing.assert_array_equal(motion[0], 0)
    np.testing.assert_allclose(motion[1], 127 / 127.5)


# --- dynamic images, pairs ---


def test_corrected_weights_erase_a_still_face_and_published_ones_do_not():
    faces = jnp.full((5, 128, 128), 100.0)
    textured = faces + jnp.arange(128.0)
    for t in (2, 8, 18, 66):
        np.testing.assert_allclose(rank_weights(t).sum(), 0, atol=1e-9)
        np.testing.assert_allclose(rank_weights(t, "published").sum(), t)
    (corrected,), (published,) = (Dynamic(frame_weights=kind).make(textured) for kind in FRAME_WEIGHTS)
    assert np.ptp(corrected) < 1e-2
    np.testing.assert_allclose(np.ptp(published), 2, atol=1e-4)


def test_a_dynamic_image_shows_what_became_brighter():
    faces = np.full((2, 6, 128, 128), 90, np.uint8)
    faces[0, 3:, 20:40, 30:60] += 50
    faces[1, :3, 20:40, 30:60] += 50
    (image,) = Dynamic(picture_size=128).make(jnp.asarray(faces))
    assert image.shape == (2, 128, 128, 1)
    assert (float(image[0, 30, 40, 0]), float(image[0, 80, 80, 0])) == (1, -1)
    assert (float(image[1, 30, 40, 0]), float(image[1, 80, 80, 0])) == (-1, 1)


def test_a_pair_is_of_the_onset_and_the_frame_in_the_middle(faces):
    (pair,) = VIEWS["pair"].make(faces)
    assert pair.shape == (2, 2, 112, 112, 1)
    (whole,) = Pair(picture_size=128).make(faces)
    expected = normalize_gray(faces[:, np.array([0, 2])])
    np.testing.assert_allclose(whole[..., 0], expected, atol=1e-4)


# --- what holds for all views ---


def stored_pictures(view, clips=2, frames=5):
    shape = [frames if isinstance(n, str) else n for n in view.stored_dims()]
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (clips, *shape), np.uint8))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_inputs_have_the_stated_shapes_and_are_small_numbers(view):
    pictures = stored_pictures(view)
    assert find_kind(pictures.shape[1:]) == view.stored
    inputs = view.make(pictures, "gray")
    view.check(*inputs)
    view.check(*(each[0] for each in inputs))
    assert tuple(each.shape[1:] for each in inputs) == view.shapes(5)
    assert all(np.abs(each).max() <= 6 for each in inputs)
    np.testing.assert_allclose(view.make(pictures[1], "gray")[0], inputs[0][1], atol=1e-4)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_mirroring_twice_changes_nothing_and_augmentation_keeps_the_shape(view):
    (picture,) = stored_pictures(view, clips=1).astype(jnp.float32)
    only_mirror = Augmentation(rotation_deg=0, shift=0, zoom=0, brightness=0, contrast=0, mirror=1)
    once = view.augment(jax.random.key(0), picture, only_mirror)
    assert once.shape == picture.shape
    np.testing.assert_allclose(view.augment(jax.random.key(1), once, only_mirror), picture, atol=1e-3)
    assert np.abs(once - picture).max() > 1
    never = view.augment(jax.random.key(0), picture, dataclasses.replace(only_mirror, mirror=0))
    np.testing.assert_allclose(never, picture, atol=1e-3)


@pytest.mark.parametrize("name", ["motion", "flow_maps", "flow_set"])
def test_flow_to_the_right_becomes_flow_to_the_left(name):
    """The flow of mirrored frames is the mirrored flow with its horizontal part reversed."""
    view = VIEWS[name]
    picture = jnp.full(view.stored_dims(), 128.0).at[..., :4, 0].set(200.0).at[..., 0, 1].set(30.0)
    mirrored = np.asarray(view.mirror(picture))
    assert (mirrored[..., -4:, 0] == 56).all()
    assert (mirrored[..., :4, 0] == 128).all()
    assert (mirrored[..., -1, 1] == 30).all()


@pytest.mark.parametrize("points", PATCH_POINTS)
def test_mirrored_patches_are_those_of_the_mirrored_face(points):
    """Patches of symmetrical landmarks on any picture, cut before and after mirroring it."""
    rng = np.random.default_rng(0)
    x = rng.integers(10, 60, 68)
    order = mirrored_points(tuple(range(68)))
    assert sorted(order) == list(range(68))
    assert (order[36], order[48], order[61], order[8]) == (45, 54, 63, 8)
    x = np.where(order > np.arange(68), x, np.where(order == np.arange(68), 63.5, 127 - x[order]))
    y = rng.integers(0, 128, 68)
    y = np.minimum(y, y[order])
    picture = rng.integers(0, 256, (128, 128)).astype(np.float32)
    chosen = list(PATCH_POINTS[points])
    position = np.stack([x, y], axis=1)[chosen].astype(np.float32)

    def store(picture):
        whole = np.floor(position)  # midline landmarks lie between two pixels
        patches = landmark_patches(picture, whole).reshape(len(chosen), -1)
        return np.concatenate([patches, 2 * position], axis=1)

    sides = np.array([order[each] != each for each in chosen])
    mirrored = np.asarray(Patches(patch_points=points).mirror(jnp.asarray(store(picture))))
    np.testing.assert_array_equal(mirrored[sides], store(picture[:, ::-1])[sides])
    np.testing.assert_array_equal(mirrored[:, 49:], store(picture)[:, 49:])


@pytest.mark.parametrize(
    ("view", "fields", "message"),
    [
        ("dynamic", {"frame_weights": "correct"}, "got model.frame_weights='correct'; did you mean 'corrected'"),
        ("dynamic", {"picture_size": 400}, "got model.picture_size=400, expected 8 to 128"),
        ("flow_set", {"num_flows": 0}, "got model.num_flows=0, expected 1 to 64"),
        ("patches", {"patch_points": "mouth"}, "got model.patch_points='mouth'"),
    ],
)
def test_fields_of_a_view_are_checked(view, fields, message):
    with pytest.raises(ConfigError, match=message):
        find_view(SimpleNamespace(view=view, **fields))


def test_inputs_of_different_clips_are_refused():
    patches, positions = VIEWS["patches"].make(stored_pictures(VIEWS["patches"]))
    with pytest.raises(ShapeError, match=r"got patches of different shapes, \(2, 30, 7, 7, 1\) and \(30, 2\)"):
        VIEWS["patches"].check(patches, positions[0])
    with pytest.raises(ShapeError, match="got 1 inputs of the view patches, expected 2"):
        VIEWS["patches"].check(patches)
