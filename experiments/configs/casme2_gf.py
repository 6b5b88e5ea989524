"""GridFlowNet on CASME II.

    python -m experiments.run --config casme2_gf.py

Purpose: our own contender: whether a small network of the face's halves does as well as a classifier of motion
features.
Time: at most 4 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.612 (90 of 147 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_gf", corpus="casme2", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
