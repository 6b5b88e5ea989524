"""Baselines: features and a linear classifier, one method a file.

`LbpTop` is the class in `lbptop.py`, imported when it is first used. A baseline is a dataclass with `view` and
`num_classes`, as a network has them, and with three pure methods:

    features(pictures) -> [n, d]                                  once for all clips
    fit_predict(train, labels, test, seed) -> probabilities       once a fold
    fit(train, labels, seed) -> weights [d, k], bias [k]          to keep the classifier

scikit-learn is imported here alone, and only when a baseline is fitted.
"""

import importlib
from pathlib import Path
from typing import Any

from mer_jax.errors import near_names
from mer_jax.system.discovery import find_classes

_BASELINES = find_classes(Path(__file__).parent)

__all__ = list(_BASELINES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _BASELINES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {near_names(name, _BASELINES)}")
    return getattr(importlib.import_module(f"{__name__}.{_BASELINES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_BASELINES})
