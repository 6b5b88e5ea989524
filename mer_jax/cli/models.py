"""`mer models`: list networks and baselines by family with their cost, or the layers of one."""

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
    from mer_jax import baselines
    from mer_jax.models import find_model
    from mer_jax.training import cost

    for name in ("frames", "batch"):
        if getattr(flags, name) < 1:
            raise MerError(f"got --{name}={getattr(flags, name)}; expected a whole number, 1 or more")
    if flags.name in baselines.__all__:
        raise MerError(f"{flags.name} is a baseline, which has no layers; expected a network, see `mer models`")
    if flags.name:
        model = find_model(flags.name)()
        print(cost.format_layers(cost.list_layers(model, flags.frames)))
    else:
        _list_networks(flags.frames, None if flags.no_memory else flags.batch)


def _list_networks(num_frames: int, batch: int | None) -> None:
    from mer_jax import baselines, models
    from mer_jax.data.views import find_view
    from mer_jax.evaluation.published import VERDICTS, find_system_of
    from mer_jax.evaluation.score_text import lay_out
    from mer_jax.training import cost

    header = ("family", "network", "input", "published", "parameters", "FLOPs a clip")
    header += (f"memory at batch {batch}",) if batch else ()
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
        system = find_system_of(name)
        verdict = system.verdict if system else ""
        rows.append((models.family_of(model), name, size, verdict, f"{count:,}", cost.format_count(flops), *memory))
    for name in baselines.__all__:
        owner, system = getattr(baselines, name), find_system_of(name)
        empty = ("",) * (len(header) - 4)
        rows.append((models.family_of(owner), name, find_view(owner).name, system.verdict if system else "", *empty))
    first = {family: place for place, (family, *_) in reversed(list(enumerate(rows)))}
    rows.sort(key=lambda row: (first[row[0]], row[1]))
    shown = [("" if at and rows[at - 1][0] == row[0] else row[0], *row[1:]) for at, row in enumerate(rows)]
    print(lay_out(header, shown, num_left=4))
    for verdict in dict.fromkeys(row[3] for row in rows if row[3]):
        print(f"{verdict}: {VERDICTS[verdict]}")
    for line in refused:
        print(line)
