"""How much memory does a training step need, by implementation and batch?

    python -m benchmarks.memory [--batch 80] [--direct] [--json FILE]

The network of `paper_net.py`, a new process for each row: three steps, then the peak memory of
the whole process and the temporary memory that XLA plans in addition to weights and inputs
(`temp`). Weights and Adam's state alone take 413 MB. `benchmarks.peers` also measures the peak
of PyTorch and Keras.
"""

import argparse
import json
import resource
import subprocess
import sys

import jax

from benchmarks import paper_net
from benchmarks.timing import make_parser, report, time_call
from mer_jax.system.machine import keep_freed_memory


def work(implementation: str, batch: int, keep: bool) -> None:
    """Runs the process of one row; prints JSON."""
    if keep:
        keep_freed_memory()
    run = paper_net.make_trainer(implementation, batch)
    for _ in range(3):
        time_call(run)  # waits: the next step starts when this one has freed its memory
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    print(json.dumps({"peak": peak, "device": device, "temp": paper_net.plan_memory(implementation, batch)}))


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80)
    parser.add_argument("--direct", action="store_true", help="measure XLA's own convolution too (21 GB at batch 80)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.batch, arguments.keep)
        return
    names = paper_net.implementations()
    names += ["direct"] if arguments.direct else []
    rows = []
    for batch in sorted({8, arguments.batch}):
        for name in names:
            for keep in ([], ["--keep"]):
                command = [sys.executable, "-m", "benchmarks.memory", "--worker", name, "--batch", str(batch), *keep]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                figures = json.loads(done.stdout)
                row = {"batch": batch, "implementation": name, "malloc": "keeps" if keep else "as it comes"}
                row |= {"peak MiB": round(figures["peak"]), "temp MB": round(figures["temp"] / 1e6)}
                row |= {"device MB": round(figures["device"] / 1e6)} if figures["device"] else {}
                rows.append(row)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
