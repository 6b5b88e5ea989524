"""OFF-ApexNet on SMIC (HS): motion from onset to apex, the apex spotted.

python -m experiments.run --config smic_oa.py
"""

from mer_jax.config import Experiment
from mer_jax.models import OffApexNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_oa",
        corpus="smic",
        model=OffApexNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
