"""CapsuleNet on SMIC (HS).

    python -m experiments.run --config smic_caps.py

Purpose: what the apex frame alone tells, without any motion; the apex is spotted. Batch, epochs and first learning
rate are the authors'; theirs falls by a tenth with each epoch, here as a cosine. They draw neighbours of the apex until
classes are equal, here classes are weighted. They choose the epoch by the test.
Time: at most 7 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .335 under `subject`, which is chance, on the SURROGATE (medium, seed 0); not run on a licensed copy.
Always answering negative gives .427 (70 of 164 clips). An apex alone does not show what has moved.
"""

from mer_jax.config import Experiment, Optimization
from mer_jax.models import CapsuleNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_caps",
        corpus="smic",
        model=CapsuleNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=30,
        min_epochs=10,
        learning_rate=1e-4,
        optimization=Optimization(schedule="cosine"),
        class_weights="normalized",
    )
