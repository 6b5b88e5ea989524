"""STSTNet on the composite of MEGC 2019: motion from onset to apex, the apex annotated, and spotted in SMIC.

python -m experiments.run --config megc2019_stst.py --manual_dir DIR

DIR holds the three corpora. For motion features that others have prepared, add
--config.variant=flow_features; DIR is then their folder.
"""

from mer_jax.config import Experiment
from mer_jax.models import STSTNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="megc2019_stst",
        corpus="megc2019",
        model=STSTNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("loso",),
    )
