"""What does one more cell of a grid of experiments cost beside its training?

    python -m benchmarks.grid [--per_subject 2] [--only NAME ...] [--json FILE]

The five networks of the paper, leave-one-subject-out on noise, one after another in one
process: seconds until the first epoch of the first fold is done (tracing and compiling), and
seconds of an epoch of another fold of the same program, which is compiled already. `again` is
a second process with the compilation cache that the first one filled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import jax

from benchmarks.lanes import make_chunk, make_clips, make_loso
from benchmarks.timing import make_parser, report, time_call
from mer_jax.models import (
    DualPath3DNet,
    HybridAttention3DNet,
    HybridAttention3DSENet,
    SinglePath3DNet,
    SqueezeExcitation3DNet,
)
from mer_jax.system.machine import keep_freed_memory

_IN_TURN = (HybridAttention3DNet, DualPath3DNet, SqueezeExcitation3DNet, HybridAttention3DSENet, SinglePath3DNet)
NETWORKS = {network.__name__: network for network in _IN_TURN}


def work(names: Sequence[str], per_subject: int, batch: int, rounds: int) -> None:
    """Runs one process; prints the seconds of each network as JSON."""
    keep_freed_memory()  # before JAX has threads
    jax.config.update("jax_compilation_cache_dir", os.environ["MER_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    clips, rows = make_clips(per_subject), {}
    for name in names:
        start = time.perf_counter()
        chunk = make_chunk(make_loso(clips, model=NETWORKS[name](), batch_size=batch), 1)
        time_call(chunk)
        first = time.perf_counter() - start
        rows[name] = (first, min(time_call(chunk) for _ in range(rounds)))
    print(json.dumps(rows))


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=3)
    parser.add_argument("--per_subject", type=int, default=2, help="clips of each of 16 subjects")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="these networks")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.only, arguments.per_subject, arguments.batch, arguments.rounds)
        return
    command = [sys.executable, "-m", "benchmarks.grid", "--worker", "--per_subject", str(arguments.per_subject)]
    command += ["--batch", str(arguments.batch), "--rounds", str(arguments.rounds), "--only", *arguments.only]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            environment = os.environ | {"MER_CACHE_DIR": folder}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout))
    rows = [
        {
            "network": name,
            "first epoch s": f"{first:.2f}",
            "again": f"{runs[1][name][0]:.2f}",
            "epoch s": f"{epoch:.3f}",
        }
        for name, (first, epoch) in runs[0].items()
    ]
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
