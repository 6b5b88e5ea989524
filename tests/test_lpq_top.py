"""LPQ-TOP against the definition, window by window; MSFME-IR's use of it."""

import itertools

import numpy as np
import pytest

from mer_jax.baselines import MSFMEIR
from mer_jax.baselines.lpq_top import decorrelation, lpq_top, phase_codes
from mer_jax.errors import ConfigError, ShapeError

SIZES = (5, 7, 7)


def make_clip(shape=(7, 20, 18)):
    return np.random.default_rng(0).normal(128, 40, shape).astype(np.float32)


def transform(window):
    """The Fourier coefficients of a window at its four lowest frequencies, by the sum of the definition."""
    (h, w), sums = window.shape, []
    for u, v in ((1 / h, 0), (0, 1 / w), (1 / h, 1 / w), (1 / h, -1 / w)):
        y, x = np.mgrid[:h, :w] - np.array([h // 2, w // 2])[:, None, None]
        sums.append((window * np.exp(2j * np.pi * (u * y + v * x))).sum())
    return np.array([part for each in sums for part in (each.real, each.imag)])


@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (0, 1)])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_codes_are_signs_of_the_local_fourier_transform(axes, correlation):
    clip = make_clip()
    codes = phase_codes(clip, axes, SIZES, correlation)
    assert codes.shape == (3, 14, 12)
    rotation = decorrelation(SIZES[axes[0]], SIZES[axes[1]], correlation) if correlation else np.eye(8)
    for place in itertools.product((0, 2), (0, 5, 13), (0, 11)):
        cut = tuple(
            slice(p, p + n) if axis in axes else p + n // 2
            for axis, (p, n) in enumerate(zip(place, SIZES, strict=True))
        )
        bits = (rotation @ transform(clip[cut].astype(np.float64))) > 0
        assert codes[place] == bits @ 2 ** np.arange(8)


def test_after_the_rotation_nothing_correlates():
    size, correlation = 7, 0.9
    places = np.array(list(np.ndindex(size, size)))
    covariance = correlation ** np.linalg.norm(places[:, None] - places, axis=-1)
    units = np.eye(size * size).reshape(-1, size, size)
    filters = np.stack([transform(unit) for unit in units], 1)  # 8, pixels
    rotation = decorrelation(size, size, correlation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(8), atol=1e-9)
    rotated = rotation @ filters @ covariance @ filters.T @ rotation.T
    assert np.abs(rotated - np.diag(np.diag(rotated))).max() < 1e-4 * np.diag(rotated).max()


def test_codes_ignore_brightness_contrast_and_a_symmetric_blur():
    clip = make_clip((5, 40, 40))
    np.testing.assert_array_equal(phase_codes(clip, (1, 2), SIZES, 0.0), phase_codes(2 * clip, (1, 2), SIZES, 0.0))
    # The sums of a constant are 0 but for rounding, so the phase of noise hardly changes.
    assert (phase_codes(clip, (1, 2), SIZES, 0.0) != phase_codes(clip + 50, (1, 2), SIZES, 0.0)).mean() < 1e-3


def test_shares_of_every_block_and_plane_sum_to_one():
    shares = lpq_top(make_clip(), 3, 7, 5, 0.9)
    assert shares.shape == (3, 3, 3, 256)
    np.testing.assert_allclose(shares.sum(-1), 1.0)


def test_magnification_is_part_of_the_features():
    clips = np.random.default_rng(0).integers(0, 255, (1, 6, 128, 128), np.uint8)
    features = [MSFMEIR(magnification=factor).features(clips) for factor in (0.0, 10.0)]
    assert features[0].shape == (1, 3 * 5 * 5 * 256)
    assert np.abs(features[1] - features[0]).max() > 0.01
    expected = np.sqrt(lpq_top(clips[0].astype(np.float32), 5, 7, 5, 0.9))
    np.testing.assert_allclose(features[0][0], expected.reshape(-1))


def test_what_it_refuses():
    with pytest.raises(ShapeError, match=r"got a clip of 4 frames of 20x18, expected at least 5 frames of 9 pixels"):
        lpq_top(make_clip((4, 20, 18)), 3, 7, 5, 0.9)
    for change in ({"window": 6}, {"window_t": 4}, {"correlation": 1.0}):
        given = {"window": 7, "window_t": 5, "correlation": 0.9, **change}
        with pytest.raises(ConfigError, match="expected odd windows and a correlation from 0 to below 1"):
            lpq_top(make_clip(), 3, **given)
    clips = np.zeros((1, 6, 128, 128), np.uint8)
    for factor in (-1.0, 101.0, float("nan")):
        with pytest.raises(ConfigError, match=rf"got model\.magnification={factor}, expected from 0 \(off\) to 100"):
            MSFMEIR(magnification=factor).features(clips)
