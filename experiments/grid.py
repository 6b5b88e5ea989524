"""Runs the paper's grid: four networks, four corpora, two batch sizes, two lengths of training.

    python -m experiments.grid [--out DIR] [--manual_dir DIR] [--data_dir DIR] [--baseline]
        [--only PATTERN] [--shard i/n] [--jobs N] [--dry_run] [--config.<field>=value ...]

64 runs (table 1 of the paper), each in its own folder below --out, with protocols paper and loso and without early
stopping. Finished runs are skipped and interrupted ones are resumed. A run that fails does not stop the others; its
reason is printed at the end. Every call writes the tables again at its end (`python -m experiments.tables`).

`--shard 0/8` to `--shard 7/8` divide the grid among eight machines or array jobs, which may share --out.
`--config.batch_size` and `--config.epochs` replace an axis, other fields apply to all runs; every table then says so.
"""

import argparse
import itertools
import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.config_files import configure
from experiments.run_folder import FINISHED
from experiments.runner import Job, Runner, select_share
from experiments.tables import write_tables
from mer_jax.cli.command import run_command
from mer_jax.errors import ConfigError, MerError
from mer_jax.protocols import check_protocols
from mer_jax.system.files import output_folder, write_atomically
from mer_jax.system.machine import count_processors

# Source: table 1 of the paper, its corpora in the order of its tables.
CORPORA = ("casme_squared", "smic", "samm", "casme2")
NETS = ("dp", "ha", "se", "hase")
BASELINE = "sp"  # of table 2; no part of the 64
AXES = {"batch_size": (80, 100), "epochs": (200, 250)}
# For the columns of the tables. The paper mentions no early stopping, which would make both lengths the same.
FIXED = {"protocols": "('paper','loso')", "patience": "0"}


@dataclass(frozen=True)
class GridRun:
    """One run: a config with values of the axes."""

    corpus: str
    net: str
    settings: tuple[tuple[str, str], ...]  # the axes' fields and values

    @property
    def name(self) -> str:
        """Name of its folder."""
        values = dict(self.settings)
        return f"{self.corpus}_{self.net}_b{values['batch_size']}_e{values['epochs']}"


@dataclass(frozen=True)
class Grid:
    """The runs of one call, with what they share."""

    out: Path
    runs: tuple[GridRun, ...]
    overrides: dict[str, str]  # the same for all runs
    options: tuple[str, ...]  # of experiments.run

    def folder(self, run: GridRun) -> Path:
        """Folder of a run."""
        return self.out / run.name

    def fields(self, run: GridRun) -> dict[str, str]:
        """Fields of the config that a run overrides."""
        return {**self.overrides, **dict(run.settings)}

    def command(self, run: GridRun) -> list[str]:
        """Command line of a run."""
        return [
            *(sys.executable, "-m", "experiments.run", "--config", f"{run.corpus}_{run.net}.py"),
            *(f"--config.{name}={value}" for name, value in self.fields(run).items()),
            *("--nofinal", *self.options, "--workdir", str(self.folder(run)), "--resume"),
        ]


def list_runs(overrides: dict[str, str], *, baseline: bool = False) -> list[GridRun]:
    """Lists all runs of the grid.

    Args:
        overrides: Values by field; a field that is an axis replaces that axis.
        baseline: Whether to include the single-path network of table 2.

    Example:
        >>> runs = list_runs({})
        >>> len(runs), runs[0].name
        (64, 'casme_squared_dp_b80_e200')
    """
    axes = [[(name, str(v)) for v in ([overrides[name]] if name in overrides else AXES[name])] for name in AXES]
    nets = (*NETS, BASELINE) if baseline else NETS
    return [GridRun(*which) for which in itertools.product(CORPORA, nets, itertools.product(*axes))]


