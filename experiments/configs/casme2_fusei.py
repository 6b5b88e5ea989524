"""The intermediate MicroExpFuseNet on CASME II.

python -m experiments.run --config casme2_fusei.py
"""

from mer_jax.config import Experiment
from mer_jax.models import IntermediateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_fusei", corpus="casme2", model=IntermediateMicroExpFuseNet(), vision=VisionOptions())
