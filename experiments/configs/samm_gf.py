"""GridFlowNet on SAMM.

python -m experiments.run --config samm_gf.py
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="samm_gf", corpus="samm", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
