"""OFF-ApexNet on CAS(ME)^2.

    python -m experiments.run --config casme_squared_oa.py

Purpose: a small network of the motion from onset to apex, to compare with networks of whole clips; the apex is
annotated.
Time: at most 13 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering happy gives .468
(167 of 357 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import OffApexNet
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="casme_squared_oa",
        corpus="casme_squared",
        model=OffApexNet(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("subject",),
    )
