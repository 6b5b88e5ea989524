"""Reads predicted or labelled intervals from a file or folder of any known form."""

from collections.abc import Mapping
from pathlib import Path

from mer_jax.errors import IntervalsError
from mer_jax.spotting.interval_table import IntervalTable, VideoFacts, parse_number, reject
from mer_jax.spotting.read_csv import find_columns, read_cells, read_csv
from mer_jax.spotting.read_elan import read_elan
from mer_jax.spotting.read_json_lines import read_json_lines
from mer_jax.system.files import printable

_FORMS = "a .csv, .tsv, .eaf or intervals.jsonl file, or a folder of `mer predict` or of .eaf files"
_VIDEO_NAMES = {
    "video": "file video videoname videofile filename name",
    "duration_s": "durations duration durationsec durationseconds lengths",
    "num_frames": "numframes frames framecount",
    "frame_rate": "framerate fps",
    "subject": "subject person participant",
    "provenance": "provenance",
}


def read_intervals(path: Path, chosen_kinds: Mapping[str, str] | None = None) -> IntervalTable:
    """Reads the intervals of one or several videos.

    Args:
        path: A `.csv` or `.tsv` table, an `.eaf` file of ELAN, `intervals.jsonl`, or a folder: of `mer predict`, or of
            .eaf files, one a video.
        chosen_kinds: Kinds by names of tiers, texts of annotations, or values of a column of types.

    Raises:
        IntervalsError: Unknown form, or content that cannot be read without doubt.
    """
    chosen = chosen_kinds or {}
    if path.is_dir():
        for name in ("intervals.jsonl", "intervals.csv"):
            if (path / name).is_file():
                return read_intervals(path / name, chosen)
        found = [each for each in path.rglob("*.eaf") if not each.name.startswith(".")]
        if not found:
            raise IntervalsError(f"{path} holds no intervals.jsonl and no .eaf file; expected {_FORMS}")
        return read_elan(found, chosen, path)
    if not path.exists():
        raise IntervalsError(f"{path} does not exist; expected {_FORMS}")
    suffix = path.suffix.casefold()
    if suffix == ".eaf":
        return read_elan([path], chosen, path)
    if suffix == ".jsonl":
        return read_json_lines(path)
    if suffix in (".csv", ".tsv"):
        return read_csv(path, chosen)
    raise IntervalsError(f"{path} ends in {printable(path.suffix) or 'nothing'!r}; expected {_FORMS}")


def read_videos(path: Path, *, frame_rate: float | None = None) -> dict[str, VideoFacts]:
    """Reads what is known about videos from a CSV file.

    Args:
        path: Columns `file`, and of `duration_s`, `num_frames`, `frame_rate`, `subject`, `provenance` those that are
            known. Without `duration_s`, the length is the number of frames divided by the rate.
        frame_rate: Frames per second of all videos; it overrules the column.

    Raises:
        IntervalsError: No column `file`, a video twice, or a number that is none above 0.
    """
    header, rows = read_cells(path)
    columns = find_columns(header, _VIDEO_NAMES)
    if "video" not in columns:
        raise IntervalsError(f"{path} has no column file; it has {printable(', '.join(header)[:200])}")
    videos: dict[str, VideoFacts] = {}
    for number, row in rows:
        place, name = f"row {number}", row[columns["video"]]
        values: dict[str, float] = {}
        for role in ("duration_s", "num_frames", "frame_rate"):
            if role in columns and (cell := row[columns[role]]):
                values[role] = parse_number(path, place, role, cell)
                if values[role] <= 0:
                    reject(path, place, f"has the {role} {cell}", "a number above 0")
        if not name or name in videos:
            reject(path, place, f"has the video {name!r}", "a name, and each one once")
        duration, rate = values.get("duration_s"), frame_rate or values.get("frame_rate")
        if duration is None and rate is not None and "num_frames" in values:
            duration = values["num_frames"] / rate
        subject, provenance = (row[columns[each]] if each in columns else "" for each in ("subject", "provenance"))
        videos[name] = VideoFacts(
            duration_s=duration, frame_rate=rate, subject=subject or None, provenance=provenance or None
        )
    return videos
