"""The allocator keeps what was freed: seen by the page faults of asking again."""

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from mer_jax.system.machine import keep_freed_memory

if "keep" in sys.argv:
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def ask():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

ask()
print(ask())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: mallopt belongs to glibc")
def test_memory_is_asked_of_the_kernel_once():
    def faults(*arguments):
        done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert faults("keep") < 100
    assert faults() > 1000  # what it is good against; with huge pages fewer, and still many
