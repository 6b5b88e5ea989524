"""The single-path baseline on SAMM.

    python -m experiments.run --config samm_sp.py

Purpose: the one-path network that table 2 of the paper compares with; its layers are not published, so their
sizes are ours.
Time: at most 12 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips). The paper prints an accuracy of .9220, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_sp", corpus="samm", model=SinglePath3DNet(), vision=VisionOptions())
