"""Chunks of epochs on random clips, for benchmarks of the whole training engine."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.models import HybridAttention3DNet
from mer_jax.protocols import make_plan
from mer_jax.training.lanes import make_slots, start_slot, train_epochs
from mer_jax.training.program import Program, make_program
from mer_jax.vision.options import VisionOptions


def make_clips(per_subject: int, *, subjects: int = 16, frames: int = 18) -> Clips:
    """Makes noise in the shape of SMIC, with the same number of clips for each subject and three classes."""
    n = subjects * per_subject
    faces = np.random.default_rng(0).integers(0, 256, (n, frames, 128, 128), np.uint8)
    return Clips(
        pictures=faces,
        label=(np.arange(n) % 3).astype(np.int32),
        subject=tuple(f"s{i // per_subject:02d}" for i in range(n)),
        clip_id=tuple(f"c{i:05d}" for i in range(n)),
        corpus=("noise",) * n,
        class_names=("negative", "positive", "surprise"),
        provenance="surrogate",
        fingerprint="noise",
        corpus_name="noise",
    )


def make_loso(clips: Clips, *, mesh: Mesh | None = None, **fields: Any) -> Program:
    """Makes leave-one-subject-out with our default network, chunks of one epoch, without early stopping."""
    experiment = Experiment(
        name="benchmark",
        corpus="noise",
        vision=VisionOptions(),
        **{"model": HybridAttention3DNet(), "epochs": 100_000, "min_epochs": 0, "patience": 0, "epochs_per_chunk": 1}
        | fields,
    )
    plan = make_plan("loso", subjects=clips.subject, labels=clips.label, seed=0)
    return make_program(experiment, clips, [plan], mesh=mesh)


def make_chunk(program: Program, num_slots: int, *, times: int = 1) -> Callable[[], Any]:
    """Makes a function that runs a chunk of the first `num_slots` lanes, `times` times in sequence."""
    mesh, arrays = program.settings.mesh, (program.lane_data, program.data, program.limits)
    with jax.set_mesh(mesh):
        one = start_slot(jnp.asarray(0), *arrays, settings=program.settings)
        slots = make_slots(one, number=num_slots, mesh=mesh)
        slots = dataclasses.replace(slots, stopped=jnp.zeros_like(slots.stopped))
    which = jnp.arange(num_slots, dtype=jnp.int32)

    def run():
        nonlocal slots
        with jax.set_mesh(mesh):
            for _ in range(times):
                slots, history = train_epochs(slots, which, *arrays, settings=program.settings)
        return history

    return run
