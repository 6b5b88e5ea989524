"""OFF-ApexNet on CASME II: motion from onset to apex, the apex annotated.

python -m experiments.run --config casme2_oa.py
"""

from mer_jax.config import Experiment
from mer_jax.models import OffApexNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme2_oa",
        corpus="casme2",
        model=OffApexNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
