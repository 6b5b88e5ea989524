import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.data.views import check_face, make_face, make_halves, make_motion, normalize_difference, normalize_gray
from mer_jax.errors import ConfigError, ShapeError


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
