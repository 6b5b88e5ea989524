"""Which implementation of the convolution is fastest for which sizes?

    python -m benchmarks.conv_pool [--batch 8] [--rounds 5] [--direct] [--json FILE]

One path of the paper's networks up to the pool, 18 frames of 64 x 128 (height x width), value
and gradient with respect to the filters; also a second layer (16 input channels) and a small
picture of motion features. The choice of `auto` is based on these numbers. `--direct` adds
XLA's 3D convolution and max pooling, which is what `nn.Conv` and `nn.max_pool` compile to.
"""

import math

import jax
import jax.numpy as jnp

from benchmarks import paper_net
from benchmarks.timing import make_parser, matrix_product_rate, median_ratio, report, summarize, time_interleaved
from mer_jax.blocks.conv_pool import conv_relu_pool, output_size

CASES = {  # name -> (t, h, w, c), filters, kernel, pool
    "our default": ((18, 64, 128, 1), 8, (3, 3, 3), (4, 8, 8)),
    "32 filters": ((18, 64, 128, 1), 32, (3, 3, 3), (3, 3, 3)),
    "32 long filters": ((18, 64, 128, 1), 32, (15, 3, 3), (3, 3, 3)),
    "16 channels": ((9, 32, 64, 16), 32, (3, 3, 3), (2, 2, 2)),
    "motion features": ((1, 28, 28, 3), 16, (1, 3, 3), (1, 2, 2)),
}


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=8, rounds=5)
    parser.add_argument("--direct", action="store_true", help="time XLA's own convolution too")
    arguments = parser.parse_args()
    peak = matrix_product_rate()
    names = paper_net.implementations()
    names += ["direct"] if arguments.direct else []
    rows = []
    for case, (size, features, kernel_size, pool_size) in CASES.items():
        keys = jax.random.split(jax.random.key(0))
        clips = jax.random.normal(keys[0], (arguments.batch, *size))
        weights = jax.random.normal(keys[1], (*kernel_size, size[-1], features)), jnp.zeros(features)
        programs, temporary = {}, {}
        for name in names:

            def loss(weights, clips, name=name, pool_size=pool_size):
                return (conv_relu_pool(clips, *weights, pool_size=pool_size, implementation=name) ** 2).sum()

            compiled = paper_net.compiled(jax.value_and_grad(loss), name).lower(weights, clips).compile()
            temporary[name] = compiled.memory_analysis().temp_size_in_bytes
            programs[name] = lambda compiled=compiled, weights=weights, clips=clips: compiled(weights, clips)
        seconds = time_interleaved(programs, arguments.rounds)
        places = math.prod(output_size(size[:3], kernel_size, pool_size)) * math.prod(pool_size)
        taps = math.prod(kernel_size) * size[-1]
        flops = 2 * 2.0 * arguments.batch * places * taps * features  # forward, gradient of the filters
        for name, times in seconds.items():
            row = {"front": case, "implementation": name}
            row |= summarize(times, clips=arguments.batch, flops=flops, peak=peak)
            row[f"times {names[0]}"] = f"{median_ratio(times, seconds[names[0]]):.1f}"
            rows.append(row | {"temp MB": round(temporary[name] / 1e6, 1)})
    report(rows, arguments.json, notes=[f"batch {arguments.batch}; matrix product {peak / 1e9:.0f} GFLOP/s"])


if __name__ == "__main__":
    main()
