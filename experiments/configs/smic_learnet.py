"""LEARNet on SMIC (HS).

    python -m experiments.run --config smic_learnet.py

Purpose: a network of the dynamic image, the first row of the paper's Table 4. The authors' code does not train; Adam
and 100 epochs at most are ours.
Time: at most 16 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: not known: it was not run. Always answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import LEARNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_learnet",
        corpus="smic",
        model=LEARNet(),
        vision=VisionOptions(mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=100,
    )
