"""The single-path baseline on SMIC (HS).

    python -m experiments.run --config smic_sp.py

Purpose: the one-path network that table 2 of the paper compares with; its layers are not published, so their
sizes are ours.
Time: at most 11 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .756 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips). The paper prints an accuracy of .9149, with copies of test
clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_sp", corpus="smic", model=SinglePath3DNet(), vision=VisionOptions())
