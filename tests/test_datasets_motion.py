"""Motion features from clips: the flow that was put in, kept on disk."""

import numpy as np
import pytest

from datasets.motion import compute_motion
from mer_jax.data.clips import Clips
from mer_jax.data.motion import FULL_SCALE, quantize
from mer_jax.errors import CorpusError
from mer_jax.sizes import MOTION_ZERO
from mer_jax.vision.libraries import cv2


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
    )


def test_flow_of_a_known_shift_comes_out_in_its_scale(tmp_path):
    clips = make_clips([0.0, 0.5, -1.0])
    motion = compute_motion(clips, 1, tmp_path, say=lambda line: None)
    assert motion.pictures.shape == (3, 28, 28, 3)
    middle = (motion.pictures[:, 6:22, 6:22].astype(float) - MOTION_ZERO) / 127 * FULL_SCALE
    np.testing.assert_allclose(middle[..., 0].mean((1, 2)), [0, 0.5, -1.0], atol=0.06)
    np.testing.assert_allclose(middle[..., 1].mean((1, 2)), 0, atol=0.06)
    assert middle[..., 2].max() < 0.1  # a shift strains nothing
    assert motion.clip_id == clips.clip_id


def test_features_are_computed_once(tmp_path):
    said = []
    first = compute_motion(make_clips([0.5]), 1, tmp_path, say=said.append)
    again = compute_motion(make_clips([0.5]), 1, tmp_path, say=said.append)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert len(said) == 1
    assert first.fingerprint == again.fingerprint
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])  # cut short: computed anew
    np.testing.assert_array_equal(
        compute_motion(make_clips([0.5]), 1, tmp_path, say=said.append).pictures, first.pictures
    )
    assert len(said) == 2
    assert compute_motion(make_clips([0.5]), 2, tmp_path, say=said.append).fingerprint != first.fingerprint


def test_what_is_beyond_the_scale_is_clipped():
    assert quantize(np.float32([[[9, -9, 1]]])).tolist() == [[[255, 1, 255]]]


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"cannot write .*--data_dir"):
        compute_motion(make_clips([0.5]), 1, tmp_path / "file", say=lambda line: None)
