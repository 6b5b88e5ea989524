"""SE-DenseNet-T on SMIC (HS).

    python -m experiments.run --config smic_sedense.py

Purpose: a 3D DenseNet on magnified clips about the apex, which is spotted. The paper reports an accuracy of .9512 on
SMIC, with a division that its abstract does not name. Magnification and training are ours.
Time: at most 8 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .677 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always answering
negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import SEDenseNetT
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_sedense",
        corpus="smic",
        model=SEDenseNetT(),
        vision=VisionOptions(num_frames=18, sampling="apex", mask="none", magnification=10.0),
        protocols=("subject",),
        batch_size=32,
        epochs=60,
    )
