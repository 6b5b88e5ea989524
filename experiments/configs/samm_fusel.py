"""The late MicroExpFuseNet on SAMM.

    python -m experiments.run --config samm_fusel.py

Purpose: a likely ancestor of the paper's networks (Reddy et al., IJCNN 2019): eyes and mouth in two paths,
joined after the dense layers.
Time: at most 14 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.692 (92 of 133 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="samm_fusel", corpus="samm", model=LateMicroExpFuseNet(), vision=VisionOptions())
