"""`mer models`: list the networks and their cost, or the layers of one."""

import argparse
import sys
from collections.abc import Callable

from mer_jax.errors import MerError, ShapeError
from mer_jax.vision.options import VisionOptions


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer models` and returns what runs it."""
    parser.add_argument("name", nargs="?", help="a network, to list its layers")
    parser.add_argument("--frames", type=int, default=VisionOptions().num_frames, help="frames of a clip (%(default)s)")
    parser.add_argument("--batch", type=int, default=80, help="clips in a training step (%(default)s)")
    parser.add_argument(
        "--no-memory",
        action="store_true",
        help="omit the memory, which takes one compilation per network, a minute in all",
    )
    return _models


def _models(flags: argparse.Namespace) -> None:
    from mer_jax.models import find_model
    from mer_jax.training import cost

    for name in ("frames", "batch"):
        if getattr(flags, name) < 1:
            raise MerError(f"got --{name}={getattr(flags, name)}; expected a whole number, 1 or more")
    if flags.name:
        model = find_model(flags.name)()
        print(cost.format_layers(cost.list_layers(model, flags.frames)))
    else:
        _list_networks(flags.frames, None if flags.no_memory else flags.batch)


def _list_networks(num_frames: int, batch: int | None) -> None:
    from mer_jax import models
    from mer_jax.evaluation.score_text import lay_out
    from mer_jax.training import cost

    header = ("network", "input", "parameters", "FLOPs a clip", *([f"memory at batch {batch}"] if batch else []))
    rows, refused = [], []
    for name in models.__all__:
        model = models.find_model(name)()
        try:
            count, flops = cost.count_parameters(model, num_frames), cost.count_flops(model, num_frames)
        except ShapeError as error:
            refused.append(f"{name}: {error}")
            continue
        memory = []
        if batch:
            print(f"compiling {name}", file=sys.stderr)
            memory = [f"{cost.measure_step_memory(model, num_frames, batch) / 2**20:,.0f} MiB"]
        size = cost.describe_input(model, num_frames)
        rows.append((name, size, f"{count:,}", cost.format_count(flops), *memory))
    print(lay_out(header, rows, num_left=2))
    for line in refused:
        print(line)
