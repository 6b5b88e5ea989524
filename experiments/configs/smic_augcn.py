"""AU-GCN on SMIC (HS).

    python -m experiments.run --config smic_augcn.py

Purpose: patches around landmarks in twelve frames, and a graph of action units. SMIC has none, so the edges of the
graph are those of prototypic emotions. No apex is needed. Batch, epochs and learning rate are the authors'; they choose
the epoch by the training accuracy, here it is the last one, and vary the magnification in training, where here clips
are mirrored.
Time: at most 4 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: accuracy .610, UF1 .617 under `subject`, on the SURROGATE (medium, seed 0); not run on a licensed copy. Always
answering negative gives .427 (70 of 164 clips).
"""

from mer_jax.config import Experiment
from mer_jax.models import AUGCN
from mer_jax.vision.options import VisionOptions


def get_config() -> Experiment:
    """The experiment."""
    return Experiment(
        name="smic_augcn",
        corpus="smic",
        model=AUGCN(),
        vision=VisionOptions(num_frames=18, mask="none"),
        protocols=("subject",),
        batch_size=32,
        epochs=25,
        min_epochs=0,
        learning_rate=1e-4,
        class_weights="none",
        selection="last",
    )
