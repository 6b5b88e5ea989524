"""MicroExpSTCNN on CAS(ME)^2.

python -m experiments.run --config casme_squared_stcnn.py
"""

from mer_jax.config import Experiment
from mer_jax.models import MicroExpSTCNN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme_squared_stcnn", corpus="casme_squared", model=MicroExpSTCNN(), vision=VisionOptions())
