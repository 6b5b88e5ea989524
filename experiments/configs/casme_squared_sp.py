"""The single-path baseline on CAS(ME)^2.

    python -m experiments.run --config casme_squared_sp.py

Purpose: the one-path network that table 2 of the paper compares with; its layers are not published, so their
sizes are ours.
Time: at most 49 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips). The paper prints an accuracy of .9275, with copies of test clips in training.
"""

from mer_jax.config import Experiment
from mer_jax.models import SinglePath3DNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="casme_squared_sp", corpus="casme_squared", model=SinglePath3DNet(), vision=VisionOptions())
