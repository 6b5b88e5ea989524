"""GridFlowNet on SAMM.

    python -m experiments.run --config samm_gf.py

Purpose: our own contender: whether a small network of the face's halves does as well as a classifier of motion
features.
Time: at most 9 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="samm_gf", corpus="samm", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
