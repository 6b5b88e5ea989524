"""Hybrid Attention-3DSENet on CASME II.

python -m experiments.run --config casme2_hase.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_hase", corpus="casme2", model=HybridAttention3DSENet(), vision=VisionOptions())
