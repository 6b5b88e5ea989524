"""Motion features and a linear classifier on CAS(ME)^2.

What a network has to beat. Onset to apex, the apex annotated.

python -m experiments.run --config casme_squared_linear.py
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_linear",
        corpus="casme_squared",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject", "loso"),
    )
