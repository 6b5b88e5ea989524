"""The late MicroExpFuseNet on SMIC (HS).

python -m experiments.run --config smic_fusel.py
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_fusel", corpus="smic", model=LateMicroExpFuseNet(), vision=VisionOptions())
