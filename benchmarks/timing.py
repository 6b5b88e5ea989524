"""Interleaved timing, and what a table of timings has to say about its machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


def time_interleaved(programs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Runs A B C A B C ...; the order turns round in every round, so that drift favours nobody.

    Args:
        programs: by name; each returns arrays to wait for.
        rounds: counted runs of each, after one that is not counted.

    Returns:
        Wall seconds of every run, by name.
    """
    for program in programs.values():
        jax.block_until_ready(program())
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name in list(programs)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            jax.block_until_ready(programs[name]())
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Median over rounds of how many times longer the first took."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def describe_machine() -> str:
    """Processor, cores, memory and versions, in one line."""
    name, memory_gib = platform.machine(), 0.0
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
        memory_gib = int(meminfo.read_text().split()[1]) / 2**20
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("jax", "flax", "numpy"))
    return f"{os.cpu_count()} x {name}, {memory_gib:.0f} GiB; Python {platform.python_version()}, {versions}"


def format_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
