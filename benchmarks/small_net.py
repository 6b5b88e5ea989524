"""How much faster are the networks of motion features than the same networks in layers of Flax?

    python -m benchmarks.small_net [--batches 20 256] [--rounds 7] [--json FILE]

One gradient of the loss with respect to all parameters, dropout included, of each form in turn: layers of Flax, ours in
pure JAX (as with MER_NATIVE=0), and ours with the native library. CPU time counts all threads of this process, so it
says more than the wall clock on a machine that other jobs use too.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.timing import make_parser, median_ratio, report, summarize
from mer_jax.models import OffApexNet, STSTNet
from mer_jax.native.conv_pool import ENVIRONMENT_VARIABLE
from mer_jax.system.machine import keep_freed_memory


class FlaxSTSTNet(STSTNet):
    """STSTNet in layers of Flax, with the same parameters."""

    @nn.compact
    def __call__(self, motion, *, is_training):
        """Maps motion features [b 28 28 3] to logits."""
        streams = []
        for number, features in enumerate(self.streams, start=1):
            x = nn.relu(nn.Conv(features, (3, 3), padding=2, dtype=self.dtype, name=f"conv_{number}")(motion))
            x = nn.BatchNorm(
                use_running_average=not is_training, momentum=0.9, dtype=self.dtype, name=f"normalize_{number}"
            )(x)
            x = nn.max_pool(x, (3, 3), (3, 3), ((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
            streams.append(nn.Dropout(self.dropout, deterministic=not is_training)(x))
        x = nn.avg_pool(jnp.concatenate(streams, axis=-1), (2, 2), strides=(2, 2))
        x = x.reshape(len(motion), -1)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)


class FlaxOffApexNet(OffApexNet):
    """OFF-ApexNet in layers of Flax, with the same parameters."""

    @nn.compact
    def __call__(self, motion, *, is_training):
        """Maps motion features [b 28 28 3] to logits."""
        paths = []
        for channel, name in enumerate(("horizontal", "vertical")):
            x = motion[..., channel : channel + 1]
            for layer, features in enumerate((6, 16), start=1):
                x = nn.relu(nn.Conv(features, (5, 5), dtype=self.dtype, name=f"{name}_{layer}")(x))
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            paths.append(x.reshape(len(motion), -1))
        x = jnp.concatenate(paths, axis=-1)
        for layer in (1, 2):
            x = nn.Dropout(self.dropout, deterministic=not is_training)(x)
            x = nn.relu(nn.Dense(1024, dtype=self.dtype, name=f"dense_{layer}")(x))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="logits")(x).astype(jnp.float32)


PAIRS: dict[str, tuple[nn.Module, nn.Module]] = {  # network -> layers of Flax, ours
    "STSTNet": (FlaxSTSTNet(), STSTNet()),
    "OFF-ApexNet": (FlaxOffApexNet(), OffApexNet()),
}


FORMS = ("Flax", "pure JAX", "native")


def make_gradient(model: nn.Module, batch: int, *, native: bool = True) -> Callable[[], Any]:
    """Makes a compiled gradient step of a network on random motion features, with or without the native library."""
    motion = jax.random.uniform(jax.random.key(0), (batch, 28, 28, 3), minval=-1.0)
    label = jnp.arange(batch) % 3
    variables = dict(jax.jit(lambda: model.init(jax.random.key(1), motion[:1], is_training=False))())
    params = variables.pop("params")

    @jax.jit
    @jax.grad
    def differentiate(params):
        logits, _ = model.apply(
            {"params": params, **variables},
            motion,
            is_training=True,
            rngs={"dropout": jax.random.key(2)},
            mutable=["batch_stats"],
        )
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1).mean()

    with mock.patch.dict(os.environ, {} if native else {ENVIRONMENT_VARIABLE: "0"}):
        compiled = differentiate.lower(params).compile()
    return lambda: compiled(params)


def measure(programs: Mapping[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, list[float]], ...]:
    """Runs programs in turn, forwards and backwards, after one uncounted run of each.

    Returns:
        Wall seconds and CPU seconds of every run, by name.
    """
    for program in programs.values():
        jax.block_until_ready(program())
    wall: dict[str, list[float]] = {name: [] for name in programs}
    cpu: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name in list(programs)[:: 1 if number % 2 == 0 else -1]:
            start, cpu_start = time.perf_counter(), time.process_time()
            jax.block_until_ready(programs[name]())
            cpu[name].append(time.process_time() - cpu_start)
            wall[name].append(time.perf_counter() - start)
    return wall, cpu


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    parser = make_parser(__doc__, rounds=7)
    parser.add_argument("--batches", type=int, nargs="+", default=[20, 256], help="numbers of clips (default: 20 256)")
    arguments = parser.parse_args()
    keep_freed_memory()
    rows = []
    for network, models in PAIRS.items():
        for batch in arguments.batches:
            flax, ours = models
            programs = {
                form: make_gradient(flax if form == "Flax" else ours, batch, native=form == "native") for form in FORMS
            }
            wall, cpu = measure(programs, arguments.rounds)
            for form in programs:
                row = {"network": network, "batch": batch, "form": form} | summarize(wall[form], clips=batch)
                row["CPU ms"] = f"{1e3 * statistics.median(cpu[form]):.1f}"
                row["Flax / this, wall"] = f"{median_ratio(wall['Flax'], wall[form]):.2f}"
                row["Flax / this, CPU"] = f"{median_ratio(cpu['Flax'], cpu[form]):.2f}"
                rows.append(row)
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
