"""Squeeze-and-Excitation-3DNet on CASME II.

python -m experiments.run --config casme2_se.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_se", corpus="casme2", model=SqueezeExcitation3DNet(), vision=VisionOptions())
