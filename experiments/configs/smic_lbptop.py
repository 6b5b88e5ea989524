"""LBP-TOP and a linear classifier on SMIC (HS).

    python -m experiments.run --config smic_lbptop.py

Purpose: the field's hand-crafted texture baseline.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .683 under `subject`, .707 under `loso`, on the SURROGATE (medium, seed 0); not run on a
licensed copy. Always answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.baselines import LbpTop
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_lbptop",
        corpus="smic",
        model=LbpTop(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
