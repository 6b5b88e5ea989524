"""Small clips whose class is a motion that can be seen, and a network that compiles in a moment."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from mer_jax.blocks.conv_pool import Convolution
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.models.hybridattention3dnet import HybridAttention3DNet
from mer_jax.vision.options import VisionOptions

CLIPS_OF_EACH = (6, 9, 3, 7, 5, 6)  # people have unequal numbers of clips, so folds are padded


NET_OF_THE_PAPER = HybridAttention3DNet(
    conv=Convolution(4, (2, 3, 3), (2, 16, 16)), path_dense=16, fusion_dense=16, dropout=0.2
)


def make_clips(sizes=CLIPS_OF_EACH, seed=0):
    """Class 0: a spot moves in the upper half, 1: in the lower, 2: nothing moves. `sizes`: clips of each person."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    faces = np.repeat(rng.integers(60, 120, (n, 1, 128, 128)), 6, axis=1).astype(np.int16)
    label = np.arange(n) % 3
    for i in range(n):
        for t in range(6):
            row = {0: 30, 1: 90, 2: None}[label[i]]
            if row is not None:
                faces[i, t, row : row + 16, 40 + 3 * t : 60 + 3 * t] += 60
    faces = np.clip(faces + rng.integers(-3, 4, faces.shape), 0, 255).astype(np.uint8)
    return Clips(
        pictures=faces,
        label=label.astype(np.int32),
        subject=tuple(f"s{number}" for number, size in enumerate(sizes) for _ in range(size)),
        clip_id=tuple(f"c{i:03d}" for i in range(n)),
        corpus=("toy",) * n,
        class_names=("upper", "lower", "still"),
        provenance="surrogate",
        fingerprint="toy",
        corpus_name="toy",
    )


class SmallNet(nn.Module):
    """Sees every eighth pixel; compiled in a moment."""

    view: ClassVar[str] = "halves"
    num_classes: int = 3
    batch_norm: bool = False
    blow_up: float = 1.0  # factor of the logits

    @nn.compact
    def __call__(self, upper, lower, *, is_training):
        x = jnp.concatenate([upper, lower], axis=-3)[:, 1::2, ::8, ::8]
        if self.batch_norm:
            x = nn.BatchNorm(use_running_average=not is_training, momentum=0.5)(x)
        x = nn.relu(nn.Dense(16)(x.reshape(x.shape[0], -1)))
        return self.blow_up * nn.Dense(self.num_classes)(nn.Dropout(0.2, deterministic=not is_training)(x))


def make_experiment(**fields):
    defaults = {"batch_size": 12, "epochs": 6, "epochs_per_chunk": 2, "min_epochs": 0, "patience": 0}
    defaults.update(num_folds=3, num_copies=1)
    defaults["model"] = SmallNet()
    return Experiment(name="toy", corpus="toy", vision=VisionOptions(), **{**defaults, **fields})
