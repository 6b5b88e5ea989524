"""Every network and baseline on one corpus, under the same folds, seeds and choice of the epoch: a league table.

    python -m experiments.league --corpus smic|casme2|samm|casme_squared|megc2019 [--budget equal|paper] [--out DIR]
        [--models A,B] [--part i/n] [--jobs N] [--manual_dir DIR] [--data_dir DIR] [--dry_run]
        [--config.<field>=value ...]

Each is tested leaving one subject out (`loso`; `composite` for megc2019), and then with clips divided at random as the
paper divides them, people on both sides (`clip`, in as many groups as `num_folds`). The table has both, the gap between
them, and the linear classifier `LinearFlow` as the line that a network has to cross.

`--budget equal` gives all networks the same optimiser, batch and ten epochs, of which the last is tested; no clip
validates. `--budget paper` gives each its own, from its config, and validation people choose the epoch.

Each run is a process with a run folder below --out, which keeps no checkpoints once it is finished. Finished runs are
skipped and interrupted ones continue. A run that fails does not stop the others; the end names it with its reason and
the exit code is 1. `--part 2/4` is the second of four parts, for machines that share --out. Every call writes
league.csv, league.md, league.png and league.html again.
"""

import argparse
import dataclasses
import functools
import json
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.release import find_release
from experiments.config_files import CONFIG_FOLDER, load_config, override, split_overrides
from experiments.league_table import write_league
from experiments.run_folder import CHECKPOINTS, FINISHED
from experiments.runner import Job, Runner, select_share
from mer_jax import baselines, models
from mer_jax.cli.command import run_command
from mer_jax.config import Experiment, Optimization
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError, MerError, near_names
from mer_jax.protocols import check_protocols
from mer_jax.system.files import output_folder, write_atomically
from mer_jax.system.machine import count_processors
from mer_jax.training.cost import count_parameters
from mer_jax.training.train import is_baseline
from mer_jax.vision.options import VisionOptions

CORPORA = ("smic", "casme2", "samm", "casme_squared", "megc2019")
BUDGETS = ("equal", "paper")
# The same for all networks. Batches are small, because ten epochs of a few large ones are too few steps.
EQUAL = {
    "batch_size": 8,
    "epochs": 10,
    "min_epochs": 0,
    "learning_rate": 1e-3,
    "class_weights": "normalized",
    "optimization": Optimization(schedule="cosine"),
    "selection": "last",
    "validation_share": 0.0,
}


def list_models() -> dict[str, type]:
    """Returns every network and baseline by name, found in their folders; baselines first, which take seconds."""
    return {name: getattr(package, name) for package in (baselines, models) for name in package.__all__}


@functools.cache
def _configs() -> dict[str, list[Experiment]]:
    """All config files by the class of their model."""
    found: dict[str, list[Experiment]] = {}
    for path in sorted(CONFIG_FOLDER.glob("*.py")):
        experiment = load_config(path)
        found.setdefault(type(experiment.model).__name__, []).append(experiment)
    return found


