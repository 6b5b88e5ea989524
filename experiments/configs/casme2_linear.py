"""Motion features and a linear classifier on CASME II.

What a network has to beat. Onset to apex, the apex annotated.

python -m experiments.run --config casme2_linear.py
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_linear",
        corpus="casme2",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject", "loso"),
    )
