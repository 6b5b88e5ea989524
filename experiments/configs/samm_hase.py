"""Hybrid Attention-3DSENet on SAMM.

python -m experiments.run --config samm_hase.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_hase", corpus="samm", model=HybridAttention3DSENet(), vision=VisionOptions())
