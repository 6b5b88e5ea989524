"""GridFlowNet on SMIC (HS).

    python -m experiments.run --config smic_gf.py

Purpose: our own contender: whether a small network of the face's halves does as well as a classifier of motion
features.
Time: at most 6 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .872 under `subject`, .902 under `loso`, on the SURROGATE (medium, seed 0); not run on a
licensed copy. Always answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_gf", corpus="smic", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
