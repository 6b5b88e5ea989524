"""How do PyTorch, Keras on TensorFlow and plain Flax compare?

    pip install -e .[peers]      # in an environment of its own: they are not in the lock
    python -m benchmarks.peers [--inference] [--batch 80] [--rounds 5] [--only NAME ...] [--json FILE]

The same network, the same number of weights, the same batch, float32. Every peer has its own
process, with the allocator settings that the table states. Peers are measured one after
another, since all of them together need 25 GB at batch 80, and each is interleaved with ours,
A B C C B A, so that drift of the machine affects all alike; ratios are taken round by round.
Peak memory is that of the whole process. `flax direct` is what `nn.Conv` and `nn.max_pool`
compile to.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from importlib import metadata, util

import jax

from benchmarks import paper_net, peer_nets
from benchmarks.timing import make_parser, matrix_product_rate, median_ratio, report, summarize

# glibc's malloc told to keep what is freed, from outside: what mer_jax.system.machine does from inside.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
# Each process takes the GPU memory that it uses and no more: without, the first one takes nearly all.
_SHARE_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
# name -> (package, allocator as the table states it, environment)
PEERS = {
    "mer_jax native": ("jax", "mallopt, from inside", {}),
    "mer_jax fused": ("jax", "mallopt, from inside", {}),
    "mer_jax batched": ("jax", "mallopt, from inside", {}),
    "mer_jax native, malloc as it comes": ("jax", "as it comes", {}),
    "mer_jax fused, malloc as it comes": ("jax", "as it comes", {}),
    "keras": ("keras", "as it comes (TensorFlow pools)", {"TF_CPP_MIN_LOG_LEVEL": "3"}),
    "torch": ("torch", "as it comes", {}),
    "torch tuned": ("torch", "malloc environment; fused Adam", _MALLOC),
    "flax direct": ("jax", "mallopt, from inside", {}),
}


def work(name: str, batch: int, training: bool) -> None:
    """Runs the process of one peer: reads a line, executes a step, prints its seconds."""
    if name.startswith(("mer_jax", "flax")):
        if "as it comes" not in name:
            from mer_jax.system.machine import keep_freed_memory

            keep_freed_memory()
        run, weights = peer_nets.make_jax(name.partition(",")[0].split()[1], batch, training=training)
    elif name == "keras":
        run, weights = peer_nets.make_keras(batch, training=training)
    else:
        run, weights = peer_nets.make_torch(batch, training=training, fused=name == "torch tuned")
    for _ in range(2):
        run()
    print("ready", weights, flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        run()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        print(wall, processor, peak, flush=True)


def measure(names: list[str], batch: int, rounds: int, training: bool) -> dict[str, dict[str, list[float]]]:
    """Starts a process for each peer and lets them execute steps in turn."""
    processes, results = {}, {}
    try:
        for name in names:
            command = [sys.executable, "-m", "benchmarks.peers", "--worker", name, "--batch", str(batch)]
            processes[name] = subprocess.Popen(
                command + ([] if training else ["--inference"]),
                env=os.environ | PEERS[name][2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            ready = _read(processes[name], name)  # one after another: compilation disturbs nobody
            results[name] = {"weights": int(ready[1]), "seconds": [], "processor_s": [], "peak_mib": []}
        for number in range(rounds):
            for name in names[:: 1 if number % 2 == 0 else -1]:
                processes[name].stdin.write("step\n")
                processes[name].stdin.flush()
                values = _read(processes[name], name)
                for key, value in zip(("seconds", "processor_s", "peak_mib"), values, strict=True):
                    results[name][key].append(float(value))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return results


def _read(process: subprocess.Popen, name: str) -> list[str]:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"error: the process of {name!r} ended (code {process.wait()}); its message is above")
    return line.split()


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=5)
    parser.add_argument("--inference", action="store_true", help="time prediction instead of training steps")
    parser.add_argument("--only", nargs="*", choices=PEERS, help="these peers (default: all that are installed)")
    parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.batch, not arguments.inference)
        return
    os.environ.update(_SHARE_GPU)  # of the peers' processes too
    elsewhere = ("batched",) if jax.default_backend() == "cpu" else ("native", "fused")
    names = arguments.only or [name for name in PEERS if not any(word in name for word in elsewhere)]
    absent = sorted({PEERS[name][0] for name in names if not util.find_spec(PEERS[name][0])})
    names = [name for name in names if PEERS[name][0] not in absent]
    if not arguments.only and arguments.batch > 16 and not arguments.inference:
        names.remove("flax direct")  # 21 GB at batch 80
    peak = matrix_product_rate()
    flops = paper_net.count_flops(arguments.batch, training=not arguments.inference)
    ours = [name for name in names if name.startswith("mer_jax")]
    rows = []
    for peer in [name for name in names if name not in ours] or [None]:
        results = measure(ours + [peer] * bool(peer), arguments.batch, arguments.rounds, not arguments.inference)
        for name, result in results.items():
            if name in [row[""] for row in rows]:  # ours, as beside the first peer
                continue
            row = {"": name, "allocator": PEERS[name][1]}
            row |= summarize(result["seconds"], clips=arguments.batch, flops=flops, peak=peak)
            row["processor ms"] = f"{1e3 * min(result['processor_s']):.0f}"
            row["peak MiB"] = round(max(result["peak_mib"]))
            for other in ours[:2]:
                row[f"times {other}"] = f"{median_ratio(result['seconds'], results[other]['seconds']):.2f}"
            rows.append(row | {"weights": f"{result['weights'] / 1e6:.1f} M"})
    versions = {p: metadata.version(p) for p in ("torch", "keras", "tensorflow-cpu") if util.find_spec(p.split("-")[0])}
    what = "prediction" if arguments.inference else "training steps"
    notes = [
        f"{what}, batch {arguments.batch}, {arguments.rounds} interleaved rounds; the matrix product is JAX's, "
        f"{peak / 1e9:.0f} GFLOP/s; " + ", ".join(f"{name} {version}" for name, version in versions.items())
    ]
    notes += [f"not installed, so not timed: {', '.join(absent)}; pip install -e .[peers]"] if absent else []
    report(rows, arguments.json, notes=notes, batch=arguments.batch, training=not arguments.inference)


if __name__ == "__main__":
    main()
