"""Hybrid Attention-3DSENet on SAMM.

    python -m experiments.run --config samm_hase.py

Purpose: the paper's variant with hybrid attention and squeeze-and-excitation.
Time: at most 15 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips). The paper prints an accuracy of .9344, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_hase", corpus="samm", model=HybridAttention3DSENet(), vision=VisionOptions())
