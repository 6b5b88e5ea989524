import numpy as np
import pytest

from mer_jax.vision.masks import face_mask
from mer_jax.vision.options import MASKS


@pytest.fixture
def ibug() -> np.ndarray:
    """A drawn frontal face in the 128 crop, mirror-symmetric about column 63.5."""

    def arc(cx, cy, rx, ry, degrees):
        angle = np.deg2rad(degrees)
        return np.stack([cx + rx * np.cos(angle), cy - ry * np.sin(angle)], axis=1)

    eye = np.array([0, 60, 120, 180, 240, 300])
    mouth = np.arange(0, 360, 30)
    parts = [
        arc(63.5, 60, 52, 60, np.linspace(180, 360, 17)),  # jaw
        np.stack([np.linspace(22, 50, 5), [36, 31, 30, 31, 34]], axis=1),
        np.stack([np.linspace(77, 105, 5), [34, 31, 30, 31, 36]], axis=1),
        np.stack([np.full(4, 63.5), np.linspace(45, 68, 4)], axis=1),
        np.stack([np.linspace(53, 74, 5), [74, 75, 76, 75, 74]], axis=1),
        arc(38, 45, 8, 4, eye),
        arc(89, 45, 8, 4, eye),
        arc(63.5, 92, 17, 7, mouth),
        arc(63.5, 92, 11, 3, np.arange(0, 360, 45)),
    ]
    return np.concatenate(parts).astype(np.float32)


PLACES = {"eye": (45, 38), "brow": (31, 89), "mouth": (92, 63), "cheek": (72, 28), "forehead": (18, 63), "wall": (3, 3)}


@pytest.mark.parametrize(
    ("mask", "visible"),
    [
        ("keep", {"eye", "brow", "mouth"}),
        ("blank", {"brow", "cheek", "forehead", "wall"}),
        ("blank_eyes", {"brow", "mouth", "cheek", "forehead", "wall"}),
        ("face", {"eye", "brow", "mouth", "cheek", "forehead"}),
        ("none", set(PLACES)),
    ],
)
def test_each_mask_shows_what_it_says(ibug, mask, visible):
    image = face_mask(ibug, mask)
    assert {name for name, place in PLACES.items() if image[place] > 0.9} == visible
    assert {name for name, place in PLACES.items() if image[place] < 0.1} == set(PLACES) - visible


@pytest.mark.parametrize("mask", MASKS)
def test_masks_are_shares_with_soft_edges_and_mirror_symmetric(ibug, mask):
    image = face_mask(ibug, mask)
    assert image.shape == (128, 128)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1 + 1e-6
    assert np.abs(np.diff(image, axis=0)).max() < 0.35  # feathered: no step from 0 to 1
    assert np.abs(image - image[:, ::-1]).max() < 0.3
    assert np.abs(image - image[:, ::-1]).mean() < 0.005


def test_coverage_is_about_what_the_prototypes_had(ibug):
    coverage = {mask: float(face_mask(ibug, mask).mean()) for mask in MASKS}
    assert coverage["none"] == 1
    assert 0.12 < coverage["keep"] < 0.32
    assert 0.85 < coverage["blank"] < coverage["blank_eyes"] < 0.99
    assert 0.4 < coverage["face"] < 0.75


def test_points_outside_the_crop_do_no_harm(ibug):
    for mask in MASKS:
        image = face_mask(ibug + np.float32([100, -80]), mask)
        assert np.isfinite(image).all()


def test_an_unknown_mask_is_refused(ibug):
    with pytest.raises(ValueError, match="unknown mask 'kep'"):
        face_mask(ibug, "kep")
