"""STSTNet on SAMM: motion from onset to apex, the apex annotated.

python -m experiments.run --config samm_stst.py
"""

from mer_jax.config import Experiment
from mer_jax.models import STSTNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="samm_stst",
        corpus="samm",
        model=STSTNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
