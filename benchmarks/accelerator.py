"""Which implementations are fast on a GPU or TPU?

    python -m benchmarks.accelerator [--batch 80] [--rounds 7] [--folds 16] [--forms pallas batched] [--json FILE]

On the network of `paper_net.py`, in interleaved rounds:

1. Implementations of the convolution, with the gradient of its kernel: Pallas kernels, the batched form in default
   float32 (TF32 on a GPU that has it), in full float32 and in bfloat16, its gradient by a gather, and XLA's own.
2. An epoch of steps as one scan, and as a loop of calls.
3. Folds together and one after another: a separate command, `benchmarks.protocol`.

Each row also shows its shares of the two rooflines: the device's own matrix product in the
type of the row, and its memory bandwidth, by the bytes that XLA counts.
`--trace DIR` writes a profile of each program, for TensorBoard or Perfetto.
Without an accelerator it says so and measures nothing; `--anyway` runs it on the CPU, which
only shows that the script works.
"""

import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import paper_net
from benchmarks.timing import (
    make_parser,
    matrix_product_rate,
    median_ratio,
    memory_rate,
    report,
    summarize,
    time_interleaved,
)
from mer_jax.blocks.conv_pool import IMPLEMENTATIONS, conv_relu_pool, output_size
from mer_jax.blocks.grouped_conv import Form, grouped_conv_relu_pool
from mer_jax.system.machine import keep_freed_memory

STEPS_IN_EPOCH = 8


class Measured(NamedTuple):
    """A program, with what the comparison with the device's rooflines needs."""

    run: Callable[[], Any]
    dtype: Any
    bytes: float  # that XLA counts as read and written


