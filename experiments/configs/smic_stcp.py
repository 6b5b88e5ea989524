"""STCP-Net on SMIC (HS).

    python -m experiments.run --config smic_stcp.py

Purpose: capsules over the differences of five frames to the onset. No apex is needed. The training is ours.
Time: at most 6 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .866 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always answering
negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import STCPNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_stcp",
        corpus="smic",
        model=STCPNet(),
        vision=VisionOptions(num_frames=18, mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=60,
        learning_rate=3e-4,
        class_weights="normalized",
    )
