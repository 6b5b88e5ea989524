"""The single-path baseline on CAS(ME)^2.

python -m experiments.run --config casme_squared_sp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme_squared_sp", corpus="casme_squared", model=SinglePath3DNet(), vision=VisionOptions())
