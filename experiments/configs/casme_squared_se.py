"""Squeeze-and-Excitation-3DNet on CAS(ME)^2.

python -m experiments.run --config casme_squared_se.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SqueezeExcitation3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_se", corpus="casme_squared", model=SqueezeExcitation3DNet(), vision=VisionOptions()
    )
