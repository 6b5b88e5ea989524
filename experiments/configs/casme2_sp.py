"""The single-path baseline on CASME II.

python -m experiments.run --config casme2_sp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_sp", corpus="casme2", model=SinglePath3DNet(), vision=VisionOptions())
