"""CONTRIBUTING's block, model and experiment, as they stand, in a fresh copy of the repository."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.documents import ROOT

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_conformance.py")
FILES = ("mer_jax/blocks/frame_gain.py", "mer_jax/models/framegain3dnet.py", "experiments/configs/smic_fg.py")

# What CONTRIBUTING allows and no module of the library does: no parameters; no dropout; two frames and a whole face.
FRAME_MEAN = '''
"""The mean over frames."""

import flax.linen as nn
from jaxtyping import Array, Float


class FrameMean(nn.Module):
    """Averages a clip over its frames.

    Source: none; an example.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*b t h w c"]) -> Float[Array, "*b 1 h w c"]:
        """Returns one frame."""
        return x.mean(-4, keepdims=True)
'''
LAST_FRAME_NET = '''
"""A linear map of the last frame."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

from mer_jax.data.views import check_face
from mer_jax.typing import Logits


class LastFrameNet(nn.Module):
    """The mean of eight columns of the last frame, and one dense layer.

    Parameters: 51 with 2 frames and 3 classes.

    Attributes:
        num_classes: Number of classes k.
        num_extra_layers: Dense layers before it.
        dropout: None: there is none.
        dtype: Of the arithmetic; None takes that of the input.

    Source: none; an example.
    """

    view: ClassVar[str] = "face"

    num_classes: int = 3
    num_extra_layers: int = 0
    dropout: float | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, face: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps faces [*b, t, 128, 128, 1] to logits."""
        check_face(face)
        x = face[..., -1, ::8, ::8, 0].mean(-1)
        for number in range(self.num_extra_layers):
            x = nn.relu(nn.Dense(16, dtype=self.dtype, name=f"extra_{number}")(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A fresh copy of the repository with the examples in it."""
    copy = tmp_path_factory.mktemp("copy")
    for package in ("mer_jax", "experiments"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests").mkdir()
    for name in ("pyproject.toml", "tests/conftest.py", "tests/test_conformance.py"):
        shutil.copy(ROOT / name, copy / name)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    for name, text in zip(FILES, blocks, strict=False):
        (copy / name).write_text(text)
    return copy


def run(copy, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def run_conformance(copy, *arguments):
    done = run(copy, *PYTEST, *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    return int(re.search(r"(\d+) passed", done.stdout).group(1))


@pytest.mark.timeout(300)
def test_examples_pass_the_conformance_tests(copy):
    assert run_conformance(copy, "-k", "FrameGain or every_class") >= 25


@pytest.mark.timeout(300)
def test_what_contributing_allows_passes_too(copy):
    (copy / "mer_jax/blocks/frame_mean.py").write_text(FRAME_MEAN.lstrip())
    (copy / "mer_jax/models/lastframenet.py").write_text(LAST_FRAME_NET.lstrip())
    assert run_conformance(copy, "-k", "FrameMean or LastFrameNet") >= 25


def test_a_model_in_a_wrong_file_is_found(copy):
    wrong = copy / "mer_jax/models/framegain.py"
    wrong.write_text((copy / FILES[1]).read_text().replace("class FrameGain3DNet", "class LostNet"))
    done = run(copy, *PYTEST, "-k", "found_by_its_file")
    wrong.unlink()
    assert done.returncode == 1
    assert re.search(r"network LostNet belongs into .*mer_jax/models/lostnet\.py", done.stdout)


USE = """
import jax
import mer_jax
from experiments.config_files import find_config, load_config, override

experiment = load_config(find_config("smic_fg.py"))
experiment.validate()
model = override(experiment, "model.features", "4").model
assert type(model) is mer_jax.models.FrameGain3DNet is mer_jax.models.find_model("framegain3dnet")
half = jax.ShapeDtypeStruct((2, experiment.vision.num_frames, 64, 128, 1), "float32")
init = lambda *halves: model.init_with_output(jax.random.key(0), *halves, is_training=False)
logits, variables = jax.eval_shape(init, half, half)
assert logits.shape == (2, 3)
assert variables["params"]["upper"]["attention"]["gain"].shape == (4, 1, 1, 1)
assert variables["params"]["upper"]["conv"]["bias"].shape == (4,)
"""


def test_the_example_of_an_experiment_is_found_and_can_be_overridden(copy):
    done = run(copy, "-c", USE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("action", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_examples_are_in_the_style_of_the_repository(copy, action):
    style = run(copy, "-m", "ruff", *action, "--config", str(ROOT / "pyproject.toml"), *FILES)
    assert style.returncode == 0, style.stdout
