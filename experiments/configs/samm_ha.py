"""Hybrid Attention-3DNet on SAMM.

python -m experiments.run --config samm_ha.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_ha", corpus="samm", model=HybridAttention3DNet(), vision=VisionOptions())
