"""How long does prediction take, by implementation of the convolution?

    python -m benchmarks.inference [--rounds 7] [--json FILE]

The network of `paper_net.py`, float32, batches of 1, 8 and 80 prepared clips.
"""

from benchmarks import paper_net
from benchmarks.timing import make_parser, matrix_product_rate, median_ratio, report, summarize, time_interleaved
from mer_jax.system.machine import keep_freed_memory


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    arguments = make_parser(__doc__, batch=80, rounds=7).parse_args()
    kept = keep_freed_memory()  # before JAX has threads
    peak = matrix_product_rate()
    names = [*paper_net.implementations(), "direct"]
    rows = []
    for batch in sorted({1, 8, arguments.batch}):
        used = names if batch <= 8 else names[:-1]  # XLA's own takes seconds and gigabytes
        programs = {name: paper_net.make_predictor(name, batch) for name in used}
        seconds = time_interleaved(programs, arguments.rounds)
        flops = paper_net.count_flops(batch, training=False)
        for name, times in seconds.items():
            row = {"batch": batch, "implementation": name, **summarize(times, clips=batch, flops=flops, peak=peak)}
            rows.append(row | {f"times {names[0]}": round(median_ratio(times, seconds[names[0]]), 2)})
    notes = [f"{arguments.rounds} interleaved rounds; matrix product {peak / 1e9:.0f} GFLOP/s"]
    report(rows, arguments.json, notes=notes, matrix_product=peak, mallopt=kept)


if __name__ == "__main__":
    main()
