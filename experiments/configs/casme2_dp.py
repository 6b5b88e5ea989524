"""Dual Path-3DNet on CASME II.

    python -m experiments.run --config casme2_dp.py

Purpose: the paper's two paths without attention, which `ha`, `se` and `hase` have to improve on.
Time: at most 13 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.612 (90 of 147 clips). The paper prints an accuracy of .9335, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import DualPath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_dp", corpus="casme2", model=DualPath3DNet(), vision=VisionOptions())
