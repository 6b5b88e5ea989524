"""LBP-TOP and a linear classifier on CASME II.

python -m experiments.run --config casme2_lbptop.py
"""

from mer_jax.baselines import LbpTop
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_lbptop",
        corpus="casme2",
        model=LbpTop(),
        vision=VisionOptions(mask="none"),
        protocols=("subject", "loso"),
    )
