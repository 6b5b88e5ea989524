"""Motion features, their principal components and a linear classifier."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from mer_jax.baselines.linear_svc import fit_predict_svc, fit_svc
from mer_jax.sizes import MOTION_ZERO


@dataclasses.dataclass(kw_only=True)
class LinearFlow:
    """Motion features of 2352 numbers, their first 100 principal components, and a linear SVC.

    Attributes:
        num_classes: Number of classes k.
        components: Principal components, fewer where there are fewer clips.
        penalty: C of the classifier, see `fit_predict_svc`.

    Source: none; the figure that a network on motion features has to beat.
    """

    view: ClassVar[str] = "motion"

    num_classes: int = 3
    components: int = 100
    penalty: float = 1.0

    def features(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
        """Flow and strain as one vector a clip, from -1 to 1."""
        return ((pictures.astype(np.float64) - MOTION_ZERO) / 127.5).reshape(len(pictures), -1)

    def fit_predict(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], test: Float[np.ndarray, "m d"], seed: int
    ) -> Float[np.ndarray, "m k"]:
        """Trains components and classifier on one side of a fold; predicts the other, see `fit_predict_svc`."""
        mean, components = self._components(train)
        return fit_predict_svc(
            (train - mean) @ components,
            labels,
            (test - mean) @ components,
            num_classes=self.num_classes,
            penalty=self.penalty,
            seed=seed,
        )

    def fit(
        self, train: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], seed: int
    ) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
        """Trains components and classifier, and returns them as one linear map, see `fit_svc`."""
        mean, components = self._components(train)
        weights, bias = fit_svc(
            (train - mean) @ components, labels, num_classes=self.num_classes, penalty=self.penalty, seed=seed
        )
        weights = components @ weights
        return weights, bias - mean @ weights

    def _components(self, train: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d p"]]:
        mean = train.mean(axis=0)
        _, _, directions = np.linalg.svd(train - mean, full_matrices=False)
        return mean, directions[: self.components].T
