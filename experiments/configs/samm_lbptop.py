"""LBP-TOP and a linear classifier on SAMM.

    python -m experiments.run --config samm_lbptop.py

Purpose: the field's hand-crafted texture baseline.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips).
"""

from mer_jax.baselines import LbpTop
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="samm_lbptop",
        corpus="samm",
        model=LbpTop(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
