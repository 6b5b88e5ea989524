import numpy as np
import pytest

from mer_jax.errors import ConfigError
from mer_jax.system.files import checksum_array, is_sealed, natural_key, output_folder, seal


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", r"got --out .*file, which is a file; expected a folder, or a new name"),
        ("file/below/it", r"which lies below the file .*file; expected a folder"),
        ("x" * 300, r"got --out '.*\.\.\.: File name too long; expected a folder, or a new name"),
        ("a\0b", r"embedded null byte; expected a folder"),
    ],
)
def test_places_that_cannot_be_written_are_refused(tmp_path, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message):
        output_folder(tmp_path / name, "--out")


def test_a_home_folder_is_expanded_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_folder("~/runs/x", "--out") == tmp_path / "runs" / "x"
    assert list(tmp_path.iterdir()) == []


def test_names_are_ordered_as_people_count():
    assert sorted(["s10", "s2", "S1", "t"], key=natural_key) == ["S1", "s2", "s10", "t"]


@pytest.mark.parametrize(
    "other",
    [np.ones((2, 3), np.float32), np.zeros((3, 2), np.float32), np.zeros((2, 3), np.int32), np.zeros(6, np.float32)],
)
def test_a_checksum_is_over_content_type_and_shape(other):
    array = np.zeros((2, 3), np.float32)
    assert checksum_array(array) == checksum_array(array.copy(order="F"))
    assert checksum_array(array) != checksum_array(other)


def test_a_seal_breaks_with_every_change():
    sealed = seal({"epoch": 1, "loss": 0.5, "none": None})
    assert is_sealed(sealed)
    for name in sealed:
        assert not is_sealed({**sealed, name: "other"})
        assert not is_sealed({key: value for key, value in sealed.items() if key != name})
    assert not is_sealed(None)
