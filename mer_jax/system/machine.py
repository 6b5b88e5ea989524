"""The machine that a process runs on: processors that it may use, and the C library's allocator.

A training step allocates some hundred megabytes and frees them, over and over. glibc
returns every block above 32 MiB to the kernel at once; the next step gets it as fresh
pages, each of which costs a fault and is filled with zeros. On the network of the
paper's shape with 34 million weights that is a third of a step (benchmarks/RESULTS.md).
"""

import contextlib
import ctypes
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


CGROUPS = Path("/sys/fs/cgroup")  # where Linux shows the limits of containers
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def count_processors() -> int:
    """Number of processors that this process may use, 1 or more.

    Those of its affinity mask (`taskset`), where the system has one, but no more than the quota of a container allows
    (cgroups, version 1 and 2), rounded up.
    """
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return number if quota is None else max(1, min(number, math.ceil(quota)))


def processor_quota() -> float | None:
    """Processors that cgroups grant this process, the least of all groups that it is in; None for no limit."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return None
    quotas = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        is_second = number == "0" and not controllers
        if not (is_second or "cpu" in controllers.split(",")):
            continue
        for root in [CGROUPS] if is_second else [CGROUPS / controllers, CGROUPS / "cpu"]:
            # Inside a container the path is often that of the host, and the files lie at the root.
            own = root / path.lstrip("/")
            quotas += [_read_quota(folder) for folder in (root, own, *own.parents) if folder.is_relative_to(root)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _read_quota(folder: Path) -> float | None:
    try:
        if (limit := folder / "cpu.max").exists():  # version 2: "max 100000" or "150000 100000"
            quota, period = limit.read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if quota != "max" and float(quota) > 0 and float(period) > 0 else None
    except (OSError, ValueError):
        return None


def share_processors() -> None:
    """Makes the thread pools of JAX and BLAS as large as `count_processors`; before JAX is asked for its devices.

    Both count processors by themselves and do not see the quota of a container.
    """
    os.environ.setdefault("NPROC", str(count_processors()))  # what XLA's pool on a CPU goes by
    if not any(name in os.environ for name in _BLAS_VARIABLES):  # what the user has set has priority
        use_blas_threads(count_processors())


def use_blas_threads(number: int) -> None:
    """Limits BLAS and OpenMP to some threads from now on, in libraries that are loaded.

    Args:
        number: 1 or more; 1 in a process or thread of which there is one for each processor.
    """
    if (limits := _thread_limits()) is not None:
        limits(number)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keeps BLAS to one thread inside.

    On matrices of a few hundred rows its threads spend their time waiting for each other: LinearFlow on 164 clips takes
    a tenth of the processor time so. Where threadpoolctl, which scikit-learn brings, is missing, nothing happens.
    """
    if (limits := _thread_limits()) is None:
        yield
        return
    with limits(1):
        yield


def _thread_limits() -> Callable[[int], contextlib.AbstractContextManager] | None:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    return threadpool_limits


def keep_freed_memory() -> bool:
    """Makes malloc keep freed memory for the next request, in one heap, as long as the process lives.

    The process then holds its peak of memory until it ends. To be called before JAX is asked
    for its devices: the threads that it starts then take heaps of their own unless told
    before, and a block above 64 MiB fits into none of these. Environment variables that the
    user has set for malloc are overruled.

    Returns:
        Whether it was done: on Linux with glibc. Elsewhere nothing happens.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, -1),  # the largest there is: no block is too big for the heap
        (_M_TRIM_THRESHOLD, -1),  # likewise: the heap never shrinks
        (_M_TOP_PAD, 64 << 20),  # it grows by this much at least
    )
    done = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings]
    return all(done)
