"""Motion features and a linear classifier on SMIC (HS).

What a network has to beat. Onset to apex, the apex spotted.

python -m experiments.run --config smic_linear.py
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_linear",
        corpus="smic",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject", "loso"),
    )
