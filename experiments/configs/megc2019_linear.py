"""Motion features and a linear classifier on the composite of MEGC 2019.

    python -m experiments.run --config megc2019_linear.py --manual_dir DIR

DIR holds the three corpora. For motion features that others have prepared, add --config.variant=flow_features;
DIR is then their folder.

Purpose: the baseline that a network has to beat; motion from onset to apex; the apex is annotated, and spotted
in SMIC.
Time: at most 8 minutes of training on two cores (benchmarks.configs, 2026-11-26).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.566 (250 of 442 clips).
"""

from mer_jax.baselines import LinearFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="megc2019_linear",
        corpus="megc2019",
        model=LinearFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none"),
        protocols=("loso",),
    )
