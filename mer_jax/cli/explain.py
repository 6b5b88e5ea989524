"""`mer explain`: show which parts of the face a trained model's answer about one clip rests on."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer_jax.cli.command import check_frame_rate, loading_modules, refuse_stream
from mer_jax.errors import ConfigError, DecodeError
from mer_jax.system.files import output_folder, printable
from mer_jax.vision.options import FACES

if TYPE_CHECKING:
    from mer_jax.spotting.interval import Interval
    from mer_jax.vision.frames import FrameSource


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer explain` and returns what runs it."""
    parser.add_argument("clip", help="a video, or a folder of frames")
    parser.add_argument("--model", help="a model folder, a run folder, or the name of a model of the library")
    parser.add_argument("--out", help="folder for page, pictures and maps; without it the text is printed alone")
    parser.add_argument(
        "--interval",
        metavar="FROM-TO",
        help="onset to offset: frames (120-145) or seconds (4.0s-4.9s); default: all of the clip",
    )
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="class to explain (default: the most probable)"
    )
    parser.add_argument("--face", choices=FACES, help="whom to follow of several (default: as the model)")
    parser.add_argument("--frame_rate", type=float, help="frames per second, for an interval in seconds of a folder")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random weights and cells of the checks (%(default)s)"
    )
    return _explain


def _explain(flags: argparse.Namespace) -> None:
    with loading_modules():
        from mer_jax.explain.clip import check_explainable, explain_clip
        from mer_jax.prediction.model import choose_model, load
        from mer_jax.report.explanation import write_explanation
        from mer_jax.vision.sources import find_clips

    check_frame_rate(flags.frame_rate)
    if flags.seed < 0:
        raise ConfigError(f"got --seed {flags.seed}; expected 0 or more")
    out = output_folder(flags.out, "--out") if flags.out else None
    refuse_stream(flags.clip)
    model = load(choose_model(flags.model))
    check_explainable(model, flags.class_name)
    found = find_clips(str(Path(flags.clip).expanduser())).clips
    if len(found) != 1:
        raise DecodeError(f"{printable(flags.clip)} holds {len(found)} clips; expected one, to explain it")
    with contextlib.closing(model.reader(face=flags.face)) as reader, found[0].open() as frames:
        if len(frames) < 2:
            raise DecodeError(f"{printable(found[0].name)} has {len(frames)} frame; expected a clip of 2 or more")
        interval = _read_interval(flags, frames)
        _check_duration(flags, frames, interval)
        explanation = explain_clip(
            model,
            frames,
            onset=interval and interval.onset_frame,
            offset=interval and interval.offset_frame,
            class_name=flags.class_name,
            name=found[0].name,
            reader=reader,
            seed=flags.seed,
        )
    page = write_explanation(explanation, out) if out else None
    for line in (*explanation.text, *explanation.notes):
        print(printable(line))
    if page:
        print(printable(str(page)))


def _read_interval(flags: argparse.Namespace, frames: "FrameSource") -> "Interval | None":
    from mer_jax.prediction.video import read_times
    from mer_jax.spotting.interval import parse_interval

    if flags.interval is None:
        return None
    is_in_frames = "s" not in flags.interval and frames.timestamps_s is None and flags.frame_rate is None
    times = np.arange(len(frames), dtype=np.float64) if is_in_frames else read_times(frames, flags.frame_rate)
    return parse_interval(flags.interval, times)


def _check_duration(flags: argparse.Namespace, frames: "FrameSource", interval: "Interval | None") -> None:
    """Rejects clips longer than one expression, for which `mer predict` abstains; clips without timestamps pass."""
    from mer_jax.prediction.video import find_too_long, frame_duration, read_times

    if frames.timestamps_s is None and flags.frame_rate is None:
        return
    times = read_times(frames, flags.frame_rate)
    first, last = (0, -1) if interval is None else (interval.onset_frame, interval.offset_frame)
    if reason := find_too_long(float(times[last] - times[first]) + frame_duration(times)):
        raise ConfigError(
            f"{printable(flags.clip)} has {reason}; expected --interval FROM-TO around one of those that `mer predict` "
            "finds"
        )
