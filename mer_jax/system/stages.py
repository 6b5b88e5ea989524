"""Stages of a long command and what each of them took."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_RECORDED: ContextVar[dict[str, list[float]] | None] = ContextVar("stages", default=None)


@contextlib.contextmanager
def record_stages() -> Iterator[dict[str, list[float]]]:
    """Records the stages that are passed inside.

    Yields:
        By name, wall seconds and processor seconds, those of ended worker processes included; filled while it goes on.

    Example:
        >>> with record_stages() as stages:
        ...     with stage("render"):
        ...         pass
        >>> list(stages)
        ['render']
    """
    stages: dict[str, list[float]] = {}
    token = _RECORDED.set(stages)
    try:
        yield stages
    finally:
        _RECORDED.reset(token)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds what runs inside to the stage of that name, where stages are recorded."""
    stages = _RECORDED.get()
    if stages is None:
        yield
        return
    wall, processor = time.monotonic(), _processor_seconds()
    try:
        yield
    finally:
        total = stages.setdefault(name, [0.0, 0.0])
        total[0] += time.monotonic() - wall
        total[1] += _processor_seconds() - processor


def seconds_since_start() -> list[float]:
    """Wall seconds and processor seconds since this process was started; elsewhere than on Linux the latter twice."""
    processor = _processor_seconds()
    try:
        started_ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return [processor, processor]
    return [up - started_ticks / os.sysconf("SC_CLK_TCK"), processor]


def _processor_seconds() -> float:
    return sum(os.times()[:4])
