"""Motion features from clips: the flow that was put in, kept on disk."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from datasets.motion import check_source, compute_pictures
from mer_jax.data.clips import Clips
from mer_jax.data.flow_views import FlowMaps, FlowSet, Motion, Patches
from mer_jax.data.motion import FULL_SCALE, quantize, standardize
from mer_jax.data.views import VIEWS, make_motion
from mer_jax.errors import ConfigError, CorpusError
from mer_jax.sizes import MOTION_ZERO
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VisionOptions

MOTION = Motion()
LANDMARKS = np.tile(np.linspace(20, 100, 68, dtype=np.float32)[:, None], (1, 2))


def make_clips(shifts):
    """A textured face that moves by so many pixels to the right at frame 1, and back."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (128, 160)).astype(np.float32), (0, 0), 2)
    texture = (texture - texture.min()) * (255 / np.ptp(texture))
    x, y = np.meshgrid(np.arange(128, dtype=np.float32) + 16, np.arange(128, dtype=np.float32))
    faces = np.stack(
        [
            np.stack([cv2.remap(texture, x - step, y, cv2.INTER_CUBIC) for step in (0, shift, 0)]).clip(0, 255)
            for shift in shifts
        ]
    ).astype(np.uint8)
    n = len(shifts)
    return Clips(
        pictures=faces,
        label=np.zeros(n, np.int32),
        subject=("a",) * n,
        clip_id=tuple(f"c{i}" for i in range(n)),
        corpus=("toy",) * n,
        class_names=("only",),
        provenance="surrogate",
        fingerprint=f"toy {shifts}",
        corpus_name="toy",
        landmarks=np.tile(LANDMARKS, (n, 1, 1)),
    )


def unscale(pictures, full_scale):
    return (pictures.astype(float) - MOTION_ZERO) / 127 * full_scale


def test_features_of_the_tight_box_are_others_and_have_no_border(tmp_path):
    whole = compute_pictures(make_clips([0.5]), MOTION, tmp_path, say=lambda line: None)
    tight = compute_pictures(make_clips([0.5]), MOTION, tmp_path, crop="eyes", say=lambda line: None)
    assert whole.fingerprint != tight.fingerprint
    assert tight.pictures.shape == whole.pictures.shape

    def worst(motion):  # distance from the shift that was put in
        return np.abs(unscale(motion.pictures[0, ..., 0], 2.0) - 0.5).max()

    assert worst(tight) < 0.5 * worst(whole)  # the worst cells lie at the border


