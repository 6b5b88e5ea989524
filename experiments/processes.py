"""Several processes that train together, on one host or many.

Every process runs the same program over the devices of all. The first one writes the run
folder; all must be able to read it and the data folder. A process that is interrupted, or
cannot write the results of a chunk of epochs, stops the others after that chunk. If a process
ends in another way, the others wait until JAX ends them, after minutes. Started again with
--resume, all continue together.
"""

import contextlib
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from mer_jax.errors import ConfigError


def initialize_processes(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Connects to the other processes; returns when all are connected.

    Args:
        coordinator: `HOST:PORT` of process 0.
        num_processes: Number of processes.
        process_id: Number of this process, from 0.

    Raises:
        ConfigError: An argument is missing or out of its range, or the coordinator cannot be reached. If another
            process does not appear, JAX itself ends this one after minutes.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"got --coordinator={coordinator}, expected HOST:PORT, such as 10.0.0.1:1234")
    if num_processes is None or process_id is None or not 0 <= process_id < num_processes:
        raise ConfigError(
            f"got --num_processes={num_processes} and --process_id={process_id}; expected both with --coordinator, "
            "and process ids from 0 to one less than their number"
        )
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except RuntimeError as error:
        raise ConfigError(
            f"the {num_processes} processes did not find each other at {coordinator}: {str(error).splitlines()[0]}; "
            "start all of them, with the same --coordinator"
        ) from error


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """Runs a block in process 0 first, such as building a corpus, and then in the others."""
    if jax.process_index() != 0:
        multihost_utils.sync_global_devices("the first process is done")
    yield
    if jax.process_index() == 0 and jax.process_count() > 1:
        multihost_utils.sync_global_devices("the first process is done")
