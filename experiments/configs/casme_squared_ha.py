"""Hybrid Attention-3DNet on CAS(ME)^2.

python -m experiments.run --config casme_squared_ha.py
"""

from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_ha", corpus="casme_squared", model=HybridAttention3DNet(), vision=VisionOptions()
    )