def test_standardised_features_do_not_depend_on_shift_and_scale_of_the_stored_ones():
    pictures = np.random.default_rng(0).integers(90, 120, (3, 28, 28, 3), np.uint8)
    first = standardize(pictures)
    np.testing.assert_allclose(np.median(first, (1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(first.std((1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(standardize(2 * pictures - 60), first, atol=1e-5)
    assert not standardize(np.full((1, 28, 28, 3), 128, np.uint8)).any()
    np.testing.assert_allclose(make_motion(jnp.asarray(pictures), "standard")[0], first, atol=1e-5)


def test_maps_have_the_magnitude_and_their_own_size(tmp_path):
    maps = compute_pictures(make_clips([-1.0]), FlowMaps(picture_size=64), tmp_path, say=lambda line: None)
    assert (maps.kind, maps.pictures.shape) == ("flow_maps", (1, 64, 64, 4))
    middle = unscale(maps.pictures[0, 16:48, 16:48], FULL_SCALE)
    np.testing.assert_allclose(middle.mean((0, 1))[[0, 3]], [-1, 1], atol=0.06)


def test_a_set_of_flows_is_of_the_frames_between_onset_and_offset(tmp_path):
    """The clip moves in frame 1 and is back in frame 2."""
    flows = compute_pictures(make_clips([0.5]), FlowSet(num_flows=1), tmp_path, say=lambda line: None)
    assert (flows.kind, flows.pictures.shape) == ("flow_set", (1, 1, 28, 28, 3))
    np.testing.assert_allclose(unscale(flows.pictures[0, 0, 6:22, 6:22, 0], 2.0).mean(), 0.5, atol=0.06)


@pytest.mark.parametrize(("values", "most"), [("flow", 2.0), ("difference", 4.0)])
def test_patches_show_what_moves_at_their_landmarks(tmp_path, values, most):
    clips = make_clips([1.0])
    one, two = (
        compute_pictures(clips, Patches(patch_values=values, patch_frames=m), tmp_path, say=lambda line: None).pictures[
            0
        ]
        for m in (1, 2)
    )
    assert (one.shape, two.shape) == ((30, 51), (60, 51))
    np.testing.assert_array_equal(one, two[:30])  # the apex is frame 1, and the first of two
    moved, still = unscale(one[:, :49], most), unscale(two[30:, :49], most)
    assert np.abs(moved).mean() > 10 * np.abs(still).mean()
    if values == "flow":
        np.testing.assert_allclose(moved.mean(), 1.0, atol=0.06)
    else:
        x, y = np.round(LANDMARKS[17]).astype(int)
        faces = clips.pictures[0].astype(float)
        center = 8 * (faces[1, y, x] - faces[0, y, x]) / (faces[0].std() + 5)
        np.testing.assert_allclose(moved[0, 24], np.clip(center, -4, 4), atol=0.03)
    np.testing.assert_array_equal(one[:, 49:], np.round(2 * LANDMARKS[[*range(17, 27), *range(48, 68)]]))


def test_patches_need_landmarks(tmp_path):
    clips = dataclasses.replace(make_clips([1.0]), landmarks=None)
    with pytest.raises(CorpusError, match=r"cut around landmarks, and those of toy are not known; build it again"):
        compute_pictures(clips, Patches(), tmp_path, say=lambda line: None)


@pytest.mark.parametrize(
    ("view", "changes", "message"),
    [
        (FlowMaps(), {}, r"flow_maps is of onset and apex, got .*'uniform'; expected --config.vision.sampling=apex"),
        (VIEWS["pair"], {}, r"pair is of onset and apex.*views without one: halves, face, dynamic, flow_set"),
        (FlowSet(num_flows=17), {}, r"flow_set needs clips of at least 19 frames, got vision.num_frames=18; set "),
        (Patches(patch_frames=18), {}, r"patches needs clips of at least 19 frames"),
        (VIEWS["dynamic"], {"stored": "motion"}, r"dynamic is made from faces, and this variant of toy holds motion"),
    ],
)
def test_views_that_a_corpus_cannot_give_are_refused(view, changes, message):
    with pytest.raises(ConfigError, match=message):
        check_source(view, VisionOptions(), **{"stored": "faces", "corpus": "toy", **changes})


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_view_can_be_made_of_clips_around_an_apex(view):
    check_source(view, VisionOptions(sampling="apex"), "faces", "toy")


def test_flow_of_a_known_shift_comes_out_in_its_scale(tmp_path):
    clips = make_clips([0.0, 0.5, -1.0])
    motion = compute_pictures(clips, MOTION, tmp_path, say=lambda line: None)
    assert motion.pictures.shape == (3, 28, 28, 3)
    middle = (motion.pictures[:, 6:22, 6:22].astype(float) - MOTION_ZERO) / 127 * FULL_SCALE[:3]
    np.testing.assert_allclose(middle[..., 0].mean((1, 2)), [0, 0.5, -1.0], atol=0.06)
    np.testing.assert_allclose(middle[..., 1].mean((1, 2)), 0, atol=0.06)
    assert middle[..., 2].max() < 0.1  # a shift strains nothing
    assert motion.clip_id == clips.clip_id


def test_features_are_computed_once(tmp_path):
    said = []
    first = compute_pictures(make_clips([0.5]), MOTION, tmp_path, say=said.append)
    again = compute_pictures(make_clips([0.5]), MOTION, tmp_path, say=said.append)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert len(said) == 1
    assert first.fingerprint == again.fingerprint
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])  # cut short: computed anew
    np.testing.assert_array_equal(
        compute_pictures(make_clips([0.5]), MOTION, tmp_path, say=said.append).pictures, first.pictures
    )
    assert len(said) == 2
    others = [
        FlowMaps(picture_size=28),
        FlowMaps(picture_size=56),
        FlowSet(num_flows=1),
        FlowSet(num_flows=1, picture_size=8),
    ]
    prints = {compute_pictures(make_clips([0.5]), view, tmp_path, say=said.append).fingerprint for view in others}
    assert len({first.fingerprint, *prints}) == 5


def test_what_is_beyond_the_scale_is_clipped():
    assert quantize(np.float32([[[9, -9, 1]]])).tolist() == [[[255, 1, 255]]]


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"cannot write .*--data_dir"):
        compute_pictures(make_clips([0.5]), MOTION, tmp_path / "file", say=lambda line: None)
