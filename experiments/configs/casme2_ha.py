"""Hybrid Attention-3DNet on CASME II.

python -m experiments.run --config casme2_ha.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_ha", corpus="casme2", model=HybridAttention3DNet(), vision=VisionOptions())
