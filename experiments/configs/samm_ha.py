"""Hybrid Attention-3DNet on SAMM.

    python -m experiments.run --config samm_ha.py

Purpose: the network that the paper proposes: two paths with spatial and temporal attention.
Time: at most 19 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips). The paper prints an accuracy of .9361, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_ha", corpus="samm", model=HybridAttention3DNet(), vision=VisionOptions())
