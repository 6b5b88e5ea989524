"""`mer predict`: classify the expressions in videos by a trained model, and write files for annotation programs."""

import argparse
import contextlib
import dataclasses
import glob
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mer_jax
from mer_jax.cli.command import check_frame_rate, loading_modules, print_while_heard, refuse_stream
from mer_jax.cli.progress import ProgressBar
from mer_jax.data.provenance import surrogate_mark
from mer_jax.errors import ConfigError, DecodeError, MerError
from mer_jax.system.files import is_sealed, output_folder, printable, seal, write_atomically
from mer_jax.vision.options import FACES

if TYPE_CHECKING:
    from mer_jax.prediction.clip import ClipReader
    from mer_jax.prediction.model import TrainedModel
    from mer_jax.prediction.video import Clock, PredictedInterval, PredictedVideo, WatchedFace
    from mer_jax.vision.frames import Frame, FrameSource
    from mer_jax.vision.inspection import Progress
    from mer_jax.vision.sources import ClipSource

_DONE = "done.json"  # the last file that is written about a video
_SHORT_S = 4.0  # a video of at most this length is one clip, unless --spot is given
_FACE_AND_SPOTTING = "got --face with spotting, which follows every face; expected --whole or --interval with it"


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], None]:
    """Adds the arguments of `mer predict` and returns what runs it."""
    parser.add_argument("sources", nargs="+", help="videos, folders of frames, folders of these, or '*.mp4'")
    parser.add_argument("--model", help="a model folder, a run folder, or the name of a model of the library")
    parser.add_argument("--out", required=True, help="folder for the results; videos that are done there are kept")
    parser.add_argument(
        "--interval",
        action="append",
        default=[],
        metavar="FROM-TO",
        help="where to look in one video: frames (120-145) or seconds (4.0s-4.9s); may be repeated",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--whole", action="store_true", help="every file is one expression from onset to offset")
    how.add_argument("--spot", action="store_true", help="spot expressions also in short videos and folders of frames")
    parser.add_argument(
        "--face", choices=FACES, help="whom to follow of several, not with spotting (default: as the model)"
    )
    parser.add_argument("--frame_rate", type=float, help="frames per second, for folders of frames")
    parser.add_argument("--no-overlay", action="store_true", help="do not write overlay.webm")
    return _predict


@dataclasses.dataclass(frozen=True)
class _Job:
    """One video to predict."""

    name: str
    path: Path
    clip: "ClipSource"


def _predict(flags: argparse.Namespace) -> None:
    out = output_folder(flags.out, "--out")
    try:
        _predict_all(flags, out)
    except FileNotFoundError as error:
        if not Path(str(error.filename)).is_relative_to(out):
            raise
        raise MerError(f"{error.filename} is gone: --out {out} was removed while it was written; run again") from error


def _predict_all(flags: argparse.Namespace, out: Path) -> None:
    with loading_modules():
        from mer_jax.prediction.model import choose_model, load
        from mer_jax.report.prediction import write_summary
        from mer_jax.vision.inspection import Progress

    check_frame_rate(flags.frame_rate)
    flags.model = choose_model(flags.model)
    jobs, faults = _find_jobs(flags.sources)
    if flags.interval and (flags.whole or flags.spot):
        raise ConfigError(f"got --interval and --{'whole' if flags.whole else 'spot'}; expected one of them")
    if flags.interval and len(jobs) != 1:
        raise ConfigError(f"got --interval with {len(jobs)} videos; expected one video")
    if flags.face is not None and flags.spot:
        raise ConfigError(_FACE_AND_SPOTTING)
    model = load(flags.model)
    reader = model.reader(face=flags.face, turn="none")  # the whole video is turned before
    record = _describe_call(model, flags)
    bar, lines, links = ProgressBar(), {}, {}
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(reader):
        for number, job in enumerate(jobs, 1):
            place = Progress(number, len(jobs), job.name, 0, 0)
            bar.show(place)
            folder = out / job.name
            try:
                if not (is_done := _is_done(folder, job, record)):
                    _predict_one(model, reader, job, folder, flags, record, bar, place)
                cut = json.loads((folder / _DONE).read_bytes())["cut_short"]
            except MerError as error:
                bar.clear()
                faults.append(f"{printable(job.name)}: {printable(str(error))}")
                print_while_heard(f"failed {printable(job.name)}")
                continue
            bar.clear()
            if cut:
                faults.append(f"{printable(job.name)}: {cut}; the results are of the rest")
            links[job.name] = job.name
            lines[job.name] = (folder / "intervals.jsonl").read_text().splitlines(keepends=True)
            head, *intervals = map(json.loads, lines[job.name])
            for each in intervals if is_done else ():
                _print_interval(job.name, each)
            _print_counts(job.name, head, intervals)
    spotted = any(json.loads(each[0])["spotted"] for each in lines.values())
    page = write_summary(out, lines, model.class_names, links, faults, model.description.provenance, spotted=spotted)
    if model.description.is_surrogate:
        print_while_heard("SURROGATE: the model was trained on rendered faces")
    print_while_heard(printable(str(page)))
    if faults:
        raise MerError("\n       ".join(faults))


def _find_jobs(sources: Sequence[str]) -> tuple[list[_Job], list[str]]:
    """The videos of all sources, and a line for each source without one."""
    from mer_jax.vision.sources import find_clips

    jobs: dict[str, _Job] = {}
    faults = []
    for source in sources:
        try:
            refuse_stream(source)
        except DecodeError as error:
            faults.append(str(error))
            continue
        paths = [Path(source).expanduser()]
        if glob.has_magic(source) and not paths[0].exists():
            paths = sorted(map(Path, glob.glob(str(paths[0]), recursive=True)))
            if not paths:
                faults.append(f"{printable(source)} matches no file")
        for root in paths:
            try:
                clips = find_clips(str(root)).clips
            except DecodeError as error:
                faults.append(printable(str(error)))
                continue
            for clip in clips:
                path = root / clip.name if not root.is_file() and (root / clip.name).exists() else root
                name = clip.name
                if name in jobs and jobs[name].path != path.absolute():  # the same name in another folder
                    name = "_".join([*path.absolute().parent.parts[1:], clip.name])
                jobs[name] = _Job(name, path.absolute(), clip)
    return list(jobs.values()), faults


def _predict_one(
    model: "TrainedModel",
    reader: "ClipReader",
    job: _Job,
    folder: Path,
    flags: argparse.Namespace,
    record: dict[str, Any],
    bar: ProgressBar,
    place: "Progress",
) -> "PredictedVideo":
    from mer_jax.export.json_lines import describe_interval
    from mer_jax.prediction.video import check_length, number_faces, predict_video, read_clock, read_times, watch_faces
    from mer_jax.prediction.watching import spot_and_predict
    from mer_jax.report.face_log import FaceLog
    from mer_jax.report.overlay_file import OverlayFile
    from mer_jax.report.prediction import list_files, write_video
    from mer_jax.spotting.faces import FaceSpotter
    from mer_jax.spotting.interval import parse_interval
    from mer_jax.vision.cut_short import find_cut

    before = _describe_source(job.path)
    stem = job.path.stem if job.path.is_file() else job.path.name
    with job.clip.open() as opened:
        check_length(opened, job.name)
        frames = _turn(opened, model, reader)
        clock = read_clock(frames, flags.frame_rate)
        is_spotted = _is_to_be_spotted(flags, job, frames, clock)
        if is_spotted and flags.face is not None:
            raise ConfigError(_FACE_AND_SPOTTING)

        def show(done: int, total: int) -> None:
            bar.show(dataclasses.replace(place, frame=done, num_frames=total))

        def say(predicted: "PredictedInterval") -> None:
            bar.clear()
            _print_interval(job.name, describe_interval(predicted))

        if is_spotted:
            video = None
        else:
            times = read_times(frames, flags.frame_rate)
            given = [parse_interval(text, times) for text in flags.interval]
            video = predict_video(
                model, frames, given or None, name=job.name, path=str(job.path), times_s=times, reader=reader,
                on_interval=say,
            )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _DONE).unlink(missing_ok=True)
        with contextlib.ExitStack() as files:
            log, copy, spotter = files.enter_context(FaceLog(folder)), None, FaceSpotter()
            if not flags.no_overlay:
                wait_s = spotter.options.longest_wait_s if is_spotted else 0.0
                copy = files.enter_context(OverlayFile(folder, model.description, wait_s))

            def add(time_s: float, frame: "Frame", faces: "Sequence[WatchedFace]") -> None:
                log.add(time_s, faces)
                if copy is not None:
                    copy.add(time_s, frame, faces)
                show(log.num_frames, _estimate_frames(job, frames, log.num_frames, time_s))

            def keep(predicted: "PredictedInterval") -> None:
                if copy is not None:
                    copy.add_interval(predicted)

            def find(predicted: "PredictedInterval") -> None:
                keep(predicted)
                say(predicted)

            if video is None:
                video = spot_and_predict(
                    model, frames, clock, name=job.name, path=str(job.path), reader=reader, spotter=spotter,
                    on_frame=add, on_interval=find,
                )  # fmt: skip
            else:
                for each in video.intervals:
                    keep(each)
                for index, time_s, frame, faces in watch_faces(frames, reader.landmarker, clock):
                    video = number_faces(video, index, faces)
                    add(time_s, frame, faces)
            video = dataclasses.replace(video, frames_with_face=log.num_with_face)
            write_video(video, log, copy, folder, stem=stem)
        cut = find_cut(opened)
    if _describe_source(job.path) != before:
        raise DecodeError("the file changed while it was read, as a recording does; run again when it is complete")
    names = list_files(stem, overlay=not flags.no_overlay)
    done = {**record, "source": before, "cut_short": cut and str(cut), "files": names}
    write_atomically(folder / _DONE, json.dumps(seal(done), indent=1) + "\n")
    return video


