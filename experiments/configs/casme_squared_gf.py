"""GridFlowNet on CAS(ME)^2.

python -m experiments.run --config casme_squared_gf.py
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
