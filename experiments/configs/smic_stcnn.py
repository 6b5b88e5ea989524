"""MicroExpSTCNN on SMIC (HS).

python -m experiments.run --config smic_stcnn.py
"""

from mer_jax.config import Experiment
from mer_jax.models import MicroExpSTCNN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_stcnn", corpus="smic", model=MicroExpSTCNN(), vision=VisionOptions())
