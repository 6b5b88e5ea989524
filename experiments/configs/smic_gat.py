"""EdgeNodeGAT on SMIC (HS).

    python -m experiments.run --config smic_gat.py

Purpose: a graph of landmarks in three frames whose edges have features. No apex is needed. The training is ours.
Time: at most 13 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: not known: it was not run. Always answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import EdgeNodeGAT
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_gat",
        corpus="smic",
        model=EdgeNodeGAT(),
        vision=VisionOptions(num_frames=18, mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=200,
    )
