"""The `mer` command: parses the command line and runs one sub-command.

A sub-command is one file in this folder with a function `declare`. It adds the arguments to its own parser and returns
the function that does the work. It imports everything heavy inside that function, so that `mer --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence

from mer_jax.cli import audit, compare, explain, inspect, live, models, predict, published, score, score_spotting
from mer_jax.cli.command import run_command

COMMANDS = {
    "inspect": inspect,
    "predict": predict,
    "live": live,
    "explain": explain,
    "models": models,
    "score": score,
    "score-spotting": score_spotting,
    "compare": compare,
    "audit": audit,
    "published": published,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command and returns the exit code: 0, 1 (error), 2 (wrong command line) or 130 (Ctrl-C).

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """

    def command() -> None:
        parser = argparse.ArgumentParser(prog="mer", description="Micro-expressions, from video to a number.")
        commands = parser.add_subparsers(required=True, metavar="COMMAND")
        for name, module in COMMANDS.items():
            summary = (module.__doc__ or "").partition("\n")[0].partition(": ")[2]
            own = commands.add_parser(name, help=summary, description=summary)
            own.set_defaults(work=module.declare(own))
        flags = parser.parse_args(arguments)
        flags.work(flags)

    return run_command(command, on_interrupt="interrupted; nothing is left half written")


if __name__ == "__main__":
    sys.exit(main())
