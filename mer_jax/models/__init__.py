"""One published network a file, each a linen module from the inputs of its view to logits.

`HybridAttention3DNet` is the class in `hybridattention3dnet.py`, imported when it is first used. A new file with a
class of the same name is all that a new network takes; `__all__` lists what is there.

A value in a field of a network, such as `Convolution`, may depend on the machine. It states so by methods, which the
functions here call for all fields, those of nested dataclasses and modules included:

    compiler_options()   what XLA should be told of a program that holds it, as a dict
    describe()           what was chosen on this machine, as a dict for the record of a run
    reference()          the same value in the form whose operations XLA counts
"""

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, near_names
from mer_jax.system.discovery import find_classes

_NETWORKS = find_classes(Path(__file__).parent)

__all__ = list(_NETWORKS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _NETWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {near_names(name, _NETWORKS)}")
    return getattr(importlib.import_module(f"{__name__}.{_NETWORKS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NETWORKS})


def find_model(name: str) -> type[Any]:
    """Returns the network of a name, in upper or lower case.

    Raises:
        ConfigError: There is none; near names are offered.

    Example:
        >>> find_model("ststnet").__name__
        'STSTNet'
    """
    for known in _NETWORKS:
        if known.lower() == name.lower():
            return __getattr__(known)
    raise ConfigError(f"no network is called {name!r}; {near_names(name, _NETWORKS)}")


def family_of(model: Any) -> str:
    """Returns the family that a network or baseline is listed in: its attribute `family`, or what it takes.

    Args:
        model: The network or baseline, or its class.

    Example:
        >>> family_of(find_model("ststnet")), family_of(find_model("dualpath3dnet"))
        ('motion features', "the paper's")
    """
    if hasattr(model, "fit_predict"):
        return "baselines"
    return getattr(model, "family", "") or find_view(model).title


def compiler_options(model: Any) -> dict[str, Any]:
    """Returns the options with which `jax.jit` should compile a program that holds a model.

    Args:
        model: A network, or its part.

    Example:
        >>> from mer_jax.models.ststnet import STSTNet
        >>> compiler_options(STSTNet())
        {}
    """
    merged = {}
    for options in _ask(model, "compiler_options"):
        merged.update(options)
    return merged


def describe_model(model: Any) -> dict[str, str]:
    """Returns what the parts of a model have chosen on this machine, such as `{"convolution": "native"}`.

    Results may differ in their last bits where this differs, so the record of a run holds it.

    Args:
        model: A network or baseline.
    """
    merged: dict[str, list[str]] = {}
    for description in _ask(model, "describe"):
        for key, value in description.items():
            if value not in merged.setdefault(key, []):
                merged[key].append(value)
    return {key: ", ".join(values) for key, values in merged.items()}


def reference_form(model: Any) -> Any:
    """Returns a model with all parts in their reference form: the same mathematics, and XLA's own operations.

    Args:
        model: A network.
    """
    changes = {}
    for name, value in _fields(model):
        new = value.reference() if hasattr(value, "reference") else reference_form(value)
        if new is not value:
            changes[name] = new
    if not changes:
        return model
    return model.clone(**changes) if hasattr(model, "clone") else dataclasses.replace(model, **changes)


def _ask(value: Any, method: str) -> Iterator[Any]:
    if hasattr(value, method):
        yield getattr(value, method)()
        return
    for _, below in _fields(value):
        yield from _ask(below, method)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name not in ("parent", "name"):  # of linen modules
                yield field.name, getattr(value, field.name)
