"""Benchmark of the native Adam against optax: processor time of a training step and of compilation.

    python -m benchmarks.adam [--networks OFF-ApexNet STSTNet] [--batch 20] [--rounds 5] [--json FILE]

Epochs of leave-one-subject-out over 442 random pictures of motion features from 68 people, validation included, with
optax's Adam and with ours, everything else the same and native. Processor time of all threads of this process, by
turns. The compilation is timed once for each, without the cache.
"""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.folds_at_once import EPOCHS, make_motion
from benchmarks.lanes import make_chunk, make_loso
from benchmarks.small_net import PAIRS, measure
from benchmarks.timing import make_parser, report
from mer_jax.system.machine import keep_freed_memory
from mer_jax.training.lanes import make_slots, start_slot, train_epochs
from mer_jax.training.program import Program


def compile_seconds(program: Program) -> float:
    """Measures the processor time of compiling one lane's chunk of epochs, without tracing."""
    arrays = program.lane_data, program.data, program.limits
    with jax.set_mesh(program.settings.mesh):
        one = start_slot(jnp.asarray(0), *arrays, settings=program.settings)
        slots = make_slots(one, number=1, mesh=program.settings.mesh)
        lowered = train_epochs.lower(slots, jnp.zeros(1, jnp.int32), *arrays, settings=program.settings)
        start = time.process_time()
        lowered.compile()
        return time.process_time() - start


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, batch=20, rounds=5)
    parser.add_argument("--networks", nargs="+", choices=PAIRS, default=list(PAIRS), help="of motion features")
    arguments = parser.parse_args()
    keep_freed_memory()
    jax.config.update("jax_enable_compilation_cache", False)
    rows = []
    for network in arguments.networks:
        compiling: dict[str, float] = {}
        runs: dict[str, Callable[[], Any]] = {}
        for number, adam in enumerate(("optax", "native")):
            with mock.patch("mer_jax.training.optim.can_be_native", return_value=adam == "native"):
                # What is compiled is known by its settings: another number of chunks' epochs makes another program.
                program = make_loso(
                    make_motion(),
                    model=PAIRS[network][1],
                    batch_size=arguments.batch,
                    epochs_per_chunk=EPOCHS + number,
                )
                compiling[adam] = compile_seconds(program)
                runs[adam] = make_chunk(program, 1)
                jax.block_until_ready(runs[adam]())
        _, cpu = measure(runs, arguments.rounds)
        for number, adam in enumerate(runs):
            steps = (EPOCHS + number) * program.settings.steps_per_epoch
            row = {"network": network, "batch": arguments.batch, "Adam": adam}
            row["CPU ms a step"] = f"{1e3 * np.median(cpu[adam]) / steps:.2f}"
            row["compiled in, CPU s"] = f"{compiling[adam]:.2f}"
            rows.append(row)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
