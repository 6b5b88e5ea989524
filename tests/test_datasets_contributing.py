"""CONTRIBUTING's example of a corpus, as it stands, in a fresh copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import pytest

from datasets.surrogate.corpus import render_corpus
from tests.documents import ROOT

FILES = ("release.py", "glances_dataset_builder.py", "__init__.py")
ROWS = (
    ("1", "joy_1", "joy"),
    ("P1", "joy_2", "Joy"),
    ("1", "fear_1", "fear"),
    ("2", "fear_2", "fear"),
    ("2", "other_1", "other"),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A fresh copy of the repository with the example in it."""
    copy = tmp_path_factory.mktemp("copy")
    for package in ("mer_jax", "datasets"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)[-len(FILES) :]
    folder = copy / "datasets" / "glances"
    folder.mkdir()
    for name, text in zip(FILES, blocks, strict=True):
        (folder / name).write_text(text)
    return copy


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Two people and five clips of rendered faces in the example's layout."""
    top = tmp_path_factory.mktemp("release")
    rendered = render_corpus(
        top / "rendered", num_subjects=2, num_clips=5, scale=0.25, workers=1, log=lambda line: None
    )
    clips = sorted((rendered / "HS").glob("*/micro/*/*"))
    lines = ["Subject,Clip,Onset,Apex,Offset,Emotion"]
    for (subject, clip, emotion), folder in zip(ROWS, clips, strict=True):
        frames = sorted(folder.iterdir())[:8]
        place = top / "Glances" / f"P{subject[-1]}" / clip
        place.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            cv2.imwrite(str(place / f"{number}.jpg"), cv2.imread(str(frame)))
        lines.append(f"{subject},{clip},1,4,8,{emotion}")
    (top / "Glances" / "labels.csv").write_text("\n".join(lines))
    return top / "Glances"


def run(copy, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_is_checked(copy, release):
    done = run(
        copy, "-m", "datasets.check", "glances", "--manual_dir", str(release), "--json", "--variant", "raw_3class"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["by_class"] == found["expected_by_class"] == {"joy": 2, "fear": 2, "other": 1}
    assert found["differences"] == []


def test_it_is_built_and_loaded(copy, release, tmp_path):
    command = ["-m", "datasets.build", "glances", "--manual_dir", str(release), "--data_dir", str(tmp_path)]
    done = run(copy, *command, "--workers", "1")
    assert done.returncode == 0, done.stderr
    code = f"""
import tensorflow_datasets as tfds, datasets.glances
from datasets.read import load_clips
builder = tfds.builder("glances/raw", data_dir={str(tmp_path)!r})
print(len(load_clips(builder.data_path)), *load_clips(builder.data_path, scheme="3class").class_names)
"""
    loaded = run(copy, "-c", code)
    assert loaded.stdout.split() == ["4", "joy", "fear", "other"], loaded.stderr


def test_it_is_written_in_the_style_of_the_repository(copy):
    paths = [f"datasets/glances/{name}" for name in FILES]
    for action in (["check"], ["format", "--check"]):
        done = run(copy, "-m", "ruff", *action, "--config", str(ROOT / "pyproject.toml"), *paths)
        assert done.returncode == 0, done.stdout
