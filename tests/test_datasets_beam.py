"""Stage one of a build on Apache Beam, an optional dependency: `make test-extras` runs these tests with it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.build import build
from datasets.surrogate.corpus import render_corpus
from mer_jax.errors import ConfigError
from mer_jax.vision.options import VisionOptions

REPOSITORY = Path(__file__).parents[1]
HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs Apache Beam: make test-extras")
OPTIONS = VisionOptions(num_frames=4, register=False)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("rendered")
    render_corpus(out, num_subjects=2, num_clips=6, scale=0.25, workers=1, log=lambda line: None)
    return out


def test_missing_beam_is_reported(rendered, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "datasets.beam", raising=False)
    with pytest.raises(ConfigError, match=r"runner 'FnApiRunner' is one of Apache Beam's, which is not installed"):
        build("smic", rendered, options=OPTIONS, data_dir=tmp_path, runner="FnApiRunner", say=lambda line: None)


@needs_beam
@pytest.mark.parametrize("workers", [1, 2])
def test_beam_fills_the_same_cache(rendered, tmp_path, workers):
    command = [sys.executable, "-m", "datasets.build", "smic", "--manual_dir", rendered, "--num_frames", "4"]
    command += ["--no-register", "--workers", str(workers), "--data_dir", tmp_path]
    on_beam = subprocess.run(
        [*command, "--runner", "FnApiRunner"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert on_beam.returncode == 0, on_beam.stderr
    assert "prepared 0 clips, 6 were ready" in on_beam.stdout


@needs_beam
def test_unknown_runner_is_refused(rendered, tmp_path):
    with pytest.raises(ConfigError, match=r"Apache Beam does not take --runner=NoRunner"):
        build("smic", rendered, options=OPTIONS, data_dir=tmp_path, runner="NoRunner", say=lambda line: None)
