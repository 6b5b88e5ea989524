"""What a network has to beat: features and a linear classifier, one method a file.

A baseline is a dataclass with `view` and `num_classes`, as a network is, and with

    features(pictures) -> [n, d]                                  once for all clips
    fit_predict(train, labels, test, seed) -> probabilities       once a fold

both pure. scikit-learn is imported here alone, and when a baseline is fitted.
"""

from mer_jax.baselines.lbptop import LbpTop
from mer_jax.baselines.linearflow import LinearFlow

__all__ = ["LbpTop", "LinearFlow"]
