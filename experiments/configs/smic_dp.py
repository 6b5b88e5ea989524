"""Dual Path-3DNet on SMIC (HS).

    python -m experiments.run --config smic_dp.py

Purpose: the paper's two paths without attention, which `ha`, `se` and `hase` have to improve on.
Time: at most 13 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .805 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips). The paper prints an accuracy of .9155, with copies of test
clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import DualPath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_dp", corpus="smic", model=DualPath3DNet(), vision=VisionOptions())
