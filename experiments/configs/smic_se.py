"""Squeeze-and-Excitation-3DNet on SMIC (HS).

python -m experiments.run --config smic_se.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_se", corpus="smic", model=SqueezeExcitation3DNet(), vision=VisionOptions())
