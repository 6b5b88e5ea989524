"""Squeeze-and-Excitation-3DNet on CASME II.

    python -m experiments.run --config casme2_se.py

Purpose: the paper's variant with squeeze-and-excitation in each path instead of hybrid attention.
Time: at most 20 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.612 (90 of 147 clips). The paper prints an accuracy of .9338, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_se", corpus="casme2", model=SqueezeExcitation3DNet(), vision=VisionOptions())
