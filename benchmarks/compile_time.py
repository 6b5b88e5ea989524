"""How long does it take from a command to the first training step, with an empty and a filled compilation cache?

    python -m benchmarks.compile_time [--batch 8] [--rounds 3] [--json FILE]

The network of `paper_net.py`, a new process for each run. `cold`: empty caches; for `native`
this includes compiling the C++ library, once a machine. `warm`: the same command again.
Columns are medians in seconds: imports, the C++ library, tracing and compiling, first step.
"""

import time

_START = time.perf_counter()  # before the imports, which are the first stage

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402

from benchmarks.timing import make_parser, report, time_call  # noqa: E402


def work(implementation: str, batch: int) -> None:
    """Runs one process; prints the seconds of its stages as JSON."""
    import jax

    from benchmarks import paper_net
    from mer_jax.blocks.conv_pool import resolve
    from mer_jax.system.files import user_cache_dir

    jax.config.update("jax_compilation_cache_dir", str(user_cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    stages = {"imports": time.perf_counter() - _START, "library": time_call(lambda: resolve(implementation))}
    start = time.perf_counter()
    run = paper_net.make_trainer(implementation, batch)
    time_call(run)
    first_step = time.perf_counter() - start
    step = time_call(run)
    print(json.dumps(stages | {"compilation": first_step - step, "step": step}))


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=8, rounds=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.batch)
        return
    rows = []
    for name in ("native", "fused", "direct"):
        runs = {"cold": [], "warm": []}
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "benchmarks.compile_time", "--worker", name]
                command += ["--batch", str(arguments.batch)]
                for kind in ("cold", "warm"):
                    environment = os.environ | {"MER_CACHE_DIR": folder}
                    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                    runs[kind].append(json.loads(done.stdout))
        for kind, stages in runs.items():
            medians = {f"{stage} s": statistics.median(run[stage] for run in stages) for stage in stages[0]}
            row = {"implementation": name, "cache": kind} | {key: f"{value:.2f}" for key, value in medians.items()}
            rows.append(row | {"in all s": f"{sum(medians.values()):.2f}"})
    report(rows, arguments.json, notes=[f"batch {arguments.batch}, {arguments.rounds} rounds"])


if __name__ == "__main__":
    main()
