"""The network of the speed benchmarks: the paper's architecture, at a size that its text allows.

18 frames of 64x128 in two halves, 32 filters of 3x3x3, pool 3x3x3, dense 128: 34 million
weights, the same number as in `peer_nets.py`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mer_jax.blocks.conv_pool import Convolution, output_size, resolve
from mer_jax.config import Optimization
from mer_jax.models.dualpath3dnet import DualPath3DNet
from mer_jax.training.optim import make_optimizer
from mer_jax.training.steps import eval_step, train_step

FRAMES, HEIGHT, WIDTH = 18, 64, 128
FEATURES, KERNEL, POOL, DENSE = 32, (3, 3, 3), (3, 3, 3), 128


def make_model(implementation: str = "auto", **changes: Any) -> DualPath3DNet:
    """Makes the network."""
    fields = {"conv": make_convolution(implementation), "path_dense": DENSE, "fusion_dense": DENSE}
    return DualPath3DNet(**fields | changes)


def make_convolution(implementation: str) -> Convolution:
    """The convolution of each path."""
    return Convolution(FEATURES, KERNEL, POOL, implementation=implementation)


def implementations() -> list[str]:
    """Lists the implementations to compare: the choice of `auto`, and the fastest in pure JAX."""
    return list(dict.fromkeys([resolve("auto"), "fused" if jax.default_backend() == "cpu" else "batched"]))


def make_batch(batch: int) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Makes two halves of random clips, and labels."""
    keys = jax.random.split(jax.random.key(0))
    halves = tuple(jax.random.normal(key, (batch, FRAMES, HEIGHT, WIDTH, 1)) for key in keys)
    return halves, jnp.arange(batch) % 3


def count_flops(batch: int, *, training: bool) -> float:
    """Counts the multiplications and additions of the mathematical definition.

    Implementations may need fewer. Counted are the forward pass and, for training, the gradients of
    kernels, dense weights and dense inputs. Layers with a thousandth of these are left out.
    """
    dense = 2.0 * math.prod(output_size((FRAMES, HEIGHT, WIDTH), KERNEL, POOL)) * FEATURES * DENSE
    convolution = count_convolution(batch)
    return 2 * ((2 * convolution + 3 * dense * batch) if training else (convolution + dense * batch))


def count_convolution(batch: int) -> float:
    """Counts the same for the forward convolution of one path, where a pooling window reads it."""
    outputs = math.prod(output_size((FRAMES, HEIGHT, WIDTH), KERNEL, POOL)) * math.prod(POOL)
    return 2.0 * batch * outputs * math.prod(KERNEL) * FEATURES


def make_trainer(implementation: str, batch: int, **changes: Any) -> Callable[[], Any]:
    """Makes a function that runs one whole training step, Adam included, and returns the new weights."""
    step, state = make_step(implementation, **changes)
    halves, labels = make_batch(batch)

    def run():
        nonlocal state
        *new, logits = step(*state, halves, labels, jnp.ones(batch), jax.random.key(1))
        state = tuple(new)
        return state, logits

    return run


def plan_memory(implementation: str, batch: int) -> int:
    """Returns the temporary bytes that XLA plans for a training step, without weights, optimiser and inputs."""
    step, state = make_step(implementation)
    arguments = (*state, *make_batch(batch), jnp.ones(batch), jax.random.key(1))
    return step.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def make_step(implementation: str, **changes: Any) -> tuple[Callable[..., Any], tuple[Any, Any, Any]]:
    """Makes the compiled training step and its initial weights, collections and optimiser state."""
    model = make_model(implementation, **changes)
    optimizer = make_optimizer(
        Optimization(), learning_rate=jnp.asarray(1e-4), epochs=jnp.asarray(1), steps_per_epoch=1
    )
    step = compiled(functools.partial(train_step, model=model, optimizer=optimizer), implementation, (0, 1, 2))
    half = jnp.zeros((1, FRAMES, HEIGHT, WIDTH, 1))
    params = jax.jit(lambda: model.init(jax.random.key(0), half, half, is_training=False)["params"])()
    return step, (params, {}, jax.jit(optimizer.init)(params))


def compiled(function: Callable[..., Any], implementation: str, donated: Sequence[int] = ()) -> Any:
    """Applies `jax.jit` with the compiler options that the engine uses for this implementation."""
    return jax.jit(
        function, donate_argnums=donated, compiler_options=make_convolution(implementation).compiler_options()
    )


def make_predictor(implementation: str, batch: int) -> Callable[[], Any]:
    """Makes a function that returns the logits of a batch."""
    model, (halves, _) = make_model(implementation), make_batch(batch)
    params = model.init(jax.random.key(0), *(half[:1] for half in halves), is_training=False)["params"]
    predict = compiled(functools.partial(eval_step, model=model), implementation)
    return lambda: predict(params, {}, halves)
