"""The late MicroExpFuseNet on SAMM.

python -m experiments.run --config samm_fusel.py
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_fusel", corpus="samm", model=LateMicroExpFuseNet(), vision=VisionOptions())
