"""The single-path baseline on SMIC (HS).

python -m experiments.run --config smic_sp.py
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_sp", corpus="smic", model=SinglePath3DNet(), vision=VisionOptions())
