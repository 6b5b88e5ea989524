"""`mer inspect`: check every frame of a video, a folder of clips or a camera, and report what is wrong."""

import argparse
import dataclasses
from collections.abc import Callable

from mer_jax.cli.progress import ProgressBar
from mer_jax.errors import MerError
from mer_jax.system.files import output_folder, printable
from mer_jax.vision.options import CROPS, FACES, MASKS, SAMPLINGS, TURNS, VisionOptions


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer inspect` and returns what runs it."""
    defaults = VisionOptions()
    parser.add_argument("source", help="a video, a folder of frames, a folder of these, or camera[:NUMBER|:ADDRESS]")
    parser.add_argument("--out", required=True, help="folder for inspect.html, inspect.json and contact sheets")
    parser.add_argument("--face", default=defaults.face, choices=FACES, help="whom to follow of several (%(default)s)")
    parser.add_argument(
        "--kind", choices=("clip", "video"), help="onset to offset, or uncut (default: folders are clips)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to record a camera (%(default)s)")
    parser.add_argument("--turn", default=defaults.turn, choices=TURNS, help="degrees clockwise (%(default)s)")
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
    from mer_jax.vision.sources import describe_passed_over
    from mer_jax.vision.verdict import Reason

    fields = {field.name for field in dataclasses.fields(VisionOptions)}
    options = VisionOptions(**{name: value for name, value in vars(flags).items() if name in fields})
    options.validate()
    out = output_folder(flags.out, "--out")
    bar = ProgressBar()
    inspection = inspect_source(flags.source, options, kind=flags.kind, seconds=flags.seconds, on_frame=bar.show)
    bar.clear()
    page = write_inspection(inspection, out)
    for name, clip in inspection.clips.items():
        print(f"{clip.verdict.value:6}{printable(name)}")
        for finding in clip.findings:
            if finding.level == "warning" or finding.reason in (Reason.CORRECTED, Reason.SECOND_LOOK):
                print(f"      {printable(str(finding))}")
    if inspection.passed_over:
        print(f"passed over {printable(describe_passed_over(inspection.passed_over))}")
    print(printable(str(page)))
    faults = [f"{name}: {f}" for name, clip in inspection.clips.items() for f in clip.findings if f.level == "error"]
    if faults:
        raise MerError("\n       ".join(map(printable, faults)))
