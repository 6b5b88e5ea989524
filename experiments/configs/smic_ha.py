"""Hybrid Attention-3DNet on SMIC (HS).

    python -m experiments.run --config smic_ha.py

Purpose: the network that the paper proposes: two paths with spatial and temporal attention. The experiment of
`make run`.
Time: at most 16 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .805 under `subject`, about .805 under `loso`, .918 under `paper`, on the SURROGATE (medium, seed 0);
not run on a licensed copy. Always answering negative gives .427 (70 of 164 clips). The paper prints an accuracy
of .9342, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_ha", corpus="smic", model=HybridAttention3DNet(), vision=VisionOptions())
