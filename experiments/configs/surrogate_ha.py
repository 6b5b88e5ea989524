"""Hybrid Attention-3DNet pretrained on rendered people (SURROGATE).

    python -m experiments.surrogate_faces --out DIR
    python -m experiments.run --config surrogate_ha.py --manual_dir DIR --pretrained DIR

The first command makes the weights, by RECIPE: rendered people in four laboratories, each of which is left out once.
Blur, noise, compression, size and frame rate differ from clip to clip; place, size and angle of the face box, light and
speed change in training. The second one trains on the people of SMIC, every fold from these weights; without
--pretrained, the same from nothing.

Purpose: weights of a network that may be passed on, and what they add to a laboratory's own people.
Time: at most 2 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: not known on a licensed copy. With `--people 6`, UF1 .534 (.438 to .627) on rendered people of laboratories that
were left out, far below the motion features (SURROGATE; docs/surrogate_motion.md). Always answering negative gives .427
(70 of 164 clips).
"""

from experiments.surrogate_faces import FacesRecipe
from mer_jax.config import Augmentation, Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions

RECIPE = FacesRecipe()


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="surrogate_ha",
        corpus="smic",
        model=HybridAttention3DNet(),
        vision=VisionOptions(),
        protocols=("loso",),
        batch_size=16,
        epochs=30,
        min_epochs=10,
        patience=10,
        class_weights="normalized",
        augment=Augmentation(shift=0.05, zoom=0.08, speed=0.3),
        surrogate_difficulty="real",
        surrogate_version=2,
    )
