"""The intermediate MicroExpFuseNet on SAMM.

python -m experiments.run --config samm_fusei.py
"""

from mer_jax.config import Experiment
from mer_jax.models import IntermediateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_fusei", corpus="samm", model=IntermediateMicroExpFuseNet(), vision=VisionOptions())
