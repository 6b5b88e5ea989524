"""LAENet on SMIC (HS), built with own choices.

    python -m experiments.run --config smic_laenet.py

Purpose: STSTNet without the eyes, to see what blinks and glances do to it; the apex is spotted.
Time: at most 1 minute of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .854 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips). Its abstract prints an
accuracy of .7919 on the composite of MEGC 2019.
"""

from mer_jax.config import Experiment
from mer_jax.models import LAENet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_laenet",
        corpus="smic",
        model=LAENet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
