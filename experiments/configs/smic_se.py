"""Squeeze-and-Excitation-3DNet on SMIC (HS).

    python -m experiments.run --config smic_se.py

Purpose: the paper's variant with squeeze-and-excitation in each path instead of hybrid attention.
Time: at most 16 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .774 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips). The paper prints an accuracy of .9210, with copies of test
clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_se", corpus="smic", model=SqueezeExcitation3DNet(), vision=VisionOptions())
