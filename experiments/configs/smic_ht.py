"""HTNet on SMIC (HS), the small preset.

    python -m experiments.run --config smic_ht.py

Purpose: a transformer over four facial areas of the motion from onset to apex; the apex is spotted. Batch, epochs and
learning rate are the authors'; they choose the epoch by the test, which is not done here, and do not weight classes.
As published, 139.6 M parameters: --config.model.dim=256 --config.model.heads=3 --config.model.repeats="(2, 2, 10)".
Time: at most 8 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .817 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always answering
negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import HTNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_ht",
        corpus="smic",
        model=HTNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
        batch_size=256,
        epochs=800,
        learning_rate=5e-5,
        min_epochs=200,
        patience=100,
    )