def _turn(frames: "FrameSource", model: "TrainedModel", reader: "ClipReader") -> "FrameSource":
    """Turns a whole video upright, as the clips of the model were turned."""
    from mer_jax.vision.turn import turn_frames

    vision = model.description.vision
    assert vision is not None  # or there were no reader
    return turn_frames(frames, vision.turn, reader.landmarker)


def _is_to_be_spotted(flags: argparse.Namespace, job: _Job, frames: "FrameSource", clock: "Clock") -> bool:
    """Whether a video is searched for expressions, rather than taken as one from onset to offset."""
    if flags.interval or flags.whole or not frames.holds(2):
        return False
    known = itertools.takewhile(frames.holds, itertools.count())
    return flags.spot or (job.clip.kind == "video" and any(clock(index) > _SHORT_S for index in known))


def _estimate_frames(job: _Job, frames: "FrameSource", done: int, time_s: float) -> int:
    """About how many frames a video has, before its end is known."""
    if job.clip.kind != "video":
        return len(frames)
    return max(done, round(done * (frames.stated_duration_s or 0) / time_s)) if time_s > 0 else done


def _describe_call(model: "TrainedModel", flags: argparse.Namespace) -> dict[str, Any]:
    """What decides the results beside the video."""
    assert model.folder is not None
    return {
        "mer_jax": mer_jax.__version__,
        "model": json.loads((model.folder / "model.json").read_text())["checksum"],
        "options": [flags.interval, flags.face, flags.frame_rate, flags.no_overlay, flags.whole, flags.spot],
    }