def make_experiment(name: str, corpus: str, budget: str, overrides: Sequence[tuple[str, str]] = ()) -> Experiment:
    """Makes the experiment of one network.

    Model, vision options and, with the budget `paper`, the training are those of its config for the corpus, or of its
    config for another corpus. A network without any config gets the vision options that its view needs.

    Args:
        name: Class of the network or baseline.
        corpus: One of `CORPORA`.
        budget: One of `BUDGETS`.
        overrides: Fields and values as text, for all networks alike.

    Raises:
        ConfigError: A field or value that is not valid.
    """
    own = _configs().get(name, [])
    base = next((each for each in own if each.corpus == corpus), own[0] if own else None)
    if base is None:
        model = list_models()[name]()
        view = find_view(model)
        vision = VisionOptions(mask="none", sampling="apex" if view.needs_apex else "uniform")
        if view.least_frames > vision.num_frames:
            vision = dataclasses.replace(vision, num_frames=view.least_frames)
        base = Experiment(model=model, vision=vision)
    line = [each for each in _configs()["LinearFlow"] if each.corpus == corpus]
    variant = line[0].variant if line else ""
    honest = honest_protocol(corpus)
    experiment = dataclasses.replace(
        base, name=f"{corpus}_{name}", corpus=corpus, variant=variant, protocols=(honest, "clip"), seed=0, num_seeds=1,
        num_folds=5, diagnostic="", precision="float32", **_surrogate_defaults(),
    )  # fmt: skip
    if budget == "equal":
        experiment = dataclasses.replace(experiment, **EQUAL)
    else:
        epochs = experiment.epochs
        experiment = dataclasses.replace(
            experiment, selection="validation", validation_share=0.1, patience=20, min_epochs=min(40, epochs // 2)
        )
    for field, text in overrides:
        experiment = override(experiment, field, text)
    scheme = find_release(corpus).find_variant(experiment.variant or None).scheme
    experiment = dataclasses.replace(experiment, model=_with_classes(experiment.model, len(scheme.class_names)))
    experiment.validate()
    check_protocols(experiment.protocols)
    if (honest, "clip") != experiment.protocols:
        raise ConfigError(f"got --config.protocols={experiment.protocols}; a league has {honest} and clip")
    return experiment


def _surrogate_defaults() -> dict[str, Any]:
    """Fields of the surrogate as they are by default: all networks are tested on the same faces."""
    fields = dataclasses.fields(Experiment)
    return {field.name: field.default for field in fields if field.name.startswith("surrogate_")}


def honest_protocol(corpus: str) -> str:
    """Returns the subject-disjoint protocol: `composite` for MEGC 2019, leave-one-subject-out for other corpora."""
    return "composite" if corpus == "megc2019" else "loso"


def _with_classes(model: Any, number: int) -> Any:
    copy = model.clone if hasattr(model, "clone") else functools.partial(dataclasses.replace, model)
    return copy(num_classes=number)


@dataclasses.dataclass(frozen=True)
class League:
    """The runs of one call, with what they share."""

    corpus: str
    budget: str
    out: Path
    names: tuple[str, ...]  # of this call
    overrides: tuple[tuple[str, str], ...]
    options: tuple[str, ...]  # of each run

    def count_parameters(self, name: str) -> int | None:
        """Number of trained parameters of a network; None for a baseline."""
        experiment = make_experiment(name, self.corpus, self.budget, self.overrides)
        if is_baseline(experiment.model):
            return None
        return count_parameters(experiment.model, experiment.vision.num_frames)

    def jobs(self) -> list[Job]:
        """The runs."""
        return [Job(name, self.out / name, self.command(name)) for name in self.names]

    def command(self, name: str) -> list[str]:
        """Command line of a run."""
        return [
            *(sys.executable, "-m", "experiments.league", "--corpus", self.corpus, "--budget", self.budget),
            *("--out", str(self.out), "--run", name, *self.options),
            *(f"--config.{field}={text}" for field, text in self.overrides),
        ]


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[tuple[str, str]]]:
    """Parses the command line; returns its flags and the overrides of config fields.

    Raises:
        ConfigError: An argument is neither.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments.league",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--corpus", required=True, choices=CORPORA)
    parser.add_argument("--budget", default="equal", choices=BUDGETS, help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the league; default: runs/league/<corpus>_<budget>")
    parser.add_argument("--models", default="", metavar="A,B", help="networks and baselines; all by default")
    parser.add_argument("--part", default="1/1", metavar="i/n", help="the i-th of n parts, from 1")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (%(default)s)")
    parser.add_argument("--manual_dir", help="folder of the licensed corpus; default: $MER_MANUAL_DIR")
    parser.add_argument("--data_dir", help="folder of built corpora; default: $MER_DATA_DIR or ./data")
    parser.add_argument("--dry_run", action="store_true", help="list the runs without executing them")
    parser.add_argument("--run", metavar="NAME", help=argparse.SUPPRESS)  # one run, in this process
    plain, overrides = split_overrides(arguments)
    flags, rest = parser.parse_known_args(plain)
    if rest:
        raise ConfigError(f"got {rest[0]!r}; expected a flag of --help, or --config.<field>=value")
    if flags.jobs < 1:
        raise ConfigError(f"got --jobs {flags.jobs}; expected 1 or more")
    return flags, overrides


def make_league(flags: argparse.Namespace, overrides: Sequence[tuple[str, str]]) -> League:
    """Makes the league of a call, and validates every experiment before anything runs.

    Raises:
        ConfigError: An unknown network or part, or a field that is not valid for a run.
    """
    known = list_models()
    names = [name for name in flags.models.split(",") if name] or list(known)
    by_lower = {name.lower(): name for name in known}
    for name in names:
        if name.lower() not in by_lower:
            raise ConfigError(f"no network or baseline is called {name!r}; {near_names(name, known)}")
    names = list(dict.fromkeys(by_lower[name.lower()] for name in names))
    options = [f"--{name}={value}" for name in ("manual_dir", "data_dir") if (value := getattr(flags, name))]
    options.append(f"--jobs={max(1, count_processors() // flags.jobs)}")
    out = (flags.out or Path("runs/league") / f"{flags.corpus}_{flags.budget}").expanduser()
    for name in names:
        make_experiment(name, flags.corpus, flags.budget, overrides)
    part = select_part(names, flags.part)
    return League(flags.corpus, flags.budget, out, tuple(part), tuple(overrides), tuple(options))


def select_part(names: Sequence[str], part: str) -> list[str]:
    """Selects the runs of `--part i/n`.

    Raises:
        ConfigError: `part` is not i/n with i from 1 to n.

    Example:
        >>> sorted(select_part(["a", "b", "c"], "1/2") + select_part(["a", "b", "c"], "2/2"))
        ['a', 'b', 'c']
    """
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"got --part {part}; expected i/n with i from 1 to n, such as 2/4")
    return select_share(names, int(match[1]) - 1, int(match[2]))


def open_league(league: League) -> None:
    """Creates the folder of a league, or checks an existing one.

    Raises:
        ConfigError: The folder holds another league.
    """
    out = output_folder(league.out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    path, description = out / "league.json", describe(league)
    if path.exists() and (there := json.loads(path.read_text())) != description:
        changed = [key for key in description if there.get(key) != description[key]]
        raise ConfigError(
            f"{out} holds a league with {', '.join(f'{key} {there.get(key)}' for key in changed)}; this call has "
            f"{', '.join(f'{key} {description[key]}' for key in changed)}. Choose another --out."
        )
    write_atomically(path, json.dumps(description, indent=2) + "\n")


def describe(league: League) -> dict[str, Any]:
    """What all calls with one --out have to agree on."""
    return {"corpus": league.corpus, "budget": league.budget, "overrides": dict(league.overrides)}


def run_one(flags: argparse.Namespace, overrides: Sequence[tuple[str, str]]) -> None:
    """Executes one run in this process."""
    from experiments.run_experiment import RunOptions, run_experiment

    if flags.run not in list_models():
        raise ConfigError(f"no network or baseline is called {flags.run!r}; {near_names(flags.run, list_models())}")
    experiment = make_experiment(flags.run, flags.corpus, flags.budget, overrides)
    options = RunOptions(
        manual_dir=flags.manual_dir,
        data_dir=flags.data_dir,
        workdir=flags.out.expanduser() / flags.run,
        resume=True,
        jobs=flags.jobs,
        no_faces=True,
        command=("python", "-m", "experiments.league", *sys.argv[1:]),
    )
    workdir, _ = run_experiment(experiment, options)
    shutil.rmtree(workdir / CHECKPOINTS, ignore_errors=True)  # up to 3 GB a network, which nothing reads again


def main(arguments: Sequence[str]) -> None:
    """The command."""
    flags, overrides = parse(arguments)
    if flags.run:
        run_one(flags, overrides)
        return
    league = make_league(flags, overrides)
    if flags.dry_run:
        for job in league.jobs():
            print(job.name, "finished" if (job.folder / FINISHED).exists() else "")
        return
    open_league(league)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's end is as good as Ctrl-C
    runner = Runner(league.jobs(), flags.jobs)
    runner.execute()
    failures = runner.failures()
    print(f"the runs took {runner.seconds:.0f} s", flush=True)
    print(f"table: {write_league(league.out, list_models(), league.count_parameters)}", flush=True)
    if failures:
        reasons = "\n       ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise MerError(f"{len(failures)} of {len(league.names)} runs failed; the others are done\n       {reasons}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            lambda: main(sys.argv[1:]), on_interrupt="interrupted; the same command continues where this one stopped"
        )
    )
