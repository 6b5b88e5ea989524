"""OFF-ApexNet on the composite of MEGC 2019: motion from onset to apex, the apex annotated, and spotted in SMIC.

python -m experiments.run --config megc2019_oa.py --manual_dir DIR

DIR holds the three corpora. For motion features that others have prepared, add
--config.variant=flow_features; DIR is then their folder.
"""

from mer_jax.config import Experiment
from mer_jax.models import OffApexNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="megc2019_oa",
        corpus="megc2019",
        model=OffApexNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("loso",),
    )
