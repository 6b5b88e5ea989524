"""GridFlowNet on SMIC (HS).

python -m experiments.run --config smic_gf.py
"""

from mer_jax.config import Experiment
from mer_jax.models import GridFlowNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_gf", corpus="smic", model=GridFlowNet(), vision=VisionOptions(mask="none"), normalization="gray"
    )
