"""Motion features in a tight box and a balanced logistic regression: the classifier of the shipped weights.

    python -m experiments.run --config surrogate_motion.py --manual_dir DIR
    python -m experiments.surrogate_motion --out DIR

The first command trains on the people in DIR under LOSO; with --pretrained the weights are pulled towards the shipped
ones instead of towards 0. The second one makes the shipped weights again, by RECIPE: taught by rendered people, never
by a recording. For motion features that others have prepared, add --config.variant=flow_features to the first.

Purpose: weights that may be passed on, and what a laboratory's own people add to them.
Time: 13 minutes of processor time to make the weights again, from nothing (2026-11-26).
Expect: not known on a licensed copy. docs/surrogate_motion.md has what was measured on rendered people of another
laboratory. Always answering negative gives .566 (250 of 442 clips).
"""

from experiments.surrogate_motion import Recipe
from mer_jax.baselines import StandardFlow
from mer_jax.config import Experiment
from mer_jax.vision.options import VisionOptions

RECIPE = Recipe()


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="surrogate_motion",
        corpus="megc2019",
        model=StandardFlow(),
        vision=VisionOptions(num_frames=2, sampling="apex", mask="none", crop="eyes"),
        protocols=("loso",),
        validation_share=0.0,
        selection="last",
        surrogate_difficulty="real",
        surrogate_version=2,
    )
