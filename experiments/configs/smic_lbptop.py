"""LBP-TOP and a linear classifier on SMIC (HS).

python -m experiments.run --config smic_lbptop.py
"""

from mer_jax.baselines import LbpTop
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_lbptop",
        corpus="smic",
        model=LbpTop(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
