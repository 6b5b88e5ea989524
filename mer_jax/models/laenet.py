"""LAENet, with choices of this project's own."""

from typing import ClassVar

from jaxtyping import Array, Num

from mer_jax.blocks.region import UNFIT_CROPS, blank_eyes
from mer_jax.data.views import check_motion
from mer_jax.models.ststnet import STSTNet
from mer_jax.typing import Logits


class LAENet(STSTNet):
    """STSTNet over motion features whose eyes are blanked, so that a blink or a glance says nothing.

    Built with own choices: the publication was at hand as an abstract only, which names STSTNet as what it extends, a
    mask over the eyes, and pre-training on macro-expressions.

    Parameters: 1,683 with 3 classes.
    Collections: `params`, `batch_stats`. Rngs: `dropout` when training.

    Source: Gan et al., "LAENet for micro-expression recognition", The Visual Computer 40, 2024
    (10.1007/s00371-023-02803-3), abstract.
    Differs: own choices: layers are those of our STSTNet, without whatever the publication adds to them; the eyes are
    two rectangles, set to no motion, where they lie in the crop `onset`, and not in the crop `eyes`. No pre-training on
    macro-expressions.
    """

    unfit_crops: ClassVar[tuple[str, ...]] = UNFIT_CROPS

    def __call__(self, motion: Num[Array, "..."], *, is_training: bool) -> Logits:
        """Maps the motion features of each clip to logits, see `STSTNet`."""
        check_motion(motion)
        return super().__call__(blank_eyes(motion), is_training=is_training)
