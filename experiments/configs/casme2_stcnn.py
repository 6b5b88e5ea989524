"""MicroExpSTCNN on CASME II.

python -m experiments.run --config casme2_stcnn.py
"""

from mer_jax.config import Experiment
from mer_jax.models import MicroExpSTCNN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme2_stcnn", corpus="casme2", model=MicroExpSTCNN(), vision=VisionOptions())
