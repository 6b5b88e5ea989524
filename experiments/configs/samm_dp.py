"""Dual Path-3DNet on SAMM.

python -m experiments.run --config samm_dp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import DualPath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_dp", corpus="samm", model=DualPath3DNet(), vision=VisionOptions())
