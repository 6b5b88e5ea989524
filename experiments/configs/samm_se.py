"""Squeeze-and-Excitation-3DNet on SAMM.

python -m experiments.run --config samm_se.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_se", corpus="samm", model=SqueezeExcitation3DNet(), vision=VisionOptions())