def front_programs(batch: int, only: Sequence[str] = ()) -> dict[str, Measured]:
    """Value and gradient of one path up to its pool."""
    window = {"pool_size": paper_net.POOL}
    size = output_size((paper_net.FRAMES, paper_net.HEIGHT, paper_net.WIDTH), paper_net.KERNEL, paper_net.POOL)
    used = [o * p + k - 1 for o, p, k in zip(size, paper_net.POOL, paper_net.KERNEL, strict=True)]

    def gathered(x, kernel, bias):
        x = x[:, : used[0], : used[1], : used[2]]
        return grouped_conv_relu_pool(x, kernel, bias, Form(paper_net.POOL, paper_net.POOL, 0, "gather"))

    form = {name: functools.partial(conv_relu_pool, implementation=name, **window) for name in IMPLEMENTATIONS}
    forms = {
        "pallas": (form["pallas"], jnp.float32, None),
        "pallas, bfloat16": (form["pallas"], jnp.bfloat16, None),
        "batched": (form["batched"], jnp.float32, None),
        "batched, full float32": (form["batched"], jnp.float32, "highest"),
        "batched, bfloat16": (form["batched"], jnp.bfloat16, None),
        "batched, gathered gradient": (gathered, jnp.float32, None),
        "direct": (form["direct"], jnp.float32, None),
    }
    programs = {}
    for name, (function, dtype, precision) in forms.items():
        if only and name not in only:
            continue
        if name.startswith("pallas") and jax.default_backend() != "gpu":
            continue
        x = paper_net.make_batch(batch)[0][0].astype(dtype)
        kernel = jax.random.normal(jax.random.key(1), (*paper_net.KERNEL, 1, paper_net.FEATURES)).astype(dtype)
        bias = jnp.zeros(paper_net.FEATURES, dtype)

        def loss(kernel, bias, x, function=function):
            return (function(x, kernel, bias).astype(jnp.float32) ** 2).sum()

        start = time.perf_counter()
        with jax.default_matmul_precision(precision):
            gradient = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(kernel, bias, x).compile()
        print(f"compiled {name} in {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        programs[name] = Measured(functools.partial(gradient, kernel, bias, x), dtype, _bytes(gradient))
    return programs


def epoch_programs(batch: int) -> dict[str, Measured]:
    """Training steps as a loop of calls and as one scan."""
    programs = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        loop, scan, size = _make_epochs(batch, dtype)
        name = f"{STEPS_IN_EPOCH} steps, {jnp.dtype(dtype).name}"
        programs[f"{name}, a loop"] = Measured(loop, dtype, size)
        programs[f"{name}, one scan"] = Measured(scan, dtype, size)
    return programs


def _make_epochs(batch, dtype):
    """Makes the loop and the scan, and counts the bytes that each of them accesses."""
    one = paper_net.make_trainer("auto", batch, dtype=dtype)
    step, state = paper_net.make_step("auto", dtype=dtype)
    arguments = (*paper_net.make_batch(batch), jnp.ones(batch))

    def loop():
        return [one() for _ in range(STEPS_IN_EPOCH)][-1]

    @functools.partial(paper_net.compiled, implementation="auto", donated=(0,))
    def scan(state):
        def body(state, key):
            *new, _ = step.__wrapped__(*state, *arguments, key)
            return tuple(new), None

        return lax.scan(body, state, jax.random.split(jax.random.key(1), STEPS_IN_EPOCH))[0]

    def scanned():
        nonlocal state
        state = scan(state)
        return state

    # XLA counts the body of a scan once, so the bytes are of a step compiled alone.
    size = STEPS_IN_EPOCH * _bytes(step.lower(*state, *arguments, jax.random.key(1)).compile())
    return loop, scanned, size


def _bytes(compiled: Any) -> float:
    return (compiled.cost_analysis() or {}).get("bytes accessed", 0.0)


def main() -> None:
    """Prints the tables and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=80, rounds=7)
    parser.add_argument("--folds", type=int, default=16, help="folds in the printed command of benchmarks.protocol")
    parser.add_argument("--anyway", action="store_true", help="run without an accelerator too")
    parser.add_argument("--trace", type=Path, help="write a profile of each program below this folder")
    parser.add_argument("--forms", nargs="+", default=[], help="only these convolutions, and no epochs")
    arguments = parser.parse_args()
    keep_freed_memory()  # before JAX has threads
    if jax.default_backend() == "cpu" and not arguments.anyway:
        print("there is no GPU or TPU here, so nothing was measured; run this on a machine that has one")
        return
    peaks = {dtype: matrix_product_rate(dtype) for dtype in (jnp.float32, jnp.bfloat16)}
    memory = memory_rate()
    flops = paper_net.count_flops(arguments.batch, training=True)
    front = 2 * paper_net.count_convolution(arguments.batch)  # forward and kernel gradient of one path
    rows = []
    parts = [
        (functools.partial(front_programs, only=arguments.forms), front, arguments.batch),
        (epoch_programs, STEPS_IN_EPOCH * flops, STEPS_IN_EPOCH * arguments.batch),
    ]
    for make, work, clips in parts[: 1 if arguments.forms else 2]:
        programs = make(arguments.batch)
        seconds = time_interleaved({name: program.run for name, program in programs.items()}, arguments.rounds)
        first = next(iter(seconds))
        for name, times in seconds.items():
            program = programs[name]
            row = {"": name, **summarize(times, clips=clips, flops=work, peak=peaks[program.dtype])}
            row["GB"] = f"{program.bytes / 1e9:.2f}"
            row["of memory rate"] = f"{100 * program.bytes / row['median_s'] / memory:.0f} %"
            rows.append(row | {"faster than the first": f"{median_ratio(seconds[first], times):.2f}"})
            if arguments.trace:
                with jax.profiler.trace(str(arguments.trace / name.replace(", ", "_").replace(" ", "_"))):
                    jax.block_until_ready(program.run())
    notes = [
        f"batch {arguments.batch}; matrix product {peaks[jnp.float32] / 1e9:.0f} GFLOP/s float32, "
        f"{peaks[jnp.bfloat16] / 1e9:.0f} bfloat16; memory {memory / 1e9:.0f} GB/s",
        f"folds: python -m benchmarks.protocol --folds {arguments.folds}",
    ]
    report(rows, arguments.json, notes=notes, batch=arguments.batch, memory_rate=memory)


if __name__ == "__main__":
    main()
