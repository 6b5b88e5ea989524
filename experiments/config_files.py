"""Config files, and overrides of their fields on the command line.

A config file defines `get_config() -> Experiment`. `--config smic_ha.py` finds the file in the
current folder or in `experiments/configs/`; `--config.<field>=value` overrides a field at any
depth: `--config.model.features=32`. Outer levels may be left out if the name is unambiguous:
`--config.schedule=cosine` is `--config.optimization.schedule=cosine`.
"""

import ast
import dataclasses
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
from absl import flags

from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, MerError, near_names

CONFIG_FOLDER = Path(__file__).parent / "configs"

_CONFIG = flags.DEFINE_string("config", None, "Config file, such as smic_ha.py; --config.<field>=value overrides.")


def known_configs() -> list[str]:
    """Lists the names of the files in `experiments/configs/`."""
    return sorted(path.name for path in CONFIG_FOLDER.glob("*.py"))


def find_config(name: str) -> Path:
    """Finds the file that a config name stands for.

    Args:
        name: Path, or the bare name of a file in `experiments/configs/`.

    Raises:
        ConfigError: There is no such file; the near names are offered.
    """
    for path in (Path(name).expanduser(), CONFIG_FOLDER / name, CONFIG_FOLDER / f"{name}.py"):
        if path.is_file():
            return path
    raise ConfigError(f"no config file {name!r}, here or in experiments/configs/; {near_names(name, known_configs())}")


def load_config(path: Path) -> Experiment:
    """Executes a config file and returns its experiment, without overrides.

    Raises:
        ConfigError: The file is not valid Python, fails, or has no `get_config()` that returns an Experiment.
    """
    spec = importlib.util.spec_from_file_location("config", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a config: expected a Python file, such as smic_ha.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        experiment = module.get_config() if hasattr(module, "get_config") else None
    except MerError:
        raise
    except Exception as error:  # the file is the user's code
        places = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (places[-1] if places else None)
        where = f"{path}, line {line}" if line else str(path)
        raise ConfigError(f"{where}: {type(error).__name__}: {error}; mend the config file") from error
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            f"{path} is not a config: expected a function get_config() that returns mer_jax.config.Experiment"
        )
    return experiment


def parse_command_line(argv: Sequence[str], *, needs_config: bool = True) -> Experiment | None:
    """Parses all flags; returns the experiment with its overrides, validated.

    Args:
        argv: Name and arguments of the program.
        needs_config: Whether `--config` is required; if not, a command line without it returns None.

    Raises:
        ConfigError: An unknown flag, config or field, or a value of the wrong kind.
    """
    if {"--help", "-h"} & set(argv[1:]):
        modules = (__name__, "experiments.flags")
        print("\n".join([sys.modules["__main__"].__doc__ or "", *map(flags.FLAGS.module_help, modules)]))
        raise SystemExit(0)
    plain, overrides = split_overrides(argv)
    try:
        rest = flags.FLAGS(plain)
    except (flags.Error, TypeError) as error:
        raise ConfigError(f"{error}; `--help` lists the flags") from error
    if rest[1:]:
        raise ConfigError(f"got {rest[1]!r}, expected options that begin with --, such as --config smic_ha.py")
    if not _CONFIG.value:
        if needs_config:
            raise ConfigError(f"no --config given; expected a file of your own or one of {', '.join(known_configs())}")
        if overrides:
            raise ConfigError(f"got --config.{overrides[0][0]} without --config; expected a config file to override")
        return None
    return configure(_CONFIG.value, overrides)


def configure(name: str, overrides: Iterable[tuple[str, str]] = ()) -> Experiment:
    """Loads a config file, replaces fields, and validates the experiment.

    Args:
        name: See `find_config`.
        overrides: Paths of fields and their values as text, see `override`.

    Raises:
        ConfigError: No such config or field, or a value that the experiment cannot have.
    """
    experiment = load_config(find_config(name))
    for path, text in overrides:
        experiment = override(experiment, path, text)
    experiment.validate()
    return experiment


