"""Interleaved timing, a description of the machine, and tables of results."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

Row = dict[str, Any]


def time_call(program: Callable[[], Any]) -> float:
    """Wall seconds of one call, until the arrays that it returns are computed.

    JAX returns from a call as soon as the work is queued; without waiting, only the queueing would be timed.
    """
    start = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - start


def time_interleaved(programs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Times programs in turn: A B C, then C B A, and so on, so that drift affects all of them alike.

    Args:
        programs: By name; each returns the arrays to wait for.
        rounds: Counted runs of each program, after one uncounted run.

    Returns:
        Wall seconds of every run, by name.
    """
    for program in programs.values():
        time_call(program)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name in list(programs)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(time_call(programs[name]))
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Returns the median over rounds of the ratio of the first to the second."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def matrix_product_rate(dtype: Any = jnp.float32, *, rounds: int = 7) -> float:
    """Measures the speed of a matrix product, in FLOP/s: the roofline of arithmetic.

    Args:
        dtype: Type of the factors.
        rounds: Number of runs, of which the fastest counts.
    """
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
    product = jax.jit(lambda a: a @ a)
    seconds = time_interleaved({"product": lambda: product(a)}, rounds)["product"]
    return 2 * size**3 / min(seconds)


def memory_rate(*, rounds: int = 7) -> float:
    """Measures the memory bandwidth of the device, in bytes/s: the other roofline.

    Args:
        rounds: Number of runs, of which the fastest counts.
    """
    array = jnp.zeros((1 << 26) if jax.default_backend() == "cpu" else (1 << 30), jnp.float32)
    more = jax.jit(lambda a: a + 1)
    seconds = time_interleaved({"more": lambda: more(array)}, rounds)["more"]
    return 2 * array.nbytes / min(seconds)


def summarize(seconds: Sequence[float], *, clips: int = 0, flops: float = 0.0, peak: float = 0.0) -> Row:
    """Computes median, minimum and maximum, and rates by the median.

    Args:
        seconds: Time of every run.
        clips: Clips in a run; 0 for no rate of clips.
        flops: Floating-point operations of a run, as `paper_net` counts them.
        peak: Of the device, from `matrix_product_rate`.
    """
    median = statistics.median(seconds)
    row: Row = {"seconds": list(seconds), "median_s": median, "min_s": min(seconds), "max_s": max(seconds)}
    if clips:
        row["clips_per_s"] = clips / median
    if flops:
        row["flop_per_s"] = flops / median
    if flops and peak:
        row["share_of_matrix_product"] = flops / median / peak
    return row


_COLUMNS = {  # key of `summarize` -> heading and format
    "median_s": ("median ms", lambda s: f"{1e3 * s:.1f}"),
    "min_s": ("min ms", lambda s: f"{1e3 * s:.1f}"),
    "max_s": ("max ms", lambda s: f"{1e3 * s:.1f}"),
    "clips_per_s": ("clips/s", lambda r: f"{r:.0f}"),
    "flop_per_s": ("GFLOP/s", lambda r: f"{r / 1e9:.0f}"),
    "share_of_matrix_product": ("of matrix product", lambda s: f"{100 * s:.0f} %"),
}


def describe_machine() -> str:
    """Describes device, processor, cores, memory and versions in one line."""
    name, memory_gib = platform.machine(), 0.0
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
        memory_gib = int(meminfo.read_text().split()[1]) / 2**20
    devices = f"{len(jax.devices())} x {jax.devices()[0].device_kind}; " if jax.default_backend() != "cpu" else ""
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("jax", "flax", "numpy"))
    return f"{devices}{os.cpu_count()} x {name}, {memory_gib:.0f} GiB; Python {platform.python_version()}, {versions}"


def format_table(header: list[str], rows: list[list[str]]) -> str:
    """Formats a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def make_parser(
    docstring: str | None, *, batch: int | None = None, rounds: int | None = None
) -> argparse.ArgumentParser:
    """Creates an argument parser with the common benchmark flags.

    Args:
        docstring: Of the benchmark, shown as its help.
        batch: Default of `--batch`; None where there is no such flag.
        rounds: Default of `--rounds`; likewise.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{Path(sys.argv[0]).stem}",
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if batch is not None:
        parser.add_argument("--batch", type=int, default=batch, help="clips in a batch (default: %(default)s)")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="timed runs of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    return parser


def report(rows: Sequence[Row], path: Path | None, *, notes: Sequence[str] = (), **facts: Any) -> None:
    """Prints the machine and a table, and writes JSON if a path is given.

    Args:
        rows: Each a result of `summarize` with further columns, whose values are printed as they are.
        path: JSON file.
        notes: Lines under the table.
        facts: Written to the JSON file in addition to the rows.
    """
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "seconds"]
    header = [_COLUMNS[name][0] if name in _COLUMNS else name for name in names]
    print(describe_machine())
    print(format_table(header, [[_format(row, name) for name in names] for row in rows]))
    for note in notes:
        print(note)
    if path:
        path.write_text(json.dumps({"machine": describe_machine(), **facts, "rows": list(rows)}, indent=2) + "\n")


def _format(row: Row, name: str) -> str:
    if name not in row:
        return ""
    return _COLUMNS[name][1](row[name]) if name in _COLUMNS else str(row[name])
