"""Dual Path-3DNet on SMIC (HS).

python -m experiments.run --config smic_dp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import DualPath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_dp", corpus="smic", model=DualPath3DNet(), vision=VisionOptions())
