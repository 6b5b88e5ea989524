"""GridFlowNet on CAS(ME)^2.

    python -m experiments.run --config casme_squared_gf.py

Purpose: our own contender: whether a small network of the face's halves does as well as a classifier of motion
features.
Time: at most 22 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_gf",
        corpus="casme_squared",
        model=GridFlowNet(),
        vision=VisionOptions(mask="none"),
        normalization="gray",
    )
