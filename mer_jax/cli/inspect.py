"""`mer inspect`: check every frame of a video, a folder of clips or a camera, and report what is wrong."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from mer_jax.errors import MerError
from mer_jax.vision.options import CROPS, FACES, MASKS, SAMPLINGS, VisionOptions


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer inspect` and returns what runs it."""
    defaults = VisionOptions()
    parser.add_argument("source", help="a video, a folder of frames, a folder of these, or camera[:NUMBER|:ADDRESS]")
    parser.add_argument("--out", required=True, type=Path, help="folder for inspect.html, inspect.json, contact sheets")
    parser.add_argument("--face", default=defaults.face, choices=FACES, help="whom to follow of several (%(default)s)")
    parser.add_argument(
        "--kind", choices=("clip", "video"), help="onset to offset, or uncut (default: folders are clips)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to record a camera (%(default)s)")
    parser.add_argument("--crop", default=defaults.crop, choices=CROPS, help="part of the frame (%(default)s)")
    parser.add_argument("--mask", default=defaults.mask, choices=MASKS, help="what stays visible (%(default)s)")
    parser.add_argument("--sampling", default=defaults.sampling, choices=SAMPLINGS, help="which frames (%(default)s)")
    parser.add_argument("--num_frames", type=int, default=defaults.num_frames, help="frames to prepare (%(default)s)")
    parser.add_argument(
        "--magnification", type=float, default=defaults.magnification, help="of motion; 0 is off (%(default)s)"
    )
    return _inspect


def _inspect(flags: argparse.Namespace) -> None:
    from mer_jax.report.inspection import write_inspection
    from mer_jax.vision.inspection import inspect_source

    fields = {field.name for field in dataclasses.fields(VisionOptions)}
    options = VisionOptions(**{name: value for name, value in vars(flags).items() if name in fields})
    options.validate()

    def announce(number: int, count: int, name: str) -> None:
        print(f"{number} of {count}: {name}", file=sys.stderr)

    inspection = inspect_source(flags.source, options, kind=flags.kind, seconds=flags.seconds, on_clip=announce)
    page = write_inspection(inspection, flags.out)
    for name, clip in inspection.clips.items():
        print(f"{clip.verdict:8}{name}")
        for finding in clip.findings:
            if finding.level == "warning":
                print(f"        {finding}")
    print(page)
    faults = [f"{name}: {f}" for name, clip in inspection.clips.items() for f in clip.findings if f.level == "error"]
    if faults:
        raise MerError("\n       ".join(faults))
