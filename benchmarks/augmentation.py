"""How much longer does training take with augmentation than without?

    python -m benchmarks.augmentation [--batch 80] [--rounds 7] [--json FILE]

A step as the engine runs it: gather clips by index from the corpus on the device, augment,
normalise, split into halves, train. Measured on the network of `paper_net.py` and on our
smaller default, where loading the input takes a larger share of the step.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks import paper_net
from benchmarks.lanes import make_clips
from benchmarks.timing import make_parser, median_ratio, report, summarize, time_interleaved
from mer_jax.config import Augmentation, Optimization
from mer_jax.data.views import VIEWS
from mer_jax.models import HybridAttention3DNet
from mer_jax.system.machine import keep_freed_memory
from mer_jax.training.batches import Data, Items, load_batch
from mer_jax.training.optim import make_optimizer
from mer_jax.training.steps import train_step


def make_step(model, data: Data, batch: int, augmented: bool):
    """Makes a function that loads a batch and trains on it."""
    optimizer = make_optimizer(
        Optimization(), learning_rate=jnp.asarray(1e-4), epochs=jnp.asarray(1), steps_per_epoch=1
    )
    number = jnp.arange(batch)
    items = Items(clip=number % data.pictures.shape[0], copy=number, real=jnp.ones(batch, bool))

    @functools.partial(paper_net.compiled, implementation="auto", donated=(0,))
    def step(state, data, augmented, key):
        load_key, dropout_key = jax.random.split(key)
        inputs = load_batch(
            data,
            items,
            jax.random.split(load_key, batch),
            augmented,
            augment=Augmentation(),
            normalization="difference",
            view=VIEWS["halves"],
        )
        *state, logits = train_step(
            *state, inputs, data.label[items.clip], jnp.ones(batch), dropout_key, model=model, optimizer=optimizer
        )
        return tuple(state), logits

    half = jnp.zeros((1, paper_net.FRAMES, paper_net.HEIGHT, paper_net.WIDTH, 1))
    params = jax.jit(lambda: model.init(jax.random.key(0), half, half, is_training=False)["params"])()
    state = (params, {}, jax.jit(optimizer.init)(params))

    def run():
        nonlocal state
        state, logits = step(state, data, jnp.full(batch, augmented), jax.random.key(1))
        return state, logits

    return run


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    arguments = make_parser(__doc__, batch=80, rounds=7).parse_args()
    kept = keep_freed_memory()  # before JAX has threads
    clips = make_clips(10)
    data = jax.device_put(Data(pictures=clips.pictures, label=clips.label))
    rows = []
    for name, model in (("paper_net", paper_net.make_model()), ("default", HybridAttention3DNet())):
        programs = {on: make_step(model, data, arguments.batch, on) for on in (False, True)}
        seconds = time_interleaved(programs, arguments.rounds)
        for on, times in seconds.items():
            row = {"network": name, "augmentation": "on" if on else "off", **summarize(times, clips=arguments.batch)}
            rows.append(row | {"times off": f"{median_ratio(times, seconds[False]):.3f}"})
    report(rows, arguments.json, notes=[f"batch {arguments.batch}, {arguments.rounds} rounds"], mallopt=kept)


if __name__ == "__main__":
    main()
