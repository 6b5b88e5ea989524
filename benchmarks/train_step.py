"""How long does a training step take, by implementation of the convolution?

    python -m benchmarks.train_step [--batch 80] [--rounds 7] [--direct] [--json FILE]

The network of `paper_net.py`, float32, whole steps: forward, backward, Adam. Every run waits
for the new weights. `--direct` adds XLA's own convolution, which takes many seconds and
gigabytes at batch 80 on a CPU.
"""

from benchmarks import paper_net
from benchmarks.timing import make_parser, matrix_product_rate, median_ratio, report, summarize, time_interleaved
from mer_jax.system.machine import keep_freed_memory


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=7)
    parser.add_argument("--direct", action="store_true", help="time XLA's own convolution too")
    arguments = parser.parse_args()
    kept = keep_freed_memory()  # before JAX has threads
    peak = matrix_product_rate()
    names = paper_net.implementations()
    names += ["direct"] if arguments.direct else []
    programs = {name: paper_net.make_trainer(name, arguments.batch) for name in names}
    seconds = time_interleaved(programs, arguments.rounds)
    flops = paper_net.count_flops(arguments.batch, training=True)
    rows = [
        {
            "implementation": name,
            **summarize(times, clips=arguments.batch, flops=flops, peak=peak),
            f"times {names[0]}": round(median_ratio(times, seconds[names[0]]), 2),
        }
        for name, times in seconds.items()
    ]
    notes = [
        f"batch {arguments.batch}, {arguments.rounds} interleaved rounds; malloc "
        f"{'keeps freed memory (mer_jax.system.machine)' if kept else 'as it comes'}; "
        f"matrix product {peak / 1e9:.0f} GFLOP/s",
    ]
    report(rows, arguments.json, notes=notes, batch=arguments.batch, matrix_product=peak, mallopt=kept)


if __name__ == "__main__":
    main()
