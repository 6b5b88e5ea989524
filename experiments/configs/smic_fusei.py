"""The intermediate MicroExpFuseNet on SMIC (HS).

python -m experiments.run --config smic_fusei.py
"""

from mer_jax.config import Experiment
from mer_jax.models import IntermediateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_fusei", corpus="smic", model=IntermediateMicroExpFuseNet(), vision=VisionOptions())
