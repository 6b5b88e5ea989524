"""Motion features and a linear classifier on CASME II.

    python -m experiments.run --config casme2_linear.py

Purpose: the baseline that a network has to beat; motion from onset to apex; the apex is annotated.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.612 (90 of 147 clips).
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_linear",
        corpus="casme2",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject", "loso"),
    )
