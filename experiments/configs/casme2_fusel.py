"""The late MicroExpFuseNet on CASME II.

python -m experiments.run --config casme2_fusel.py
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_fusel", corpus="casme2", model=LateMicroExpFuseNet(), vision=VisionOptions())
