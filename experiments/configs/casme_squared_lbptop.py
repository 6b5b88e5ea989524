"""LBP-TOP and a linear classifier on CAS(ME)^2.

    python -m experiments.run --config casme_squared_lbptop.py

Purpose: the field's hand-crafted texture baseline.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips).
"""

from mer_jax.baselines import LbpTop
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_lbptop",
        corpus="casme_squared",
        model=LbpTop(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
