"""Hybrid Attention-3DSENet on SMIC (HS).

python -m experiments.run --config smic_hase.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_hase", corpus="smic", model=HybridAttention3DSENet(), vision=VisionOptions())
