"""The machine: the allocator, seen by the page faults of asking again, and the processors of this process."""

import math
import os
import subprocess
import sys
import textwrap

import pytest

from mer_jax.system import machine
from mer_jax.training import train

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


# --- Processors.

QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"  # of cgroups, version 1


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/jobs/7\n", {"jobs/cpu.max": "50000 100000\n", "jobs/7/cpu.max": "200000 100000\n"}, 0.5),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000\n"}, 3.0),  # as seen from inside a container
        ("4:cpu,cpuacct:/a\n0::/\n", {f"cpu,cpuacct/a/{QUOTA}": "250000", f"cpu,cpuacct/a/{PERIOD}": "100000"}, 2.5),
        ("1:cpu:/\n0::/\n", {f"cpu/{QUOTA}": "-1", f"cpu/{PERIOD}": "100000"}, None),
        ("0::/\n", {"cpu.max": "damaged\n"}, None),
        ("5:memory:/\n", {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_quotas_of_containers(tmp_path, monkeypatch, groups, files, quota):
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    (tmp_path / "own").write_text(groups)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    assert machine.processor_quota() == quota
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert machine.count_processors() == (64 if quota is None else max(1, math.ceil(quota)))


def test_a_system_without_cgroups_has_no_quota(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "missing")
    assert machine.processor_quota() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the affinity of a process is Linux's")
def test_one_processor_is_one_thread():
    """JAX, BLAS, workers and jobs go by the affinity mask, as `taskset -c 0` sets it."""
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from mer_jax.system.machine import count_processors, share_processors
        import numpy
        share_processors()
        from threadpoolctl import threadpool_info
        from mer_jax.training.train import _num_threads
        print(count_processors(), os.environ["NPROC"], _num_threads(None, None))
        print(*{each["num_threads"] for each in threadpool_info()})
    """
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment.pop("NPROC", None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "1 1 1\n1\n"


def test_more_jobs_than_processors_are_named(monkeypatch):
    monkeypatch.setattr(train, "count_processors", lambda: 2)
    assert train._describe_excess(None) == train._describe_excess(2) == ""
    assert train._describe_excess(8) == (
        "got jobs=8, and this process may use 2 processors: more jobs than that gain nothing"
    )
