"""The late MicroExpFuseNet on CAS(ME)^2.

    python -m experiments.run --config casme_squared_fusel.py

Purpose: a likely ancestor of the paper's networks (Reddy et al., IJCNN 2019): eyes and mouth in two paths,
joined after the dense layers.
Time: at most 25 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_fusel", corpus="casme_squared", model=LateMicroExpFuseNet(), vision=VisionOptions()
    )
