"""Standardised motion features and a balanced logistic regression."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from mer_jax.baselines.logistic import fit_logistic, predict_logistic
from mer_jax.data.motion import EYES_MOTION_VERSION, standardize
from mer_jax.errors import ConfigError
from mer_jax.sizes import MOTION_SIZE

SHIPPED = Path(__file__).parents[1] / "prediction" / "shipped"  # models that come with the library, data only
ADAPTATIONS = (0.03, 0.1, 0.3, 1.0)  # penalties that are tried beside a prior
BLOCKS = 5


@dataclasses.dataclass(kw_only=True)
class StandardFlow:
    """Motion features less their median and over their spread, for each clip and channel, and a logistic regression.

    Attributes:
        num_classes: Number of classes k.
        cells: Rows and columns that the features are averaged to, a divisor of 28.
        penalty: How much an error costs, see `fit_logistic`; small ones give smooth weights.
        features_version: Of the motion features in the tight box that its weights were trained on.
        prior: Folder of a model of this class, or name of a shipped one, towards which weights are pulled instead of
            towards 0. How strongly is chosen inside the training clips, and `penalty` is not used.

    Source: none; the classifier of the shipped weights. Standardised, it does not see how stored features were scaled.
    """

    view: ClassVar[str] = "motion"

    num_classes: int = 3
    cells: int = 14
    penalty: float = 0.1
    features_version: int = EYES_MOTION_VERSION
    prior: str = ""

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
        """Fits weights and bias, see `fit_logistic`.

        With a prior, its strength is chosen by the log likelihood of five blocks of the training clips, each predicted
        by the others. Clips of a person follow each other, so that blocks hold different people but for four.
        """
        del seed
        if not self.prior:
            return fit_logistic(train, labels, num_classes=self.num_classes, penalty=self.penalty)
        prior = _read_prior(self.prior, (train.shape[1], self.num_classes))
        blocks = np.array_split(np.arange(len(labels)), min(BLOCKS, len(labels)))
        losses = {0.0: _loss(train, labels, prior)}
        for penalty in ADAPTATIONS:
            losses[penalty] = 0.0
            for block in blocks:
                rest = np.setdiff1d(np.arange(len(labels)), block)
                fitted = fit_logistic(
                    train[rest],
                    labels[rest],
                    num_classes=self.num_classes,
                    penalty=penalty,
                    prior=prior,
                    tolerance=1e-4,
                )
                losses[penalty] += _loss(train[block], labels[block], fitted)
        chosen = min(losses, key=lambda penalty: losses[penalty])
        if not chosen:
            return prior
        return fit_logistic(train, labels, num_classes=self.num_classes, penalty=chosen, prior=prior)


def _loss(features: np.ndarray, labels: np.ndarray, weights: tuple[np.ndarray, np.ndarray]) -> float:
    shares = predict_logistic(features, *weights)[np.arange(len(labels)), labels]
    return -float(np.log(np.maximum(shares, 1e-12)).sum())


def _read_prior(name: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    folder = Path(name).expanduser()
    path = (folder if folder.is_dir() else SHIPPED / name) / "weights.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights, bias = arrays["0/weights"], arrays["0/bias"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"got prior={name!r}, whose weights cannot be read from {path}: {error}") from error
    if weights.shape != shape:
        raise ConfigError(
            f"got prior={name!r} with weights {weights.shape}; expected {shape}: set model.cells as it has"
        )
    return weights, bias
