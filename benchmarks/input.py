"""How fast is the input pipeline?

    python -m benchmarks.input [--batch 80] [--rounds 7] [--json FILE]

The corpus is copied to the device once, as 8-bit gray; batches are gathered there. Rows: the
whole corpus to the device (a CPU shares the memory), and one batch, gathered, normalised and
split into halves, without and with augmentation.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks.lanes import make_clips
from benchmarks.timing import make_parser, report, summarize, time_interleaved
from mer_jax.config import Augmentation
from mer_jax.data.views import VIEWS
from mer_jax.system.machine import keep_freed_memory
from mer_jax.training.batches import Data, Items, load_batch


def main() -> None:
    """Prints the table and, if asked, writes JSON."""
    arguments = make_parser(__doc__, batch=80, rounds=7).parse_args()
    keep_freed_memory()  # before JAX has threads
    clips, batch = make_clips(10), arguments.batch
    faces = clips.pictures
    data = jax.device_put(Data(pictures=faces, label=clips.label))
    load = jax.jit(
        functools.partial(load_batch, augment=Augmentation(), normalization="difference", view=VIEWS["halves"])
    )
    number = jnp.arange(batch)
    items = Items(clip=number % len(clips), copy=number, real=jnp.ones(batch, bool))
    keys = jax.random.split(jax.random.key(0), batch)
    programs = {
        f"corpus of {len(clips)} clips to the device": lambda: jax.device_put(faces),
        "a batch": lambda: load(data, items, keys, jnp.zeros(batch, bool)),
        "a batch, augmented": lambda: load(data, items, keys, jnp.ones(batch, bool)),
    }
    seconds = time_interleaved(programs, arguments.rounds)
    rows = []
    for name, times in seconds.items():
        rows.append({"": name, **summarize(times, clips=len(clips) if "corpus" in name else batch)})
    report(rows, arguments.json, notes=[f"batch {batch}; a clip is 18 frames of 128x128, {faces[0].nbytes} bytes"])


if __name__ == "__main__":
    main()
