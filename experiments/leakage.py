"""The leak report: one network under several protocols, with the epoch chosen on validation and on the test.

    python -m experiments.leakage --config smic_ha.py [--config.<field>=value ...]
        [--manual_dir DIR] [--workdir DIR] [--data_dir DIR] [--resume]

Runs the protocols paper, clip, subject and loso (or those of --config.protocols) with the diagnostic test_best. Besides
the files of every run it writes leakage.html, leakage.md, leakage.csv, leakage.json and leakage.png.
"""

import base64
import dataclasses
import json
import sys
from collections.abc import Sequence

from experiments.config_files import parse_command_line
from experiments.flags import read_options
from experiments.run_experiment import run_experiment, say
from mer_jax.cli.command import run_command
from mer_jax.errors import ConfigError
from mer_jax.evaluation.gap import find_reference
from mer_jax.evaluation.leakage import measure_leakage, to_json
from mer_jax.protocols import SUBJECT_DISJOINT
from mer_jax.report.leakage import draw_leakage, make_leak_table
from mer_jax.report.page import load_template
from mer_jax.system.files import write_atomically

PROTOCOLS = ("paper", "clip", "subject", "loso")


def main(argv: Sequence[str]) -> None:
    """The command."""
    experiment = parse_command_line(argv)
    if not any(argument.startswith("--config.protocols") for argument in argv):
        experiment = dataclasses.replace(experiment, protocols=PROTOCOLS)
    reference = find_reference(experiment.protocols)
    if reference is None:
        raise ConfigError(
            f"got the protocols {', '.join(experiment.protocols)}; expected one of {', '.join(SUBJECT_DISJOINT)} among "
            "them, to compare the others with"
        )
    experiment = dataclasses.replace(experiment, name=f"{experiment.name}_leakage", diagnostic="test_best")
    options = read_options(["python", "-m", "experiments.leakage", *argv[1:]])
    options = dataclasses.replace(options, final="none")  # it is about shortcuts, not about a model
    workdir, results = run_experiment(experiment, options)
    if not results:  # a process other than the first
        return
    surrogate = results[0].provenance == "surrogate"
    rows = measure_leakage(results, reference)
    title = f"{results[0].model} on {results[0].corpus}: what each shortcut adds"
    table, picture = (
        make_leak_table(rows, reference, title, surrogate=surrogate),
        draw_leakage(rows, reference, surrogate=surrogate),
    )
    write_atomically(workdir / "leakage.json", json.dumps(to_json(rows), indent=2, allow_nan=False) + "\n")
    write_atomically(workdir / "leakage.md", table.to_markdown())
    write_atomically(workdir / "leakage.csv", table.to_csv())
    write_atomically(workdir / "leakage.png", picture)
    page = load_template("leakage.html.j2").render(
        title=title,
        surrogate=surrogate,
        descriptions={result.protocol: result.description for result in results},
        table=table.to_html(),
        picture=base64.b64encode(picture).decode(),
    )
    say(f"\n{table.to_markdown()}")
    say(f"leak report: {write_atomically(workdir / 'leakage.html', page)}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv),
            on_interrupt="interrupted; the same command with --resume continues where this one stopped",
        )
    )
