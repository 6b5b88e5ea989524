"""How long do whole protocols take beside plain PyTorch, and beside scikit-learn alone?

    pip install torch scikit-learn      # beside the project, in an environment of its own: torch is not in the lock
    python -m benchmarks.protocols_beside_peers [--folds 6] [--epochs 40] [--batches 20 256] [--clip_epochs 5]
        [--batch 80] [--rounds 3] [--only NAME ...] [--json FILE]

Leave one subject out, wall clock from clips in memory to the probabilities of every tested clip. Ours is one call of
`mer_jax.train`, tracing and compiling included, which the table also lists apart. PyTorch is one loop over the folds
with the same layers, augmentation, class weights, Adam, batch size and epochs; scikit-learn is one loop with the same
estimator. STSTNet, OFF-ApexNet and LinearFlow get 442 random pictures of motion features of 68 people, the sizes of
MEGC 2019; Hybrid Attention-3DNet and LBP-TOP's classifier get 164 random clips of 16 people, the size of SMIC. Nothing
validates, and the last epoch is tested.

--folds N runs the first N folds on both sides, and 0 all of them. Nothing is extrapolated: compiling then weighs more
than in a whole protocol.

Every run is a process of its own, the sides by turns, forwards and backwards. Imports are not counted, nor is compiling
the C++ library, which happens once a machine. Peers run in the fastest of the settings that are tried first: one thread
or one for each processor, and for PyTorch Adam as it comes or in one kernel. All processes keep freed memory, as
`experiments.run` does.

Before anything is timed, every run checks that networks in PyTorch have our number of parameters, and with our weights
our logits, and our gradients in training; that augmentation is the same; and that scikit-learn answers what ours
answers. If any of these fails, there is no table.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
from importlib import metadata, util
from typing import Any

import numpy as np

from benchmarks import loso_jobs
from benchmarks.loso_jobs import MODELS, NETWORKS, Job
from benchmarks.timing import make_parser, median_ratio, report
from mer_jax.blocks.conv_pool import resolve
from mer_jax.system.machine import keep_freed_memory

_INSTALL = "PyTorch is not installed, so networks were timed without it; `pip install torch` in another environment"


def work(side: str, job: Job) -> None:
    """Runs a protocol once in this process; prints what it took as JSON."""
    keep_freed_memory()  # before JAX or PyTorch has threads
    clips = loso_jobs.make_clips(job.name)
    if side == "ours":
        import jax

        jax.config.update("jax_enable_compilation_cache", False)  # the user's would hide the time of compiling
        jax.devices()
        run = loso_jobs.run_ours(job, clips)
    elif side == "PyTorch":
        from benchmarks import loso_torch

        run = loso_torch.run_torch(job, clips)
    else:
        run = loso_jobs.run_sklearn(job, clips)
    tested = sum(int(fold.test.sum()) for fold in loso_jobs.make_folds(clips, job.folds))
    if run.scores.shape != (tested, 3) or not np.isfinite(run.scores).all():
        raise SystemExit(f"error: {side} scored {run.scores.shape} or not all finite, expected ({tested}, 3)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(json.dumps({**dataclasses.asdict(dataclasses.replace(run, scores=np.zeros(0))), "scores": 0, "peak": peak}))


def choose(side: str, job: Job) -> None:
    """Prints the job in the fastest setting of a peer as JSON."""
    keep_freed_memory()
    if side == "PyTorch":
        from benchmarks import loso_torch

        job = loso_torch.choose_setting(job)
    else:
        clips, two = loso_jobs.make_clips(job.name), dataclasses.replace(job, folds=2)
        tried = [dataclasses.replace(two, threads=threads) for threads in loso_jobs.list_threads()]
        seconds = [min(loso_jobs.run_sklearn(each, clips).seconds for _ in range(2)) for each in tried]
        job = dataclasses.replace(job, threads=tried[int(np.argmin(seconds))].threads)
    print(json.dumps(dataclasses.asdict(job)))


def _call(stage: str, side: str, job: Job) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.protocols_beside_peers"]
    command += ["--stage", stage, "--side", side, "--job", json.dumps(dataclasses.asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {side} on {job.name} ended with code {done.returncode}; its message is above")
    return json.loads(done.stdout.splitlines()[-1])


def list_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Lists the protocols that the flags ask for."""
    jobs = []
    for name in arguments.only:
        if name not in NETWORKS:
            jobs.append(Job(name, folds=arguments.folds))
        elif name == "Hybrid Attention-3DNet":
            jobs.append(Job(name, arguments.clip_epochs, arguments.batch, arguments.folds))
        else:
            jobs += [Job(name, arguments.epochs, batch, arguments.folds) for batch in arguments.batches]
    return jobs


