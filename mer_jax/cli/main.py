"""The `mer` command.

A sub-command is one function: it gets the parser of its own arguments, declares them there, and returns what is to be
done with them. `COMMANDS` names it; nothing else has to know. What a command needs beyond the standard library it
imports when it runs, so that `mer --help` is there at once.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_jax.cli.command import run_command
from mer_jax.errors import DecodeError, MerError

if TYPE_CHECKING:
    from mer_jax.evaluation.results import ProtocolResult
    from mer_jax.report.inspection import InspectedClip
    from mer_jax.vision.frames import FrameSource
    from mer_jax.vision.options import VisionOptions
    from mer_jax.vision.quality import ClipQuality

Work = Callable[[argparse.Namespace], None]

VIDEO_SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
_PICTURES_ON_PAGE = 30  # a page of more is slow to open; clips with findings come first


def inspect(parser: argparse.ArgumentParser) -> Work:
    """Look at every frame of a video, a folder or a camera, and say what it is worth."""
    from mer_jax.vision.options import CROPS, FACES, MASKS, SAMPLINGS, VisionOptions

    defaults = VisionOptions()
    parser.add_argument("source", help="a video, a folder of frames, a folder of such, or camera[:NUMBER|:ADDRESS]")
    parser.add_argument("--out", required=True, type=Path, help="folder for inspect.html, the contact sheet and more")
    parser.add_argument("--face", default=defaults.face, choices=FACES, help="whom to take of several (%(default)s)")
    parser.add_argument(
        "--kind", choices=("clip", "video"), help="cut from onset to offset, or raw (default: folders are clips)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to record a camera (%(default)s)")
    parser.add_argument("--crop", default=defaults.crop, choices=CROPS, help="part of the frame taken (%(default)s)")
    parser.add_argument("--mask", default=defaults.mask, choices=MASKS, help="what stays visible (%(default)s)")
    parser.add_argument("--sampling", default=defaults.sampling, choices=SAMPLINGS, help="which frames (%(default)s)")
    parser.add_argument("--num_frames", type=int, default=defaults.num_frames, help="of the result (%(default)s)")
    parser.add_argument("--magnification", type=float, default=0.0, help="of movements; 0 is off (%(default)s)")

    def run(flags: argparse.Namespace) -> None:
        names = ("face", "crop", "mask", "sampling", "num_frames", "magnification")
        options = VisionOptions(**{name: getattr(flags, name) for name in names})
        options.validate()
        _inspect(flags.source, flags.out, options, flags.kind, flags.seconds)

    return run


def score(parser: argparse.ArgumentParser) -> Work:
    """Score a predictions.csv of any system: only the columns `true` and `predicted` are needed."""
    parser.add_argument("predictions", type=Path, help="a predictions.csv, or a run folder that holds one")
    _add_scoring_options(parser)

    def run(flags: argparse.Namespace) -> None:
        from mer_jax.evaluation.score_text import describe_definitions, describe_scores

        results = _read_results(flags.predictions, flags)
        entries = {result.protocol: result.metrics(draws=flags.draws) for result in results}
        if flags.json:
            print(json.dumps(entries, indent=2, allow_nan=False))
            return
        for name, entry in entries.items():
            print(describe_scores(entry, f"{flags.predictions}, {name}"), end="\n\n")
        print(describe_definitions(list(entries.values())))

    return run


def compare(parser: argparse.ArgumentParser) -> Work:
    """Compare runs, or predictions of any systems, clip by clip, with tests."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a run folder or a predictions.csv; two or more"
    )
    _add_scoring_options(parser)

    def run(flags: argparse.Namespace) -> None:
        from mer_jax.evaluation.comparison import compare_all, correct_all, describe_comparisons

        if len(set(flags.runs)) != len(flags.runs) or len(flags.runs) < 2:
            raise MerError(f"got {', '.join(map(str, flags.runs))}; expected two different runs or more")
        systems = {
            name: {result.protocol: result for result in _read_results(path, flags)}
            for name, path in zip(_tell_apart(flags.runs), flags.runs, strict=True)
        }
        comparisons = compare_all(systems, draws=flags.draws)
        if flags.json:
            import dataclasses

            pairs = zip(comparisons, correct_all(comparisons), strict=True)
            print(json.dumps([{**dataclasses.asdict(each), "holm": holm} for each, holm in pairs], indent=2))
            return
        if any(result.provenance == "surrogate" for results in systems.values() for result in results.values()):
            print("SURROGATE: rendered faces, not recordings of people\n")
        print(describe_comparisons(comparisons))

    return run


def models(parser: argparse.ArgumentParser) -> Work:
    """List the networks and what they cost, or the layers of one."""
    parser.add_argument("name", nargs="?", help="a network, to list its layers")
    parser.add_argument("--frames", type=int, default=18, help="of a clip (%(default)s)")
    parser.add_argument("--batch", type=int, default=80, help="clips of a training step (%(default)s)")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out the memory: one compilation a network, a minute in all"
    )

    def run(flags: argparse.Namespace) -> None:
        from mer_jax.training import cost as networks

        for name in ("frames", "batch"):
            if getattr(flags, name) < 1:
                raise MerError(f"got --{name}={getattr(flags, name)}, expected a whole number from 1")
        if flags.name:
            model = networks.find_network(flags.name)()
            print(networks.format_layers(networks.list_layers(model, flags.frames)))
        else:
            _list_networks(flags.frames, None if flags.no_memory else flags.batch)

    return run


