"""DBMNet on SMIC (HS), built with own choices.

    python -m experiments.run --config smic_dbmnet.py

Purpose: BDCN's tiles at three scales, without its augmentation; the apex is spotted.
Time: at most 3 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .884 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always answering
negative gives .427 (70 of 164 clips). The paper prints an F1 of .6494 on SAMM and .6653 on CASME II, and none on SMIC.
"""

from mer_jax.config import Experiment
from mer_jax.models import DBMNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_dbmnet",
        corpus="smic",
        model=DBMNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=100,
    )
