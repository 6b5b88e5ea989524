"""Motion features and a linear classifier on SMIC (HS).

    python -m experiments.run --config smic_linear.py

Purpose: the baseline that a network has to beat; motion from onset to apex; the apex is spotted.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .915 under `subject`, .890 under `loso`, on the SURROGATE (medium, seed 0); not run on a
licensed copy. Always answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_linear",
        corpus="smic",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject", "loso"),
    )
