"""Hybrid Attention-3DNet on SMIC (HS).

python -m experiments.run --config smic_ha.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_ha", corpus="smic", model=HybridAttention3DNet(), vision=VisionOptions())
