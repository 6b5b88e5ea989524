"""STSTNet on CAS(ME)^2: motion from onset to apex, the apex annotated.

python -m experiments.run --config casme_squared_stst.py
"""

from mer_jax.config import Experiment
from mer_jax.models import STSTNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_stst",
        corpus="casme_squared",
        model=STSTNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
