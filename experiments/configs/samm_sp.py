"""The single-path baseline on SAMM.

python -m experiments.run --config samm_sp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_sp", corpus="samm", model=SinglePath3DNet(), vision=VisionOptions())
