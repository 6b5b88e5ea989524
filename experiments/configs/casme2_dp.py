"""Dual Path-3DNet on CASME II.

python -m experiments.run --config casme2_dp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import DualPath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_dp", corpus="casme2", model=DualPath3DNet(), vision=VisionOptions())
