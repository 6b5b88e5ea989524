"""MSFME-IR, with choices of this project's own: motion magnification, LPQ-TOP and a linear classifier."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from mer_jax.baselines.linear_svc import fit_predict_svc, fit_svc
from mer_jax.baselines.lpq_top import lpq_top
from mer_jax.errors import ConfigError
from mer_jax.vision.magnification import magnify_motion
from mer_jax.vision.options import MAX_MAGNIFICATION


@dataclasses.dataclass(kw_only=True)
class MSFMEIR:
    """Eulerian motion magnification, histograms of local phase quantisation on three planes, and a linear SVC.

    Built with own choices: the publication was at hand as an abstract only, which names the three stages.

    Attributes:
        num_classes: Number of classes k.
        magnification: Factor of the magnification, 0 to 100; 0 is off. Clips that are magnified already want 0.
        blocks: Rows and columns of blocks; each spans all frames.
        window: Height and width of the window of the local phase, in pixels, odd.
        window_t: Its length along the frames, odd.
        correlation: Assumed correlation of neighbouring pixels, 0 to below 1, by which the phase is decorrelated before
            it is quantised; 0 leaves that out.
        penalty: C of the classifier, see `fit_predict_svc`.

    Source: MSFME-IR, ICPR 2020, abstract; see `lpq_top` for the features.
    Differs: own choices: factor and filters of the magnification, which is applied to the sampled frames; windows,
    decorrelation, blocks, the square root of the histograms, and a linear kernel.
    """

    view: ClassVar[str] = "face"

    num_classes: int = 3
    magnification: float = 10.0
    blocks: int = 5
    window: int = 7
    window_t: int = 5
    correlation: float = 0.9
    penalty: float = 1.0

    def features(self, pictures: UInt8[np.ndarray, "n t h w"]) -> Float[np.ndarray, "n d"]:
        """Returns the square root of the share of each code in each block and plane.

        Raises:
            ConfigError: A window that is not odd, or a correlation or magnification out of range.
            ShapeError: Too few frames or pixels for the window.
        """
        if not 0 <= self.magnification <= MAX_MAGNIFICATION:
            raise ConfigError(
                f"got model.magnification={self.magnification}, expected from 0 (off) to {MAX_MAGNIFICATION:.0f}"
            )
        shares = []
        for clip in pictures:
            magnified = magnify_motion(clip.astype(np.float32), self.magnification)
            shares.append(lpq_top(magnified, self.blocks, self.window, self.window_t, self.correlation).reshape(-1))
        return np.sqrt(np.stack(shares))

    def fit_predict(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], test: Float[np.ndarray, "m d"], seed: int
    ) -> Float[np.ndarray, "m k"]:
        """Trains on one side of a fold and predicts the other, see `fit_predict_svc`."""
        return fit_predict_svc(train, labels, test, num_classes=self.num_classes, penalty=self.penalty, seed=seed)

    def fit(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], seed: int
    ) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
        """Trains the classifier and returns it as one linear map, see `fit_svc`."""
        return fit_svc(train, labels, num_classes=self.num_classes, penalty=self.penalty, seed=seed)
