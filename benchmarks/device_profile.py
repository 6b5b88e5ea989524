"""Profiles of compiled programs on a GPU: the time of each kernel."""

import collections
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def profile(program: Callable[[], Any], folder: Path) -> dict[str, float]:
    """Profiles one run of a compiled program and sums its time on the device by kernel.

    Args:
        program: Returns the arrays to wait for; has run before.
        folder: Of the trace, for TensorBoard or Perfetto.

    Returns:
        Microseconds by kernel, the longest first; empty on a CPU, whose trace has no kernels.
    """
    with jax.profiler.trace(str(folder)):
        jax.block_until_ready(program())
    total: collections.Counter[str] = collections.Counter()
    for path in folder.rglob("*.trace.json.gz"):
        with gzip.open(path, "rt") as file:
            events = json.load(file)["traceEvents"]
        named = [event for event in events if event.get("ph") == "M" and "name" in event.get("args", {})]
        names = {(event["name"], event["pid"], event.get("tid")): event["args"]["name"] for event in named}
        for event in events:
            if event.get("ph") != "X":
                continue
            process = names.get(("process_name", event["pid"], None), "")
            thread = names.get(("thread_name", event["pid"], event.get("tid")), "")
            if "GPU" in process and "Stream" in thread:
                total[event["name"]] += event["dur"]
    return dict(total.most_common())


def print_kernels(kernels: dict[str, float], *, most: int = 16) -> None:
    """Prints the longest kernels with their share."""
    whole = sum(kernels.values())
    if not whole:
        print("no kernels in the trace: this device has none")
        return
    print(f"\n{whole / 1e3:.1f} ms in kernels; the longest:")
    for name, time in list(kernels.items())[:most]:
        print(f"{time / 1e3:9.2f} ms {100 * time / whole:5.1f} %  {name[:90]}")
