"""All files about one predicted video, and the page over several of them."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mer_jax.export.bids import describe_events, format_events
from mer_jax.export.boris import format_boris, format_boris_table
from mer_jax.export.elan import format_elan
from mer_jax.export.frames_csv import FramesWriter
from mer_jax.export.intervals_csv import format_intervals
from mer_jax.export.json_lines import format_json_lines
from mer_jax.export.textgrid import format_textgrid
from mer_jax.export.webvtt import format_webvtt
from mer_jax.prediction.usage import usage_notes
from mer_jax.prediction.video import PredictedVideo
from mer_jax.report.face_log import FaceLog
from mer_jax.report.overlay_file import OVERLAY, OverlayFile
from mer_jax.report.page import load_template
from mer_jax.report.timeline import draw_timeline
from mer_jax.system.files import printable, write_atomically

FRAMES, TIMELINE, PAGE, ABOUT = "frames.csv", "timeline.png", "report.html", "README.txt"

_ABOUT = """{notes}

intervals.csv    one row an interval. Frames are counted from 0, offset_frame is the last one; times are seconds from
                 the first frame. label is empty where the model does not answer; abstained says why.
frames.csv       one row a frame and face: see the columns in docs/predict.md
{stem}.eaf       for ELAN          {stem}.TextGrid  for Praat
{stem}.boris     for BORIS         boris.csv        the columns of its aggregated export
{stem}.vtt       subtitles         {stem}_events.tsv, {stem}_events.json  BIDS
intervals.jsonl  for scripts       timeline.png, report.html, overlay.webm  to look at
"""


def list_files(stem: str, *, overlay: bool = True) -> list[str]:
    """Returns the names of the files that are written about a video.

    Args:
        stem: Of the video's name.
        overlay: Whether the copy with boxes is one of them.
    """
    own = [f"{stem}{suffix}" for suffix in (".eaf", ".TextGrid", ".vtt", ".boris", "_events.tsv", "_events.json")]
    fixed = ["intervals.csv", FRAMES, "boris.csv", "intervals.jsonl", TIMELINE, PAGE, ABOUT]
    return [*fixed, *own, *([OVERLAY] if overlay else [])]


def write_video(video: PredictedVideo, log: FaceLog, overlay: OverlayFile | None, out: Path, *, stem: str) -> None:
    """Writes every file about a video, in constant memory.

    Args:
        video: What was found.
        log: Its faces.
        overlay: The copy with boxes, with every frame and interval; None for none.
        out: Folder.
        stem: Of the names of the annotation files.
    """
    part = out / f".{FRAMES}.part.csv"
    try:
        with part.open("w", newline="") as file:
            rows = FramesWriter(file, video)
            for index, faces in log.frames():
                rows.write(index, faces)
        picture = draw_timeline(video, log.curve)
        texts: dict[str, str | bytes] = {
            "intervals.csv": format_intervals([video], video.class_names),
            "intervals.jsonl": format_json_lines(video),
            "boris.csv": format_boris_table(video),
            f"{stem}.eaf": format_elan(video, out),
            f"{stem}.TextGrid": format_textgrid(video),
            f"{stem}.vtt": format_webvtt(video),
            f"{stem}.boris": format_boris(video),
            f"{stem}_events.tsv": format_events(video),
            f"{stem}_events.json": describe_events(video),
            ABOUT: _ABOUT.format(notes="\n\n".join(_notes(video)), stem=printable(stem)),
            TIMELINE: picture,
            PAGE: _render([video], {video.name: picture}, [], {}, {}),
        }
        for name, content in texts.items():
            write_atomically(out / name, content)
        part.replace(out / FRAMES)
        if overlay is not None:
            overlay.finish()  # last: OpenCV does not say when the disk is full, the others do
    finally:
        part.unlink(missing_ok=True)


def write_summary(
    out: Path,
    lines: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
    links: Mapping[str, str],
    faults: Sequence[str],
    provenance: str,
    *,
    spotted: bool,
) -> Path:
    """Writes `intervals.csv`, `intervals.jsonl` and `report.html` over all videos of a call.

    Args:
        out: Folder.
        lines: Lines of `intervals.jsonl` of each video, by its name.
        class_names: Of the model.
        links: Name of each video and the relative path of its folder.
        faults: One line for each file that could not be predicted.
        provenance: Of the model.
        spotted: Whether intervals were spotted.

    Returns:
        The page.
    """
    write_atomically(out / "intervals.jsonl", "".join(line for each in lines.values() for line in each))
    tables = [(out / folder / "intervals.csv").read_text().split("\n", 1) for folder in links.values()]
    head = format_intervals([], class_names)
    write_atomically(out / "intervals.csv", head + "".join(rows for _, rows in tables))
    counts = {name: sum(json.loads(line)["type"] == "interval" for line in each) for name, each in lines.items()}
    notes = usage_notes(provenance, spotted=spotted)
    page = load_template("prediction.html.j2").render(
        title="1 video" if len(links) == 1 else f"{len(links)} videos",
        surrogate=provenance == "surrogate", notes=notes, videos=[], pictures={},
        faults=[printable(fault) for fault in faults], links=links, counts=counts, printable=printable,
    )  # fmt: skip
    return write_atomically(out / PAGE, page)


def _render(
    videos: Sequence[PredictedVideo],
    pictures: Mapping[str, bytes],
    faults: Sequence[str],
    links: Mapping[str, str],
    counts: Mapping[str, int],
) -> str:
    (video,) = videos
    return load_template("prediction.html.j2").render(
        title=printable(video.name),
        surrogate=video.provenance == "surrogate",
        notes=_notes(video),
        videos=videos,
        pictures={name: base64.b64encode(each).decode() for name, each in pictures.items()},
        faults=faults,
        links=links,
        counts=counts,
        printable=printable,
    )


def _notes(video: PredictedVideo) -> Sequence[str]:
    return usage_notes(video.provenance, spotted=video.spotted)
