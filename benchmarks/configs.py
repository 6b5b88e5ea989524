"""How long does each config of `experiments/configs` train on this machine, at most?

    python -m benchmarks.configs [NAME ...] [--epochs 2] [--write] [--json FILE]

For every config, or those named, on random clips of its corpus's size and shape: the seconds until the first epoch of
the first fold is done (which includes compiling) and the seconds of an epoch after it, for each protocol of the
config. From these follows a bound on its training: all folds, all epochs, no early stopping, one fold after another.
Baselines have no epochs: their features and one fold are timed. Rendering and preparing the clips is not included.

--write puts the bound into the docstring of each config, in the line that begins with `Time:`.
"""

import ast
import contextlib
import dataclasses
import datetime
import json
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

import mer_jax
from benchmarks.timing import describe_machine, format_table, make_parser
from datasets.release import find_release
from experiments.config_files import CONFIG_FOLDER, find_config, load_config
from mer_jax.cli.command import run_command
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view
from mer_jax.errors import ConfigError
from mer_jax.protocols import make_plan
from mer_jax.system.machine import keep_freed_memory

TIME_LINE = re.compile(r"^Time: .*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one protocol of a config costs.

    Attributes:
        protocol: Its name.
        folds: Number of folds, over all seeds.
        first_s: Seconds until the first epoch of the first fold is done; of a baseline, its features.
        epoch_s: Seconds of an epoch; of a baseline, of a fold.
        epochs: At most, in each fold; 1 for a baseline.
    """

    protocol: str
    folds: int
    first_s: float
    epoch_s: float
    epochs: int

    @property
    def most_s(self) -> float:
        """Seconds of all folds and epochs."""
        return self.first_s + self.folds * self.epochs * self.epoch_s


class _EnoughEpochs(Exception):  # noqa: N818, no error
    """Ends a training of which enough was timed."""


def count_corpus(experiment: Experiment) -> tuple[tuple[int, ...], int]:
    """Returns the published clips of each class of an experiment's class scheme, and the number of people.

    Where the source of a scheme does not state its people, those of the corpus's largest scheme count: a bound.

    Raises:
        ConfigError: No scheme of the corpus states its people.
    """
    release = find_release(experiment.corpus)
    scheme = release.find_variant(experiment.variant or None).scheme
    people = scheme.num_subjects or max((each.num_subjects or 0 for each in release.schemes.values()), default=0)
    if not people:
        raise ConfigError(
            f"no class scheme of {experiment.corpus} states its number of people; set num_subjects of one in "
            f"datasets/{experiment.corpus}/release.py"
        )
    return tuple(scheme.by_class.values()), people


def make_random_clips(experiment: Experiment) -> Clips:
    """Makes random clips of the size and shape that an experiment trains on."""
    counts, num_subjects = count_corpus(experiment)
    rng, n = np.random.default_rng(0), sum(counts)
    frames = experiment.vision.num_frames
    shape = [frames if isinstance(size, str) else size for size in find_view(experiment.model).stored_dims()]
    return Clips.from_arrays(
        rng.integers(0, 256, (n, *shape), np.uint8),
        rng.permutation(np.repeat(np.arange(len(counts)), counts)),
        [f"s{index % num_subjects:02d}" for index in range(n)],
        corpus_name=experiment.corpus,
    )


def measure_network(experiment: Experiment, clips: Clips, protocol: str, epochs: int) -> Cost:
    """Trains the first epochs of the first fold of a protocol.

    Args:
        experiment: Of a network.
        clips: From `make_random_clips`.
        protocol: One of the experiment's.
        epochs: Timed after the first one, 1 or more; the median counts.
    """
    stamps: list[float] = []

    def stamp(*_) -> None:
        stamps.append(time.perf_counter())
        if len(stamps) > epochs:
            raise _EnoughEpochs

    start = time.perf_counter()
    timed = dataclasses.replace(
        experiment, protocols=(protocol,), epochs=epochs + 1, min_epochs=0, patience=0, epochs_per_chunk=1
    )
    with contextlib.suppress(_EnoughEpochs):
        mer_jax.train(timed, clips, on_epochs=stamp, jobs=1)
    folds = _count_folds(experiment, clips, protocol)
    return Cost(protocol, folds, stamps[0] - start, float(np.median(np.diff(stamps))), experiment.epochs)


def measure_baseline(experiment: Experiment, clips: Clips, protocol: str) -> Cost:
    """Computes the features of all clips and fits one fold."""
    start = time.perf_counter()
    features = experiment.model.features(clips.pictures)
    first_s = time.perf_counter() - start
    test = np.asarray(clips.subject) == clips.subject[0]
    start = time.perf_counter()
    experiment.model.fit_predict(features[~test], clips.label[~test], features[test], experiment.seed)
    fold_s = time.perf_counter() - start
    return Cost(protocol, _count_folds(experiment, clips, protocol), first_s, fold_s, 1)


def _count_folds(experiment: Experiment, clips: Clips, protocol: str) -> int:
    plan = make_plan(
        protocol,
        subjects=clips.subject,
        corpora=clips.corpus,
        labels=clips.label,
        seed=experiment.seed,
        num_folds=experiment.num_folds,
        num_copies=experiment.num_copies,
    )
    return experiment.num_seeds * len(plan.folds)


def measure(experiment: Experiment, epochs: int) -> list[Cost]:
    """Measures every protocol of an experiment."""
    clips = make_random_clips(experiment)
    if hasattr(experiment.model, "fit_predict"):
        return [measure_baseline(experiment, clips, protocol) for protocol in experiment.protocols]
    costs = [measure_network(experiment, clips, protocol, epochs) for protocol in experiment.protocols]
    jax.clear_caches()  # no other config uses these programs
    return costs


def write_time(path: Path, minutes: int, today: datetime.date) -> None:
    """Writes the bound into the docstring of a config.

    Args:
        path: The config file.
        minutes: The bound.
        today: Date of the measurement.

    Raises:
        ConfigError: The docstring has no line that begins with `Time:`, or several.
    """
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text), clean=False) or ""
    found = TIME_LINE.findall(docstring)
    if len(found) != 1:
        raise ConfigError(
            f"{path}: the docstring has {len(found)} lines that begin with 'Time:', expected one, such as "
            "'Time: not measured yet.'"
        )
    unit = "minute" if minutes == 1 else "minutes"
    line = f"Time: at most {minutes} {unit} of training on two cores (benchmarks.configs, {today.isoformat()})."
    path.write_text(text.replace(docstring, TIME_LINE.sub(line, docstring), 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each config as it is measured and, if asked, writes docstrings and JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="configs, such as smic_ha (default: all)")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs after the first one (default: 2)")
    parser.add_argument("--write", action="store_true", help="write each bound into the docstring of its config")
    given = parser.parse_args(arguments)
    if given.epochs < 1:
        parser.error(f"got --epochs {given.epochs}; expected 1 or more")
    paths = [find_config(name) for name in given.names] or sorted(CONFIG_FOLDER.glob("*.py"))
    experiments = [load_config(path) for path in paths]
    keep_freed_memory()  # before JAX has threads, as experiments.run does
    print(describe_machine())
    print(format_table(["config", "protocol", "folds", "first epoch s", "epoch s", "at most, minutes"], []))
    rows = []
    for path, experiment in zip(paths, experiments, strict=True):
        costs = measure(experiment, given.epochs)
        minutes = max(1, math.ceil(sum(cost.most_s for cost in costs) / 60))
        for cost in costs:
            cells = [path.stem, cost.protocol, str(cost.folds), f"{cost.first_s:.1f}", f"{cost.epoch_s:.3f}"]
            print("| " + " | ".join([*cells, str(minutes)]) + " |", flush=True)
        rows.append({"config": path.stem, "minutes": minutes, "protocols": [dataclasses.asdict(c) for c in costs]})
        if given.write:
            write_time(path, minutes, datetime.date.today())
    if given.json:
        given.json.write_text(json.dumps({"machine": describe_machine(), "configs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    interrupted = "interrupted; docstrings of the configs above are written if --write was given"
    raise SystemExit(run_command(main, on_interrupt=interrupted))
