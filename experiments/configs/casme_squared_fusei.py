"""The intermediate MicroExpFuseNet on CAS(ME)^2.

python -m experiments.run --config casme_squared_fusei.py
"""

from mer_jax.config import Experiment
from mer_jax.models import IntermediateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_fusei", corpus="casme_squared", model=IntermediateMicroExpFuseNet(), vision=VisionOptions()
    )
