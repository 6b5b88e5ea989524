"""Micro-expression recognition in JAX/Flax.

    import mer_jax
    clips = mer_jax.Clips.from_arrays(faces, labels, subjects)
    experiment = mer_jax.Experiment(model=mer_jax.models.HybridAttention3DNet(), protocols=("loso",))
    mer_jax.train(experiment, clips)["loso"].scores()
    mer_jax.load("runs/smic_ha/model").predict("clip.mp4")

Names are imported when they are first used: `import mer_jax` alone imports no JAX. `__init__.pyi` tells type checkers
where they come from.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Augmentation": "mer_jax.config",
    "Callbacks": "mer_jax.training.fit",
    "Clips": "mer_jax.data.clips",
    "Experiment": "mer_jax.config",
    "Optimization": "mer_jax.config",
    "Pretrained": "mer_jax.training.pretrained",
    "Results": "mer_jax.training.train",
    "TrainedModel": "mer_jax.prediction.model",
    "VisionOptions": "mer_jax.vision.options",
    "load": "mer_jax.prediction.model",
    "read_predictions": "mer_jax.evaluation.predictions",
    "train": "mer_jax.training.train",
}
_ROOMS = ("baselines", "blocks", "errors", "evaluation", "explain", "models", "prediction", "protocols", "vision")

__all__ = [
    "Augmentation",
    "Callbacks",
    "Clips",
    "Experiment",
    "Optimization",
    "Pretrained",
    "Results",
    "TrainedModel",
    "VisionOptions",
    "baselines",
    "blocks",
    "errors",
    "evaluation",
    "explain",
    "load",
    "models",
    "prediction",
    "protocols",
    "read_predictions",
    "train",
    "vision",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"mer_jax.{name}")
    from mer_jax.errors import near_names

    raise AttributeError(f"module 'mer_jax' has no attribute {name!r}; {near_names(name, __all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
