"""Does a killed and resumed run predict the same as an undisturbed one on this device?

    python -m benchmarks.resume [--epochs 40] [--subjects 4] [--per_subject 6] [--json FILE]

Leave-one-subject-out of our default network on noise, in processes: one runs undisturbed, one is killed with SIGKILL
after its first chunk of epochs and started again. Prints how long each took, and how far the predictions of the two
are apart: 0 on one CPU. On a GPU, XLA may choose other kernels in another process, so that the last bits differ.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.lanes import make_clips
from benchmarks.timing import make_parser, report
from mer_jax import train
from mer_jax.config import Experiment
from mer_jax.models import HybridAttention3DNet
from mer_jax.system.machine import keep_freed_memory


def work(arguments: argparse.Namespace) -> None:
    """Trains, says when each chunk of epochs is done, and writes the probabilities."""
    keep_freed_memory()
    experiment = Experiment(
        model=HybridAttention3DNet(),
        protocols=("loso",),
        epochs=arguments.epochs,
        min_epochs=1,
        epochs_per_chunk=max(1, arguments.epochs // 4),
        patience=0,
    )
    clips = make_clips(arguments.per_subject, subjects=arguments.subjects)
    folder = Path(arguments.worker)
    results = train(
        experiment,
        clips,
        checkpoints=folder / "checkpoints",
        on_epochs=lambda lane, rows: print(f"epoch {int(rows[0]['epoch'])}", flush=True),
    )
    np.save(folder / "probabilities.npy", results["loso"].probabilities)


def run(folder: Path, arguments: argparse.Namespace, *, kill_after: int = 0) -> tuple[float, list[str]]:
    """Runs a process; kills it after so many chunks, 0 for never.

    Returns:
        Its seconds and the lines that it printed.
    """
    command = [sys.executable, "-m", "benchmarks.resume", "--worker", str(folder)]
    for name in ("epochs", "subjects", "per_subject"):
        command += [f"--{name}", str(getattr(arguments, name))]
    start, lines = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == kill_after:
                process.send_signal(signal.SIGKILL)
    if process.returncode and not kill_after:
        raise SystemExit(f"the process ended with {process.returncode}")
    return time.perf_counter() - start, lines


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--per_subject", type=int, default=6, help="clips of each subject")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as root:
        whole, killed = Path(root, "whole"), Path(root, "killed")
        whole.mkdir()
        killed.mkdir()
        # The first chunk after each fold's start has been saved when the next one reports.
        rows = []
        after = arguments.subjects + 1
        for name, folder, kill_after in (("undisturbed", whole, 0), ("killed", killed, after), ("resumed", killed, 0)):
            seconds, lines = run(folder, arguments, kill_after=kill_after)
            first = next((line for line in lines if line.startswith("epoch")), "none")
            rows.append({"run": name, "s": f"{seconds:.1f}", "first reported": first, "chunks": len(lines)})
        apart = np.abs(np.load(whole / "probabilities.npy") - np.load(killed / "probabilities.npy"))
    notes = [f"probabilities of the resumed run differ by at most {apart.max():.2g}"]
    report(rows, arguments.json, notes=notes, largest_difference=float(apart.max()))


if __name__ == "__main__":
    main()
