"""Hybrid Attention-3DNet on CAS(ME)^2.

    python -m experiments.run --config casme_squared_ha.py

Purpose: the network that the paper proposes: two paths with spatial and temporal attention.
Time: at most 61 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips). The paper prints an accuracy of .9395, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_ha", corpus="casme_squared", model=HybridAttention3DNet(), vision=VisionOptions()
    )
