"""The late MicroExpFuseNet on CAS(ME)^2.

python -m experiments.run --config casme_squared_fusel.py
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_fusel", corpus="casme_squared", model=LateMicroExpFuseNet(), vision=VisionOptions()
    )
