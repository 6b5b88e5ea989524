"""How long do the paper's networks take for whole protocols, and the 64 runs of its grid?

    python -m benchmarks.network_protocols [--networks HybridAttention3DNet ...] [--epochs 200] [--batch 80]
        [--protocols paper loso] [--at_once 1] [--built DIR] [--json FILE]

Each network is trained on the SURROGATE of SMIC without early stopping, as `experiments.grid` does: seconds from data
in memory to predictions, of which until the first epochs are done (tracing, compiling, autotuning), and scores. With
`--at_once` above 1, so many networks are trained at the same time in processes of their own, so that one compiles while
another trains; the times of one network then include waiting for others.

`--built` names a built data set, `<data_dir>/surrogate_smic/hs/<version>`, for a machine without MediaPipe; by default
the corpus is rendered and built first.

Last comes what the grid would take: the time of these runs, by clips trained on in the four corpora.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.grid import NETWORKS
from benchmarks.timing import make_parser, report
from datasets.load import load_corpus
from datasets.read import load_clips
from datasets.release import find_release
from experiments.grid import AXES, CORPORA, NETS
from mer_jax import models, train
from mer_jax.config import Experiment
from mer_jax.system.machine import keep_freed_memory
from mer_jax.vision.options import VisionOptions


def count_work(corpus: str) -> int:
    """Returns clips times people, as published: the work of an epoch of leave-one-subject-out, up to a factor."""
    published: Any = find_release(corpus).published
    if isinstance(published, dict):  # SMIC publishes counts for each camera
        published = published[find_release(corpus).parts[0]]
    return sum(published.by_subject.values()) * len(published.by_subject)


def run_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains one network under all protocols."""
    keep_freed_memory()
    name = arguments.networks[0]
    experiment = Experiment(
        name="benchmark",
        corpus="smic",
        model=getattr(models, name)(),
        vision=VisionOptions(),
        protocols=tuple(arguments.protocols),
        epochs=arguments.epochs,
        min_epochs=min(arguments.epochs, 40),
        batch_size=arguments.batch,
        patience=0,
        surrogate_clips=arguments.clips,
        surrogate_subjects=arguments.clips and 6,
    )
    clips = load_clips(arguments.built) if arguments.built else load_corpus(experiment, say=lambda line: None)[0]
    first: list[float] = []
    start = time.perf_counter()
    results = train(experiment, clips, on_epochs=lambda lane, rows: first.append(time.perf_counter() - start))
    row: dict[str, Any] = {"network": name, "s": time.perf_counter() - start, "until first epochs, s": first[0]}
    for protocol, result in results.items():
        scores = result.scores()
        row[f"{protocol} accuracy"], row[f"{protocol} UF1"] = scores["accuracy"], scores["uf1"]
    return row


def run_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs a process for each network, some of them at the same time."""

    def run(name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.network_protocols", "--worker", "--networks", name]
        command += ["--epochs", str(arguments.epochs), "--batch", str(arguments.batch)]
        command += ["--clips", str(arguments.clips), "--protocols", *arguments.protocols]
        command += ["--built", arguments.built] if arguments.built else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed: {done.stderr.strip()[-2000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {row['s']:.0f} s", file=sys.stderr, flush=True)
        return row

    with ThreadPoolExecutor(arguments.at_once) as pool:
        return list(pool.map(run, arguments.networks))


def _format(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if key.endswith(" s") or key == "s" else f"{value:.3f}"


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--protocols", nargs="+", default=["paper", "loso"])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--clips", type=int, default=0, help="render a smaller surrogate; 0 for all 164 clips")
    parser.add_argument("--at_once", type=int, default=1, help="networks trained at the same time")
    parser.add_argument("--built", help="folder of a built data set")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(run_one(arguments)))
        return
    start = time.perf_counter()
    rows = run_all(arguments)
    wall = time.perf_counter() - start
    shown = [{key: _format(key, value) for key, value in row.items()} for row in rows]
    in_grid = [row for row in rows if row["network"] != "SinglePath3DNet"]
    protocols = ", ".join(arguments.protocols)
    notes = [f"SURROGATE SMIC, {arguments.epochs} epochs, batch {arguments.batch}, protocols {protocols}"]
    if in_grid and "loso" in arguments.protocols:
        first = sum(row["until first epochs, s"] for row in in_grid) / len(in_grid)
        rest = sum(row["s"] for row in in_grid) / len(in_grid) - first
        lengths, work = AXES["epochs"], {corpus: count_work(corpus) for corpus in CORPORA}
        # Of the training of a network with one batch size, in these runs: all corpora and lengths.
        scale = sum(work.values()) / work["smic"] * sum(lengths) / arguments.epochs
        networks = len(NETS) * len(AXES["batch_size"])
        seconds = networks * (len(CORPORA) * len(lengths) * first + scale * rest) / arguments.at_once
        notes.append(
            f"the 64 runs of the grid, extrapolated (training by clips times people and epochs, compiling by run): "
            f"{seconds / 60:.0f} min, {arguments.at_once} at once"
        )
    notes.append(f"wall clock of all: {wall:.0f} s, Python's start and reading the data included")
    report(shown, arguments.json, notes=notes, wall_s=wall)


if __name__ == "__main__":
    main()
