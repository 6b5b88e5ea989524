"""Dual-ATME on SMIC (HS).

    python -m experiments.run --config smic_dualatme.py

Purpose: a small network of today whose authors test the last epoch; the apex is spotted. Loss, learning rate, epochs
and batch are the authors'; their rate halves every 10 epochs, ours falls by a cosine.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .835 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment, Optimization
from mer_jax.models import DualATME
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_dualatme",
        corpus="smic",
        model=DualATME(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
        batch_size=128,
        epochs=60,
        min_epochs=0,
        selection="last",
        class_weights="none",
        optimization=Optimization(loss="focal", schedule="cosine"),
    )
