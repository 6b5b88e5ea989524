"""Config files and the overrides of their fields on the command line.

A config file defines `get_config() -> Experiment`. `--config smic_ha.py` finds the file
in the current folder or in `experiments/configs/`; `--config.<field>=value` overrides a
field, at any depth: `--config.model.features=32`.
"""

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import flax.linen as nn
from absl import flags
from ml_collections import config_flags

from mer_jax.config import Experiment
from mer_jax.errors import ConfigError, near_names

CONFIG_FOLDER = Path(__file__).parent / "configs"


def known_configs() -> list[str]:
    """Names of the files in `experiments/configs/`."""
    return sorted(path.name for path in CONFIG_FOLDER.glob("*.py"))


def find_config(name: str) -> Path:
    """The file that a config name stands for.

    Args:
        name: a path, or the bare name of a file in `experiments/configs/`.

    Raises:
        ConfigError: there is no such file; the near names are offered.
    """
    for path in (Path(name), CONFIG_FOLDER / name, CONFIG_FOLDER / f"{name}.py"):
        if path.is_file():
            return path
    raise ConfigError(f"no config file {name!r}, here or in experiments/configs/; {near_names(name, known_configs())}")


def load_config(path: Path) -> Experiment:
    """Runs a config file and returns its experiment, without overrides.

    Raises:
        ConfigError: the file defines no `get_config()` that returns an Experiment.
    """
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    experiment = module.get_config() if hasattr(module, "get_config") else None
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            f"{path} is no config: expected a function get_config() that returns mer_jax.config.Experiment"
        )
    return experiment


def parse_command_line(argv: Sequence[str], *, needs_config: bool = True) -> Experiment | None:
    """Parses all flags; returns the experiment with its overrides, validated.

    Args:
        argv: the program's name and its arguments.
        needs_config: whether a command line without `--config` is refused; else it gives None.

    Raises:
        ConfigError: an unknown flag, config or field, or a value of the wrong kind.
    """
    argv = list(argv)
    # Flags of our own copy: the config flag depends on which fields argv overrides.
    values = flags.FlagValues()
    values.append_flag_values(flags.FLAGS)
    config = config_flags.DEFINE_config_file(
        "config", help_string="Config file, such as smic_ha.py.", flag_values=values, sys_argv=argv
    )
    if {"--help", "-h"} & set(argv[1:]):
        print(f"{sys.modules['__main__'].__doc__}\n{flags.FLAGS.main_module_help()}\n{values.module_help(__name__)}")
        raise SystemExit(0)
    path = None
    for i, argument in enumerate(argv):
        if argument in ("--config", "-config") and i + 1 < len(argv):
            argv[i + 1] = path = str(find_config(argv[i + 1]))
        elif argument.startswith(("--config=", "-config=")):
            path = str(find_config(argument.partition("=")[2]))
            argv[i] = f"--config={path}"
    if path:
        plain = load_config(Path(path))
        # Before the flag parser sees them: it knows no near names.
        for argument in argv:
            if argument.startswith("--config."):
                _check_field(plain, argument[len("--config.") :].partition("=")[0])
    try:
        rest = values(argv)
        flags.FLAGS.mark_as_parsed()
    except (flags.Error, TypeError) as error:
        raise ConfigError(f"{error}; `--help` lists the flags") from error
    if not path and needs_config:
        raise ConfigError(f"no --config given; expected a file of your own or one of {', '.join(known_configs())}")
    if rest[1:]:
        raise ConfigError(f"got {rest[1]!r}, expected options that begin with --, such as --config smic_ha.py")
    if not path:
        return None
    experiment = config.value
    experiment.validate()
    return experiment


def _check_field(value: object, path: str) -> None:
    done = "config"
    for name in path.split("."):
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        hidden = ("parent", "name") if isinstance(value, nn.Module) else ()
        known = [field.name for field in fields if field.name not in hidden]
        if name not in known:
            raise ConfigError(
                f"unknown field {name!r} of {done}; {near_names(name, known) if known else 'it has none'}"
            )
        value, done = getattr(value, name), f"{done}.{name}"
