"""How much faster is the tiled convolution than XLA's own?

    python -m benchmarks.conv_pool [--batch 8] [--rounds 7] [--json FILE]

One path of the paper's nets up to the pool, 18 frames of 64 x 128 (height x width),
value and gradient with respect to the filters. `direct` is XLA's 3D convolution and
max pooling, which is what `nn.Conv` and `nn.max_pool` compile to.
"""

import argparse
import json
import statistics
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.timing import describe_machine, format_table, median_ratio, time_interleaved
from mer_jax.blocks.conv_pool import conv_relu_pool

CASES = {
    "our default: 8 filters of 3x3x3, pool 4x8x8": (8, (3, 3, 3), (4, 8, 8)),
    "32 filters of 3x3x3, pool 3x3x3": (32, (3, 3, 3), (3, 3, 3)),
}


def measure(batch: int, rounds: int) -> list[dict[str, object]]:
    """Times both implementations on every case; seconds are per step of `batch` clips."""
    results = []
    for name, (features, kernel_size, pool_size) in CASES.items():
        keys = jax.random.split(jax.random.key(0))
        clips = jax.random.normal(keys[0], (batch, 18, 64, 128, 1))
        weights = jax.random.normal(keys[1], (*kernel_size, 1, features)), jnp.zeros(features)
        programs, megabytes = {}, {}
        for implementation in ("tiled", "direct"):

            def loss(weights, implementation=implementation, pool_size=pool_size, clips=clips):
                y = conv_relu_pool(clips, *weights, pool_size=pool_size, implementation=implementation)
                return (y**2).sum()

            compiled = jax.jit(jax.value_and_grad(loss)).lower(weights).compile()
            megabytes[implementation] = compiled.memory_analysis().temp_size_in_bytes / 1e6
            programs[implementation] = lambda compiled=compiled, weights=weights: compiled(weights)
        seconds = time_interleaved(programs, rounds)
        ratio = median_ratio(seconds["direct"], seconds["tiled"])
        results.append({"case": name, "batch": batch, "seconds": seconds, "temp_mb": megabytes, "ratio": ratio})
    return results


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments.batch, arguments.rounds)
    rows = []
    for result in results:
        for name, seconds in result["seconds"].items():
            milliseconds = [1e3 * s for s in seconds]
            spread = f"{min(milliseconds):.0f} .. {max(milliseconds):.0f}"
            ratio = f"{result['ratio']:.1f}" if name == "direct" else "1"
            memory = f"{result['temp_mb'][name]:.0f}"
            rows.append([result["case"], name, f"{statistics.median(milliseconds):.0f}", spread, ratio, memory])
    print(describe_machine())
    header = ["front, value and gradient", "implementation", "median ms", "range", "ratio to tiled", "temp MB"]
    print(format_table(header, rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
