"""MicroExpSTCNN on SAMM.

python -m experiments.run --config samm_stcnn.py
"""

from mer_jax.config import Experiment
from mer_jax.models import MicroExpSTCNN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_stcnn", corpus="samm", model=MicroExpSTCNN(), vision=VisionOptions())
