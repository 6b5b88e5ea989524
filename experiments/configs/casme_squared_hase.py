"""Hybrid Attention-3DSENet on CAS(ME)^2.

python -m experiments.run --config casme_squared_hase.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DSENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_hase", corpus="casme_squared", model=HybridAttention3DSENet(), vision=VisionOptions()
    )
