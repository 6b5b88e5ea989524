"""GridFlowNet on CASME II.

python -m experiments.run --config casme2_gf.py
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_gf", corpus="casme2", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
