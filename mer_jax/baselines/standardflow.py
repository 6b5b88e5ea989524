"""Standardised motion features and a balanced logistic regression."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from mer_jax.baselines.logistic import fit_logistic, predict_logistic
from mer_jax.data.motion import EYES_MOTION_VERSION, standardize
from mer_jax.errors import ConfigError
from mer_jax.sizes import MOTION_SIZE


@dataclasses.dataclass(kw_only=True)
class StandardFlow:
    """Motion features less their median and over their spread, for each clip and channel, and a logistic regression.

    Attributes:
        num_classes: Number of classes k.
        cells: Rows and columns that the features are averaged to, a divisor of 28.
        penalty: How much an error costs, see `fit_logistic`; small ones give smooth weights.
        features_version: Of the motion features in the tight box that its weights were trained on.

    Source: none; the classifier of the shipped weights. Standardised, it does not see how stored features were scaled.
    """

    view: ClassVar[str] = "motion"

    num_classes: int = 3
    cells: int = 14
    penalty: float = 0.1
    features_version: int = EYES_MOTION_VERSION

    def __post_init__(self):
        if MOTION_SIZE % self.cells:
            raise ConfigError(
                f"got model.cells={self.cells}, expected a divisor of {MOTION_SIZE}: 28, 14, 7, 4, 2 or 1"
            )
        if self.features_version != EYES_MOTION_VERSION:
            raise ConfigError(
                f"got weights for motion features of version {self.features_version}; this is version "
                f"{EYES_MOTION_VERSION}, which gives other features: train them again"
            )

    def features(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
        """Standardised flow and strain as one vector a clip."""
        size = MOTION_SIZE // self.cells
        blocks = standardize(pictures).reshape(len(pictures), self.cells, size, self.cells, size, 3)
        return blocks.mean(axis=(2, 4), dtype=np.float64).reshape(len(pictures), -1)

    def fit_predict(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], test: Float[np.ndarray, "m d"], seed: int
    ) -> Float[np.ndarray, "m k"]:
        """Trains on one side of a fold and predicts the other, see `fit_logistic`; no randomness."""
        return predict_logistic(test, *self.fit(train, labels, seed))

    def fit(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], seed: int = 0
    ) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
        """Fits weights and bias, see `fit_logistic`; no randomness."""
        del seed
        return fit_logistic(train, labels, num_classes=self.num_classes, penalty=self.penalty)