def select_runs(runs: Sequence[GridRun], *, only: str = "", shard: str = "0/1") -> list[GridRun]:
    """Selects the runs of one call.

    Args:
        runs: All runs.
        only: Regular expression that has to match some part of a run's name.
        shard: `i/n`, the i-th of n parts, from 0; long and short runs are spread over them.

    Raises:
        ConfigError: No run is left, or `shard` is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not int(match[1]) < int(match[2]):
        raise ConfigError(f"got --shard {shard}; expected i/n with i from 0 to n - 1, such as 0/8")
    try:
        wanted = [run for run in runs if re.search(only, run.name)]
    except re.error as error:
        raise ConfigError(f"got --only {only}, which is no regular expression: {error}") from error
    if not wanted:
        raise ConfigError(f"--only {only} matches no run; expected part of a name such as {runs[0].name}")
    mine = {*select_share([run.name for run in wanted], int(match[1]), int(match[2]))}
    return [run for run in wanted if run.name in mine]


def describe_grid(overrides: dict[str, str], baseline: bool) -> dict[str, Any]:
    """Makes the content of `grid.json`, on which all calls with one --out have to agree."""
    changed = {
        name: f"{value} instead of {FIXED[name] if name in FIXED else ' and '.join(map(str, AXES[name]))}"
        for name, value in overrides.items()
        if name in (*AXES, *FIXED)
    }
    other = {name: value for name, value in overrides.items() if name not in changed}
    return {"overrides": overrides, "changed": changed | other, "as_published": not overrides, "baseline": baseline}


def open_grid(out: Path, description: dict[str, Any]) -> None:
    """Creates the folder of a grid, or checks an existing one.

    Raises:
        ConfigError: The folder holds another grid.
    """
    out = output_folder(out, "--out")
    path = out / "grid.json"
    out.mkdir(parents=True, exist_ok=True)
    if path.exists():
        there = json.loads(path.read_text())
        if there["overrides"] != description["overrides"]:
            raise ConfigError(
                f"{out} holds a grid with {_show(there['overrides'])}; this call has "
                f"{_show(description['overrides'])}. Choose another --out."
            )
        description = {**description, "baseline": description["baseline"] or there["baseline"]}
    write_atomically(path, json.dumps(description, indent=2) + "\n")


def _show(overrides: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in overrides.items()) or "the published settings"


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Parses the command line; returns its flags and the overrides of config fields.

    Raises:
        ConfigError: An argument is neither.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments.grid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/grid"), help="folder of the grid (%(default)s)")
    parser.add_argument("--manual_dir", help="folder above your copies of the corpora; default: $MER_MANUAL_DIR")
    parser.add_argument("--data_dir", help="folder of built corpora; default: $MER_DATA_DIR or ./data")
    parser.add_argument("--baseline", action="store_true", help="also the single-path network of table 2")
    parser.add_argument("--only", default="", metavar="PATTERN", help="runs whose name matches, such as smic_ha")
    parser.add_argument("--shard", default="0/1", metavar="i/n", help="the i-th of n parts, from 0")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (%(default)s)")
    parser.add_argument("--dry_run", action="store_true", help="list the runs without executing them")
    flags, rest = parser.parse_known_args(arguments)
    if flags.jobs < 1:
        raise ConfigError(f"got --jobs {flags.jobs}; expected 1 or more")
    overrides = {}
    for argument in rest:
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if not argument.startswith("--config.") or not equals:
            raise ConfigError(f"got {argument!r}; expected a flag of --help, or --config.<field>=value")
        overrides[name] = value
    return flags, overrides


def make_grid(flags: argparse.Namespace, overrides: dict[str, str]) -> Grid:
    """Makes the grid of a call, and validates every config with its overrides before anything runs.

    Raises:
        ConfigError: A field or value that is not valid for a run.
    """
    runs = select_runs(list_runs(overrides, baseline=flags.baseline), only=flags.only, shard=flags.shard)
    options = [f"--{name}={value}" for name in ("manual_dir", "data_dir") if (value := getattr(flags, name))]
    if flags.jobs > 1:
        options.append(f"--jobs={max(1, count_processors() // flags.jobs)}")
    fields = {**FIXED, **{name: value for name, value in overrides.items() if name not in AXES}}
    grid = Grid(flags.out.expanduser(), tuple(runs), fields, tuple(options))
    for run in runs:
        experiment = configure(f"{run.corpus}_{run.net}", grid.fields(run).items())
        check_protocols(experiment.protocols)
    return grid


def main(arguments: Sequence[str]) -> None:
    """The command."""
    flags, overrides = parse(arguments)
    grid = make_grid(flags, overrides)
    if flags.dry_run:
        for run in grid.runs:
            print(run.name, "finished" if (grid.folder(run) / FINISHED).exists() else "")
        return
    open_grid(grid.out, describe_grid(overrides, flags.baseline))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as good as Ctrl-C
    runner = Runner([Job(run.name, grid.folder(run), grid.command(run)) for run in grid.runs], flags.jobs)
    runner.execute()
    print(f"the runs took {runner.seconds:.0f} s; the grid's own work {time.process_time():.1f} s", flush=True)
    print(f"tables: {write_tables(grid.out)}", flush=True)
    if failures := runner.failures():
        reasons = "\n       ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise MerError(f"{len(failures)} of {len(grid.runs)} runs failed; the others are done\n       {reasons}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv[1:]), on_interrupt="interrupted; the same command continues where this one stopped"
        )
    )
