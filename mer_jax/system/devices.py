"""Devices: the one file that knows how many there are.

A mesh has two axes. Along `fold` lie different lanes (folds, under seeds), which have
nothing to tell each other; along `data` the clips of one batch, whose gradients are
summed. Programs are written for one lane and the whole batch; `over_lanes` and
`over_data` spread them, and change nothing where there is one device.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

FOLD, DATA = "fold", "data"


def make_mesh(num_lanes: int, devices: Sequence[Any] | None = None) -> Mesh:
    """Lays devices out for a number of lanes: as many lanes side by side as there are, the rest shares their batches.

    Args:
        num_lanes: folds, times seeds, that are to be trained.
        devices: `jax.Device`s; all of this computation by default, those of other processes included.

    Example:
        >>> dict(make_mesh(16).shape)
        {'fold': 1, 'data': 1}
    """
    devices = jax.devices() if devices is None else list(devices)
    num_fold = max(n for n in range(1, len(devices) + 1) if len(devices) % n == 0 and n <= max(1, num_lanes))
    grid = np.asarray(devices).reshape(num_fold, -1)
    return Mesh(grid, (FOLD, DATA), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Puts arrays, or random keys, whole onto every device, those of other processes included."""

    def put(leaf):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # By way of the host: only from there can an array reach the devices of other processes.
        return jax.device_put(np.asarray(leaf), replicated_sharding(mesh))

    return jax.tree.map(put, tree)


def lanes_sharding(mesh: Mesh) -> NamedSharding:
    """Of arrays whose first axis is lanes."""
    return NamedSharding(mesh, PartitionSpec(FOLD))


def over_lanes(function: Callable[..., Any], mesh: Mesh, *, num_lane_arguments: int) -> Callable[..., Any]:
    """From a function of one lane to one of an axis of lanes.

    Each device along `fold` works on its own lanes: one as it is, several by `vmap`. One is
    kept out of `vmap` since XLA has no fast convolution on a CPU whose filters have a
    batch axis.

    Args:
        function: of lane arguments, then of arguments that all lanes share.
        mesh: from `make_mesh`.
        num_lane_arguments: how many come first.
    """

    def local(*arguments):
        lanes, shared = arguments[:num_lane_arguments], arguments[num_lane_arguments:]
        if jax.tree.leaves(lanes)[0].shape[0] == 1:
            out = function(*jax.tree.map(lambda a: a[0], lanes), *shared)
            return jax.tree.map(lambda a: a[None], out)
        return jax.vmap(lambda *each: function(*each, *shared))(*lanes)

    if mesh.shape[FOLD] == 1:
        return local

    def spread(*arguments):
        specs = (PartitionSpec(FOLD),) * num_lane_arguments
        specs += (PartitionSpec(),) * (len(arguments) - num_lane_arguments)
        return jax.shard_map(
            local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(FOLD), axis_names={FOLD}, check_vma=False
        )(*arguments)

    return spread


def over_data(function: Callable[..., Any], *, num_batched: int) -> Callable[..., Any]:
    """Lets every device along `data` work on its own share of a batch.

    For loops over clips, which XLA would otherwise run on every device over the whole batch.
    The mesh is the one that `jax.set_mesh` has put in force; without one, or with a single
    device along `data`, the function stays as it is.

    Args:
        function: of arguments whose first axis is the batch, then of others. All that it
            returns has the batch as its first axis.
        num_batched: how many arguments have one.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape.get(DATA, 1) == 1:
        return function

    def spread(*arguments):
        specs = (PartitionSpec(DATA),) * num_batched + (PartitionSpec(),) * (len(arguments) - num_batched)
        return jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(DATA), axis_names={DATA}, check_vma=False
        )(*arguments)

    return spread


def branch(
    condition: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], *operands: Any, mesh: Mesh
) -> Any:
    """`lax.cond`, for branches in which the devices along `data` talk to each other.

    Where lanes lie on different devices they may take different branches, and then some
    devices would wait for ever for others that never come: so both branches are computed there.
    """
    if mesh.shape[FOLD] > 1 and mesh.shape[DATA] > 1:
        results = if_true(*operands), if_false(*operands)
        return jax.tree.map(lambda a, b: jax.numpy.where(condition, a, b), *results)
    return jax.lax.cond(condition, if_true, if_false, *operands)


def in_any_process(condition: bool) -> bool:
    """Whether a condition holds in one of the processes; all of them have to ask, at the same place."""
    if jax.process_count() == 1:
        return condition
    return bool(multihost_utils.process_allgather(np.asarray(condition)).any())


def shard_batch(tree: Any) -> Any:
    """Keeps the first axis of arrays spread along `data`, where a mesh is in force."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape.get(DATA, 1) == 1:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec(DATA))
    return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, sharding), tree)


def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def free_bytes(mesh: Mesh) -> int | None:
    """What the fullest device of a mesh says that it can still hold; None where one does not say, as CPUs do not.

    All processes get the same answer.
    """
    statistics = [device.memory_stats() or {} for device in mesh.local_devices]
    free = min(each.get("bytes_limit", -1) - each.get("bytes_in_use", 0) for each in statistics)
    if jax.process_count() > 1:
        free = int(multihost_utils.process_allgather(np.asarray(free)).min())
    return free if free >= 0 else None


def lanes_that_fit(free: int, bytes_of_one: int, *, share: float = 0.8) -> int:
    """How many lanes fit, at least 1; `share` of what is free is taken, since estimates miss fragmentation."""
    return max(1, math.floor(share * free / max(1, bytes_of_one)))
