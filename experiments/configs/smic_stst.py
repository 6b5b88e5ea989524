"""STSTNet on SMIC (HS).

    python -m experiments.run --config smic_stst.py

Purpose: a tiny network of the motion from onset to apex, to compare with networks of whole clips; the apex is
spotted.
Time: at most 2 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .860 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import STSTNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_stst",
        corpus="smic",
        model=STSTNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