def check(names: list[str], *, with_torch: bool) -> None:
    """Verifies that the PyTorch and scikit-learn versions compute the same as ours.

    Raises:
        SystemExit: One of them does not.
    """
    try:
        for name in names:
            if name not in NETWORKS:
                loso_jobs.check_baseline(name)
            elif with_torch:
                from benchmarks import loso_torch

                loso_torch.check_network(name)
                if name == "Hybrid Attention-3DNet":
                    loso_torch.check_augmentation()
    except ValueError as error:
        raise SystemExit(f"error: nothing was timed: {error}") from error


def measure(job: Job, rounds: int, *, with_torch: bool) -> list[dict[str, Any]]:
    """Times one protocol on all sides by turns; returns the rows of the table."""
    sides = {"ours": ("ours", job)}
    if job.name not in NETWORKS:
        chosen = Job(**_call("choose", "scikit-learn", job))
        sides[f"scikit-learn, {_threads(chosen)}"] = ("scikit-learn", chosen)
        if job.name == "LinearFlow":  # approximate components, which scikit-learn chooses for this many
            default = dataclasses.replace(chosen, variant="default PCA")
            sides[f"scikit-learn, default PCA, {_threads(chosen)}"] = ("scikit-learn", default)
    elif with_torch:
        chosen = Job(**_call("choose", "PyTorch", job))
        name = f"PyTorch, {_threads(chosen)}{', fused Adam' if chosen.variant else ''}"
        sides[name] = ("PyTorch", chosen)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            runs[name].append(_call("work", *sides[name]))
            note = f"{job.name}, batch {job.batch}, {name}: {runs[name][-1]['seconds']:.1f} s"
            print(note, file=sys.stderr, flush=True)
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    clips = loso_jobs.make_clips(job.name)
    rows = []
    for name, each in runs.items():
        median = {key: statistics.median(run[key] for run in each) for key in each[0]}
        row = {"protocol": job.name, "folds": len(loso_jobs.make_folds(clips, job.folds))}
        row |= {"epochs": job.epochs or "", "batch": job.batch or "", "with": name, "seconds": seconds[name]}
        row["median s"] = f"{median['seconds']:.1f}"
        row["of it compiling"] = f"{median['compile_s']:.1f}" if name == "ours" and job.epochs else ""
        row["processor s"] = f"{median['processor_s']:.1f}"
        row["peak MiB"] = round(max(run["peak"] for run in each))
        row["training loss"] = f"{median['loss']:.3f}" if job.epochs else ""
        row["times ours"] = f"{median_ratio(seconds[name], seconds['ours']):.2f}"
        rows.append(row)
    return rows


def _threads(job: Job) -> str:
    return f"{job.threads} thread{'s' if job.threads > 1 else ''}"


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=3)
    parser.add_argument("--folds", type=int, default=6, help="the first folds of each protocol; 0: all (default: 6)")
    parser.add_argument("--epochs", type=int, default=40, help="of networks on motion features (default: 40)")
    parser.add_argument("--clip_epochs", type=int, default=5, help="of networks on clips, with --batch (default: 5)")
    parser.add_argument("--batches", type=int, nargs="+", default=[20, 256], help="of these (default: 20 256)")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), help="these protocols")
    parser.add_argument("--stage", choices=("work", "choose"), help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        (work if arguments.stage == "work" else choose)(arguments.side, Job(**arguments.job))
        return
    with_torch = util.find_spec("torch") is not None
    jobs = list_jobs(arguments)
    check(arguments.only, with_torch=with_torch)
    resolve("auto")  # compiles the C++ library, once a machine
    rows = [row for job in jobs for row in measure(job, arguments.rounds, with_torch=with_torch)]
    peers = ["scikit-learn", *(["torch"] if with_torch else [])]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in peers)
    notes = [f"medians of {arguments.rounds} rounds; {versions}"]
    if not with_torch and any(job.name in NETWORKS for job in jobs):
        notes.append(_INSTALL)
    report(rows, arguments.json, notes=notes, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
