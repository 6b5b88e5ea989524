"""What is fast on a GPU or TPU? The questions that no CPU can answer.

    python -m benchmarks.accelerator [--batch 80] [--rounds 7] [--folds 16] [--json FILE]

On the network of `paper_net.py`, each beside the others in interleaved rounds:

1. Implementations of the convolution: XLA's own against the batched form, float32 and bfloat16.
2. The gradient of its kernel: masked (no gather) against gathered.
3. Chunks of 8, 16, 40 clips against the whole batch.
4. An epoch of steps as one scan against a loop of calls.
5. Folds together against one after another: `benchmarks.protocol`, asked for separately.

The share of the device's own matrix product, in the type of the row, stands beside each.
Without an accelerator it says so and measures nothing; `--anyway` runs it on the CPU, which
shows that it works and nothing else.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import paper_net
from benchmarks.timing import make_parser, matrix_product_rate, median_ratio, report, summarize, time_interleaved
from mer_jax.blocks.conv_pool import conv_relu_pool, output_size
from mer_jax.blocks.grouped_conv import Form, grouped_conv_relu_pool

STEPS_IN_EPOCH = 8


def front_programs(batch: int) -> dict[str, tuple]:
    """Value and gradient of one path up to its pool: name -> (program, type)."""
    t, h, w = output_size((paper_net.FRAMES, paper_net.HEIGHT, paper_net.WIDTH), paper_net.KERNEL, paper_net.POOL)
    used = [o * p + k - 1 for o, p, k in zip((t, h, w), paper_net.POOL, paper_net.KERNEL, strict=True)]

    def direct(x, kernel, bias):
        return conv_relu_pool(x, kernel, bias, pool_size=paper_net.POOL, implementation="direct")

    def grouped(x, kernel, bias, chunk=0, gradient="masked"):
        x = x[:, : used[0], : used[1], : used[2]]
        return grouped_conv_relu_pool(x, kernel, bias, Form(paper_net.POOL, paper_net.POOL, chunk, gradient))

    forms = {
        "direct": (direct, jnp.float32),
        "direct, bfloat16": (direct, jnp.bfloat16),
        "batched": (grouped, jnp.float32),
        "batched, bfloat16": (grouped, jnp.bfloat16),
        "batched, gathered gradient": (functools.partial(grouped, gradient="gather"), jnp.float32),
    }
    for chunk in (8, 16, 40):
        if chunk < batch:
            forms[f"batched, chunks of {chunk}, bfloat16"] = (functools.partial(grouped, chunk=chunk), jnp.bfloat16)
    programs = {}
    for name, (form, dtype) in forms.items():
        x = paper_net.make_batch(batch)[0][0].astype(dtype)
        kernel = jax.random.normal(jax.random.key(1), (*paper_net.KERNEL, 1, paper_net.FEATURES)).astype(dtype)
        bias = jnp.zeros(paper_net.FEATURES, dtype)

        def loss(kernel, bias, x, form=form):
            return (form(x, kernel, bias).astype(jnp.float32) ** 2).sum()

        gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
        programs[name] = functools.partial(gradient, kernel, bias, x), dtype
    return programs


def epoch_programs(batch: int) -> dict[str, tuple]:
    """Some training steps, as a loop of calls and as one scan."""
    loop = paper_net.make_trainer("auto", batch)
    step, state = paper_net.make_step("auto")
    halves, labels = paper_net.make_batch(batch)

    @functools.partial(jax.jit, donate_argnums=0)
    def scan(state):
        def body(state, key):
            *new, _ = step(*state, halves, labels, jnp.ones(batch), key)
            return tuple(new), None

        return lax.scan(body, state, jax.random.split(jax.random.key(1), STEPS_IN_EPOCH))[0]

    def scanned():
        nonlocal state
        state = scan(state)
        return state

    return {
        f"{STEPS_IN_EPOCH} steps, a loop": (lambda: [loop() for _ in range(STEPS_IN_EPOCH)][-1], jnp.float32),
        f"{STEPS_IN_EPOCH} steps, one scan": (scanned, jnp.float32),
    }


def main() -> None:
    """Prints the tables and, if asked, writes JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--folds", type=int, default=16, help="of the protocol, for the command that is printed")
    parser.add_argument("--anyway", action="store_true", help="run without an accelerator too")
    arguments = parser.parse_args()
    if jax.default_backend() == "cpu" and not arguments.anyway:
        print("there is no GPU or TPU here, so nothing was measured; run this on a machine that has one")
        return
    peaks = {dtype: matrix_product_rate(dtype) for dtype in (jnp.float32, jnp.bfloat16)}
    flops = paper_net.count_flops(arguments.batch, training=True)
    front = 2 * paper_net.count_convolution(arguments.batch)  # forward and kernel gradient of one path
    rows = []
    for programs, work in ((front_programs(arguments.batch), front), (epoch_programs(arguments.batch), 0)):
        work = work or STEPS_IN_EPOCH * flops
        seconds = time_interleaved({name: program for name, (program, _) in programs.items()}, arguments.rounds)
        first = next(iter(seconds))
        for name, times in seconds.items():
            peak = peaks[programs[name][1]]
            clips = arguments.batch * (STEPS_IN_EPOCH if "steps" in name else 1)
            row = {"": name, **summarize(times, clips=clips, flops=work, peak=peak)}
            rows.append(row | {"faster than the first": f"{median_ratio(seconds[first], times):.2f}"})
    notes = [
        f"batch {arguments.batch}; matrix product {peaks[jnp.float32] / 1e9:.0f} GFLOP/s float32, "
        f"{peaks[jnp.bfloat16] / 1e9:.0f} bfloat16",
        f"folds: python -m benchmarks.protocol --folds {arguments.folds}",
    ]
    report(rows, arguments.json, notes=notes, batch=arguments.batch)


if __name__ == "__main__":
    main()