COMMANDS: dict[str, Callable[[argparse.ArgumentParser], Work]] = {
    "inspect": inspect,
    "models": models,
    "score": score,
    "compare": compare,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command; returns the exit code: 0, 1 after an error, 2 for a wrong command line, 130 after Ctrl-C.

    Args:
        arguments: The command line without the program's name; None takes that of the process.
    """

    def command() -> None:
        parser = argparse.ArgumentParser(prog="mer", description="Micro-expressions, from video to a number.")
        commands = parser.add_subparsers(required=True, metavar="COMMAND")
        for name, declare in COMMANDS.items():
            summary = (declare.__doc__ or "").partition("\n")[0]
            own = commands.add_parser(name, help=summary, description=summary)
            own.set_defaults(work=declare(own))
        flags = parser.parse_args(arguments)
        flags.work(flags)

    return run_command(command, on_interrupt="interrupted; nothing is left half written")


def _add_scoring_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", default="", help="all classes, with commas, where a file does not show all")
    parser.add_argument("--draws", type=_positive, default=10_000, help="of bootstrap and permutation (%(default)s)")
    parser.add_argument("--json", action="store_true", help="everything as JSON instead of text")


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{number} is not from 1 to 10000000")
    return number


def _read_results(path: Path, flags: argparse.Namespace) -> "tuple[ProtocolResult, ...]":
    from mer_jax.evaluation.predictions import read_predictions

    names = tuple(name.strip() for name in flags.classes.split(",")) if flags.classes else ()
    return read_predictions(path / "predictions.csv" if path.is_dir() else path, class_names=names)


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that differ."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _inspect(source: str, out: Path, options: "VisionOptions", kind: str | None, seconds: float) -> None:
    from mer_jax.files import write_atomically
    from mer_jax.report.inspection import render_inspection
    from mer_jax.vision.contact_sheet import draw_clip, encode_jpeg, encode_png, stack_sheets
    from mer_jax.vision.landmarks import FaceLandmarker
    from mer_jax.vision.quality import SUMMARY, ClipQuality, inspect_clip, summarise_corpus

    openers = _find_clips(source, seconds)
    inspected: dict[str, ClipQuality | str] = {}
    with FaceLandmarker(with_blendshapes=True, with_pose=True) as landmarker:
        for number, (name, (open_clip, default_kind)) in enumerate(openers.items(), 1):
            print(f"{number} of {len(openers)}: {name}", file=sys.stderr)
            try:
                inspected[name] = inspect_clip(open_clip(), landmarker, options, kind=kind or default_kind)
            except DecodeError as error:
                inspected[name] = str(error)

    out.mkdir(parents=True, exist_ok=True)
    measured = {name: clip for name, clip in inspected.items() if isinstance(clip, ClipQuality)}
    pictures = {name: draw_clip(clip, name) for name, clip in measured.items()}
    for number, sheet in enumerate(stack_sheets(list(pictures.values())) if pictures else [], 1):
        write_atomically(out / f"contact_sheet{'' if number == 1 else f'_{number}'}.png", encode_png(sheet))
    shown = sorted(measured, key=lambda name: not any(f.level != "note" for f in measured[name].findings))
    jpegs = {name: encode_jpeg(pictures[name]) for name in shown[:_PICTURES_ON_PAGE]}
    overview = summarise_corpus(list(measured.values()))
    clips = [_page_entry(name, clip, jpegs.get(name)) for name, clip in inspected.items()]
    page = render_inspection(
        clips, title=source, columns=SUMMARY, overview=overview, environment=_environment(source, options)
    )
    content = {"source": source, "overview": overview, "clips": {n: _plain(c) for n, c in inspected.items()}}
    write_atomically(out / "inspect.json", json.dumps(content, indent=2))
    path = write_atomically(out / "inspect.html", page)

    for clip in clips:
        print(f"{clip.verdict:8}{clip.name}")
        for level, text in clip.findings:
            if level == "warning":
                print(f"        {text}")
    print(path)
    faults = [f"{clip.name}: {text}" for clip in clips for level, text in clip.findings if level == "error"]
    if faults:
        raise MerError("\n       ".join(faults))


def _list_networks(num_frames: int, batch: int | None) -> None:
    from mer_jax.errors import ShapeError
    from mer_jax.training import cost as networks

    rows = [("network", "input", "parameters", "FLOPs a clip", *([f"memory at batch {batch}"] if batch else []))]
    refused = []
    for name, network in networks.find_networks().items():
        model = network()
        try:
            count, flops = networks.count_parameters(model, num_frames), networks.count_flops(model, num_frames)
        except ShapeError as error:
            refused.append(f"{name}: {error}")
            continue
        memory = []
        if batch:
            print(f"compiling {name}", file=sys.stderr)
            memory = [f"{networks.measure_step_memory(model, num_frames, batch) / 2**20:,.0f} MiB"]
        size = networks.describe_input(model, num_frames)
        rows.append((name, size, f"{count:,}", networks.format_count(flops), *memory))
    print(networks.format_table(rows))
    for line in refused:
        print(line)


def _find_clips(source: str, seconds: float) -> "dict[str, tuple[Callable[[], FrameSource], str]]":
    """Returns by name what opens each clip, and whether it is a `clip` or a raw `video`."""
    from mer_jax.vision.camera import record_camera
    from mer_jax.vision.frames import FRAME_SUFFIXES, open_frames

    word, _, device = source.partition(":")
    if word == "camera":
        number = int(device or 0) if device.isdecimal() or not device else device
        return {source: (lambda: record_camera(number, seconds), "video")}
    root = Path(source)
    if not root.exists():
        raise DecodeError(f"{source} is not there; expected a video, a folder, or camera[:NUMBER|:ADDRESS]")

    def entry(path: Path) -> "tuple[Callable[[], FrameSource], str]":
        return lambda: open_frames(path), "clip" if path.is_dir() else "video"

    if root.is_file():
        return {root.name: entry(root)}
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    folders = {path.parent for path in files if path.suffix.lower() in FRAME_SUFFIXES}
    found = sorted({*folders, *(path for path in files if path.suffix.lower() in VIDEO_SUFFIXES)})
    if not found:
        raise DecodeError(
            f"{source} holds neither videos ({', '.join(VIDEO_SUFFIXES)}) nor folders of frames "
            f"({', '.join(FRAME_SUFFIXES)}); found {len(files)} other files"
        )
    return {root.name if path == root else path.relative_to(root).as_posix(): entry(path) for path in found}


def _page_entry(name: str, clip: "ClipQuality | str", jpeg: bytes | None) -> "InspectedClip":
    from mer_jax.report.inspection import Curve, InspectedClip
    from mer_jax.vision.quality import SUMMARY

    if isinstance(clip, str):
        return InspectedClip(name, {}, dict.fromkeys(SUMMARY, math.nan), [("error", clip)], None, [])
    facts = {"frames": str(clip.num_frames)}
    if clip.frame_size:
        facts["size"] = f"{clip.frame_size[0]}x{clip.frame_size[1]} pixels"
    if clip.frames_per_s:
        facts["rate"] = f"{clip.frames_per_s:.4g} frames a second"
    facts["faces"] = f"{clip.num_tracks} told apart over the clip"
    if clip.blinks:
        facts["eyes closed"] = ", ".join(f"{first}-{last}" for first, last in clip.blinks)
    apex = clip.apex_frame
    if apex is not None:
        facts["largest movement"] = f"frame {apex}; whether it is an expression is not judged"
    figures, curves = clip.figures, []
    if clip.track is not None and len(figures.index) > 1:
        curves = [
            Curve("movement, gray levels", clip.movement_index, clip.movement, [] if apex is None else [apex]),
            Curve("eyes closed, 0 to 1", figures.index, figures.eye_closure, level=0.5),
            Curve("yaw, degrees", figures.index, figures.yaw, level=0.0),
            Curve("pitch, degrees", figures.index, figures.pitch, level=0.0),
            Curve("sharpness", figures.index, figures.sharpness),
            Curve("brightness of the frame, gray levels", figures.index, figures.brightness),
        ]
    findings = [(finding.level, str(finding)) for finding in clip.findings]
    return InspectedClip(name, facts, clip.summary, findings, jpeg, [c for c in curves if len(c.index) > 1])


def _plain(clip: "ClipQuality | str") -> dict[str, Any]:
    """What inspect.json says of a clip."""
    if isinstance(clip, str):
        return {"usable": False, "findings": [{"level": "error", "message": clip, "frames": []}]}
    summary = {name: value if math.isfinite(value) else None for name, value in clip.summary.items()}
    findings = [{"level": f.level, "message": f.message, "frames": f.frames} for f in clip.findings]
    return {
        "usable": clip.usable, "num_frames": clip.num_frames, "frames_per_s": clip.frames_per_s,
        "summary": summary, "blinks": clip.blinks, "apex_frame": clip.apex_frame, "findings": findings,
    }  # fmt: skip


def _environment(source: str, options: "VisionOptions") -> dict[str, str]:
    import dataclasses
    import platform

    import mer_jax
    from mer_jax.vision.libraries import cv2, load_mediapipe
    from mer_jax.vision.options import VISION_VERSION

    chosen = ", ".join(f"{name}={value}" for name, value in dataclasses.asdict(options).items())
    return {
        "source": source,
        "options": f"{chosen} (fingerprint {options.fingerprint()}, version {VISION_VERSION})",
        "versions": f"mer_jax {mer_jax.__version__}, Python {platform.python_version()}, OpenCV {cv2.__version__}, "
        f"MediaPipe {load_mediapipe().__version__}",
    }


if __name__ == "__main__":
    sys.exit(main())
