"""The late MicroExpFuseNet on SMIC (HS).

    python -m experiments.run --config smic_fusel.py

Purpose: a likely ancestor of the paper's networks (Reddy et al., IJCNN 2019): eyes and mouth in two paths,
joined after the dense layers.
Time: at most 13 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: accuracy .793 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import LateMicroExpFuseNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(name="smic_fusel", corpus="smic", model=LateMicroExpFuseNet(), vision=VisionOptions())
