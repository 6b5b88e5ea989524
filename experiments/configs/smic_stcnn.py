"""MicroExpSTCNN on SMIC (HS).

    python -m experiments.run --config smic_stcnn.py

Purpose: a likely ancestor of the paper's networks (Reddy et al., IJCNN 2019): one 3D convolution over the whole
face.
Time: at most 8 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .774 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import MicroExpSTCNN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_stcnn", corpus="smic", model=MicroExpSTCNN(), vision=VisionOptions())
