import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from mer_jax.data.clips import Clips
from mer_jax.errors import CorpusError, ShapeError

SUBJECTS = ("s1", "s1", "s2", "s3")


def make_clips(**changes):
    rng = np.random.default_rng(0)
    fields = {
        "pictures": rng.integers(0, 256, (4, 3, 128, 128), dtype=np.uint8),
        "label": np.array([0, 2, 0, 1], np.int32),
        "subject": SUBJECTS,
        "clip_id": ("a", "b", "c", "d"),
        "corpus": ("smic",) * 4,
        "class_names": ("negative", "positive", "surprise"),
        "provenance": "surrogate",
        "fingerprint": "0" * 32,
        "corpus_name": "smic",
    }
    return Clips(**(fields | changes))


def test_counts():
    clips = make_clips()
    assert (len(clips), clips.num_frames, clips.num_subjects) == (4, 3, 3)
    assert clips.class_counts().tolist() == [2, 1, 1]
    assert make_clips(label=np.zeros(4, np.int32)).class_counts().tolist() == [4, 0, 0]


def test_select_takes_every_column_along():
    clips = make_clips()
    part = clips.select([3, 0])
    np.testing.assert_array_equal(part.pictures, clips.pictures[[3, 0]])
    assert part.label.tolist() == [1, 0]
    assert (part.subject, part.clip_id, part.corpus) == (("s3", "s1"), ("d", "a"), ("smic", "smic"))
    assert part.class_names == clips.class_names


def test_the_fingerprint_of_a_selection_is_its_own():
    clips = make_clips()
    fingerprints = {clips.fingerprint, *(clips.select(part).fingerprint for part in ([0], [1], [0, 1], [1, 0]))}
    assert len(fingerprints) == 5
    assert clips.select([1, 2]).fingerprint == clips.select(np.array([1, 2])).fingerprint


@pytest.mark.parametrize("positions", [[4], [-1], [0, 99]])
def test_select_refuses_positions_that_do_not_exist(positions):
    with pytest.raises(ShapeError, match="does not exist; expected 0 to 3"):
        make_clips().select(positions)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"pictures": np.zeros((4, 3, 128, 64), np.uint8)},
            ShapeError,
            "got pictures as uint8 of shape .*expected uint8: faces",
        ),
        ({"pictures": np.zeros((4, 3, 128, 128), np.float32)}, ShapeError, "got pictures as float32"),
        ({"pictures": np.zeros((4, 27, 28, 3), np.uint8)}, ShapeError, "faces of shape .* or patches of shape"),
        ({"pictures": np.zeros((4, 28), np.uint8)}, ShapeError, "got pictures as uint8 of shape"),
        ({"label": np.zeros(4, np.int64)}, ShapeError, "labels are int64"),
        ({"label": np.zeros(3, np.int32)}, ShapeError, "label has 3 entries for 4 clips"),
        ({"subject": ("s1",)}, ShapeError, "subject has 1 entries for 4 clips"),
        ({"label": np.array([0, 3, 0, 0], np.int32)}, CorpusError, "clip 'b' has label 3; expected 0 to 2"),
        ({"label": np.array([0, 0, -1, 0], np.int32)}, CorpusError, "clip 'c' has label -1"),
        ({"clip_id": ("a", "b", "a", "d")}, CorpusError, "clip id 'a' occurs 2 times"),
        ({"provenance": "real"}, CorpusError, "provenance is 'real'; expected one of licensed, surrogate"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        make_clips(**changes)


def test_no_clips_is_refused():
    with pytest.raises(CorpusError, match="there are no clips"):
        make_clips().select([])


def test_clips_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_clips().provenance = "licensed"


def test_neither_jax_nor_opencv_is_needed():
    code = "import mer_jax.data.clips, sys; sys.exit(bool({'jax', 'cv2', 'tensorflow_datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
