"""Runs one experiment, from the corpus to the report.

    python -m experiments.run --config smic_ha.py [--config.<field>=value ...]
        [--manual_dir DIR] [--workdir DIR] [--data_dir DIR] [--resume] [--diagnostic test_best]
        [--final=all|ensemble | --nofinal] [--pretrained MODEL [--pretrained_by weights|clips]]
    python -m experiments.run --repeat RUN [--manual_dir DIR] [--workdir DIR] [--data_dir DIR]

The second form runs again what is in a run folder and compares the predictions; the exit code is 1 if they differ.
With a licensed corpus under --manual_dir (or MER_MANUAL_DIR) it uses that; without one
it renders a surrogate corpus, and says so in everything that it writes.
With --pretrained, training starts from the weights of a trained model, or the clips that taught it are added.
The run folder gets a model to hand on, trained on all people, where a protocol of the run keeps people apart.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from mer_jax.cli.command import loading_modules, run_command
from mer_jax.errors import ConfigError


def main(argv: Sequence[str]) -> None:
    """The command."""
    with loading_modules():  # JAX takes seconds to import
        from experiments import flags
        from experiments.config_files import parse_command_line
        from experiments.pretrained import name_pretrained
        from experiments.run_experiment import repeat_run, run_experiment

    repeats = any(argument.partition("=")[0] in ("--repeat", "-repeat") for argument in argv)
    experiment = parse_command_line(argv, needs_config=not repeats)
    options = flags.read_options(["python", "-m", "experiments.run", *argv[1:]])
    if experiment is None:
        if flags.DIAGNOSTIC.value or flags.PRETRAINED.value:
            name = "diagnostic" if flags.DIAGNOSTIC.value else "pretrained"
            raise ConfigError(f"got --repeat with --{name}; expected --repeat alone: it changes nothing")
        repeat_run(Path(flags.REPEAT.value).expanduser(), options)
        return
    if repeats:
        raise ConfigError("got --repeat with --config; expected --repeat alone: it changes nothing")
    if flags.PRETRAINED.value:
        experiment = name_pretrained(experiment, flags.PRETRAINED.value, flags.PRETRAINED_BY.value)
    elif flags.PRETRAINED_BY.present:
        raise ConfigError("got --pretrained_by without --pretrained; expected a model, such as surrogate-motion")
    run_experiment(dataclasses.replace(experiment, diagnostic=flags.DIAGNOSTIC.value or experiment.diagnostic), options)


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv),
            on_interrupt="interrupted; the same command with --resume continues where this one stopped",
        )
    )
