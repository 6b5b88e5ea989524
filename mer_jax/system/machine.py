"""The machine that a process runs on: processors that it may use, and the C library's allocator.

A training step allocates some hundred megabytes and frees them, over and over. glibc
returns every block above 32 MiB to the kernel at once; the next step gets it as fresh
pages, each of which costs a fault and is filled with zeros. On the network of the
paper's shape with 34 million weights that is a third of a step (benchmarks/RESULTS.md).
"""

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def count_processors() -> int:
    """Number of processors that this process may use: those of its affinity mask, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keeps BLAS to one thread inside.

    On matrices of a few hundred rows its threads spend their time waiting for each other: LinearFlow on 164 clips takes
    a tenth of the processor time so. Where threadpoolctl, which scikit-learn brings, is missing, nothing happens.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


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