def _describe_source(path: Path) -> list[int]:
    """Size and time of a file; of a folder, those of its files."""
    try:
        files = [path] if not path.is_dir() else [each for each in path.iterdir() if each.is_file()]
        states = [each.stat() for each in files]
    except FileNotFoundError as error:
        raise DecodeError(f"{error.filename} was removed or renamed in the meantime") from error
    return [len(states), sum(each.st_size for each in states), max((each.st_mtime_ns for each in states), default=0)]


def _is_done(folder: Path, job: _Job, record: dict[str, Any]) -> bool:
    try:
        done = json.loads((folder / _DONE).read_bytes())
    except (OSError, ValueError):
        return False
    expected = {**record, "source": _describe_source(job.path)}
    return (
        is_sealed(done)
        and "cut_short" in done
        and all(done.get(name) == value for name, value in expected.items())
        and all((folder / name).is_file() for name in done["files"])
    )


def _print_interval(name: str, line: Mapping[str, Any]) -> None:
    """Prints a line of `intervals.jsonl`, unless the movement is not classified."""
    from mer_jax.spotting.interval import OTHER_MOVEMENTS

    if line["kind"] in OTHER_MOVEMENTS:
        return
    answer = line["answer"]
    said = answer["label"] or f"no answer: {printable('; '.join(answer['abstained']))}"
    what = f"{surrogate_mark(answer['provenance'], after=' ')}{line['kind']}  {said} ({answer['confidence']:.2f})"
    print_while_heard(f"{printable(name)}: {line['onset_s']:9.3f} to {line['end_s']:9.3f} s  {what}")


def _print_counts(name: str, head: Mapping[str, Any], intervals: Sequence[Mapping[str, Any]]) -> None:
    from mer_jax.spotting.interval import OTHER_MOVEMENTS

    asked = [each for each in intervals if each["kind"] not in OTHER_MOVEMENTS]
    others = Counter(each["kind"] for each in intervals if each["kind"] in OTHER_MOVEMENTS)
    beside = "".join(f", {count} {kind}" for kind, count in sorted(others.items()))
    if head.get("frames_with_face") == 0:  # a result of an earlier version does not say
        beside += f"; no face in any of {head['frames']} frames"
    print_while_heard(f"{printable(name)}: {len(asked)} {'interval' if len(asked) == 1 else 'intervals'}{beside}")
