"""Hybrid Attention-3DSENet on SMIC (HS).

    python -m experiments.run --config smic_hase.py

Purpose: the paper's variant with hybrid attention and squeeze-and-excitation.
Time: at most 17 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .780 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips). The paper prints an accuracy of .9272, with copies of test
clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_hase", corpus="smic", model=HybridAttention3DSENet(), vision=VisionOptions())