def split_overrides(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separates `--config.<field>=value` from the other arguments.

    Returns:
        The other arguments, and (field, value) pairs in order; a field without a value is `True`.

    Example:
        >>> split_overrides(["run", "--config", "a.py", "--config.seed=3", "--config.epochs", "9"])
        (['run', '--config', 'a.py'], [('seed', '3'), ('epochs', '9')])
    """
    plain, overrides, waiting = [], [], list(argv)
    while waiting:
        argument = waiting.pop(0)
        name, equals, text = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not name.startswith("config."):
            plain.append(argument)
            continue
        if not equals:
            text = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "True"
        overrides.append((name.removeprefix("config."), text))
    return plain, overrides


def override(experiment: Experiment, path: str, text: str) -> Experiment:
    """Returns a copy of the experiment with one field replaced.

    Args:
        experiment: Not changed.
        path: Names of fields from outer to inner, separated by dots; outer names may be left out if the rest is
            unambiguous.
        text: Value, as on a command line.

    Raises:
        ConfigError: No such field, several of that name, or a value of another type.

    Example:
        >>> from mer_jax.vision.options import VisionOptions
        >>> experiment = Experiment(name="x", corpus="smic", model=nn.Dense(3), vision=VisionOptions())
        >>> override(experiment, "mask", "none").vision.mask
        'none'
    """
    return _override(experiment, path.split("."), text, "config")


def _override(value: Any, names: list[str], text: str, done: str) -> Any:
    name, *inner = names
    known = _fields(value)
    if name in known:
        old, place = getattr(value, name), f"{done}.{name}"
        new = _override(old, inner, text, place) if inner else _parse(old, known[name], text, place)
        return _replace(value, name, new)
    deeper = [path for path in _paths(value) if path[-1] == name]
    if len(deeper) == 1:
        return _override(value, [*deeper[0], *inner], text, done)
    if deeper:
        places = " or ".join(f"--{done}.{'.'.join(path)}" for path in deeper)
        raise ConfigError(f"{done} has several fields {name!r}; say which: {places}")
    if not known:
        raise ConfigError(f"unknown field {name!r} of {done}; it has none")
    names_below = [*known, *(path[-1] for path in _paths(value))]
    raise ConfigError(f"unknown field {name!r} of {done}; {near_names(name, names_below)}")


def _fields(value: Any) -> dict[str, Any]:
    """Returns the fields that can be set, with their annotations."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {}
    hidden = ("parent", "name") if isinstance(value, nn.Module) else ()
    return {field.name: field.type for field in dataclasses.fields(value) if field.name not in hidden}


def _paths(value: Any) -> Iterator[list[str]]:
    """Yields the paths to all fields of nested values, at any depth."""
    for name in _fields(value):
        for inner in _fields(below := getattr(value, name)):
            yield [name, inner]
        for path in _paths(below):
            yield [name, *path]


def _replace(value: Any, name: str, new: Any) -> Any:
    return value.clone(**{name: new}) if isinstance(value, nn.Module) else dataclasses.replace(value, **{name: new})


def _parse(old: Any, annotation: Any, text: str, place: str) -> Any:
    if isinstance(old, str):
        return text
    if _fields(old):
        example = next(iter(_fields(old)))
        raise ConfigError(f"got --{place}={text}, expected one of its fields, such as --{place}.{example}")
    if isinstance(old, bool):
        return _parse_bool(text, place)
    try:
        new = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        new = text
    if isinstance(old, tuple) or "tuple" in str(annotation):
        return _parse_tuple(old, new, text, place)
    optional = "None" in str(annotation) or old is None
    if new is None and optional:
        return new
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    kind = type(old)
    if old is not None and not optional and (type(new) is not kind):
        raise ConfigError(f"got --{place}={text}, expected {_KINDS.get(kind, kind.__name__)}")
    return new


_KINDS = {int: "a whole number", float: "a number"}


def _parse_bool(text: str, place: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ConfigError(f"got --{place}={text}, expected True or False")
    return words[text.lower()]


def _parse_tuple(old: Any, new: Any, text: str, place: str) -> Any:
    if new is None and not isinstance(old, tuple):
        return None
    if isinstance(new, str):  # loso,subject
        new = tuple(part.strip() for part in new.split(",") if part.strip())
    new = tuple(new) if isinstance(new, tuple | list) else (new,)
    kinds = {type(each) for each in old or ()}
    if len(kinds) == 1 and not all(type(each) in kinds for each in new):
        example = ",".join(str(each) for each in old)
        raise ConfigError(f"got --{place}={text}, expected values like {example}")
    return new
