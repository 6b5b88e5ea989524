"""STSTNet on the composite of MEGC 2019.

    python -m experiments.run --config megc2019_stst.py --manual_dir DIR

DIR holds the three corpora. For motion features that others have prepared, add --config.variant=flow_features;
DIR is then their folder.

Purpose: a tiny network of the motion from onset to apex, to compare with networks of whole clips; the apex is
annotated, and spotted in SMIC. Batch, epochs and learning rate are those of its authors, who neither weight classes nor
mirror clips, and test the last epoch.
Time: at most 14 minutes of training on two cores (benchmarks.configs, 2026-11-27).
Expect: not known: it was run neither on the surrogate nor on a licensed copy. Always answering negative gives
.566 (250 of 442 clips). Its authors print a UF1 of .7353 under `loso`; the UAR of their predictions is .7186,
not the printed .7605. Their PyTorch version gives .7209 and .7250.
"""

from mer_jax.config import Augmentation, Experiment
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
        augment=Augmentation(mirror=0.0),
        batch_size=256,
        epochs=800,
        learning_rate=5e-5,
        class_weights="none",
        selection="last",
        validation_share=0.0,
    )
