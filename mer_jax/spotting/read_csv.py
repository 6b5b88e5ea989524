"""Intervals from CSV: `intervals.csv` of `mer predict`, and tables of other programs.

Columns are found by their names, in any case; the first name that the file has is taken, and the notes of the table
say which. A file is separated by commas, semicolons or tabs.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from mer_jax.data.provenance import is_surrogate
from mer_jax.errors import IntervalsError
from mer_jax.spotting.interval import GIVEN
from mer_jax.spotting.interval_table import (
    CHOICES,
    IntervalRow,
    IntervalTable,
    VideoFacts,
    parse_kind,
    parse_number,
    reject,
)
from mer_jax.system.files import printable

# What a column may be called, in lower case without signs, the clearest name first.
_NAMES = {
    "video": "file video videoname videofile filename name mediafilename observationid",
    "onset_frame": "onsetframe startframe onset imageindexstart",
    "offset_frame": "offsetframe endframe offset imageindexstop",
    "apex_frame": "apexframe apex",
    "onset_s": "onsets onsetsec onsetseconds starts startsec startseconds onsettime starttime",
    "offset_s": "offsets offsetsec offsetseconds offsettime",
    "end_s": "ends endsec endseconds stops stopsec stopseconds endtime stoptime",
    "kind": "type kind expressiontype behavior",
    "label": "label emotion expressionclass",
    "score": "score",
    "face_id": "faceid face",
    "subject": "subject person participant",
    "frame_rate": "framerate fps",
    "duration_s": "videodurations videoduration",
    "provenance": "provenance",
}
_NUMBERS = ("score", "onset_s", "offset_s", "end_s", "frame_rate", "duration_s")
_WHOLE_NUMBERS = ("onset_frame", "offset_frame", "apex_frame", "face_id")
_PAIRS = (("onset_frame", "offset_frame"), ("onset_s", "offset_s"), ("onset_s", "end_s"))


def read_csv(path: Path, chosen_kinds: Mapping[str, str]) -> IntervalTable:
    """Reads the intervals of one or several videos.

    Args:
        path: The file. It needs a column of videos, and onsets and offsets in frames or seconds.
        chosen_kinds: Kinds by the names that the column of types has.

    Raises:
        IntervalsError: Not such a file; a cell that is not what its column holds.
    """
    header, rows = read_cells(path)
    columns = find_columns(header, _NAMES)
    _check_columns(path, header, columns)
    if "kind" not in columns and "label" in columns:
        labels = [row[columns["label"]] for _, row in rows]
        if labels and all(parse_kind(label, chosen_kinds) for label in labels):  # "micro", and no emotion
            columns["kind"] = columns.pop("label")
    cells = [(f"row {number}", {role: row[index] for role, index in columns.items()}) for number, row in rows]
    read = [_read_row(path, place, values, chosen_kinds) for place, values in cells]
    notes = [f"{path.name}: " + ", ".join(f"{header[index]} is {role}" for role, index in columns.items())]
    if "kind" not in columns:
        notes.append(f"{path.name} has no column of types: all its intervals are of one kind")
    ends_at_apex = [row for row, ended in read if ended]
    if ends_at_apex:
        notes.append(f"{path.name}: {len(ends_at_apex)} intervals have the offset 0 and end at their apex instead")
    intervals = tuple(row for row, _ in read)
    return IntervalTable(
        path=path,
        rows=intervals,
        videos=_read_videos(path, intervals, cells),
        provenance="surrogate" if any(is_surrogate(values.get("provenance")) for _, values in cells) else "unstated",
        notes=tuple(map(printable, notes)),
        names=frozenset(values["kind"] for _, values in cells if "kind" in values),
    )


def read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads the header and the rows with their numbers, the first one below the header 1; cells are stripped of spaces.

    Raises:
        IntervalsError: The file cannot be read, is empty, or a row has another number of cells than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise IntervalsError(f"{path} cannot be read: {error.strerror}; expected a table of intervals") from error
    except UnicodeDecodeError as error:
        raise IntervalsError(f"{path} is not text in UTF-8; export it as CSV in UTF-8") from error
    text = re.sub(r"\A\s*\n", "", text)  # some programs begin with an empty line
    first = text.partition("\n")[0]
    sign = max(",;\t", key=first.count)
    try:
        lines = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign)]
    except csv.Error as error:
        raise IntervalsError(f"{path}: {error}; expected comma-separated values") from error
    if not first.strip() or not lines:
        raise IntervalsError(f"{path} is empty; expected a header, and a row for each interval")
    header, rows = lines[0], [(number, row) for number, row in enumerate(lines[1:], 1) if any(row)]
    for number, row in rows:
        if len(row) != len(header):
            reject(path, f"row {number}", f"has {len(row)} cells", f"{len(header)} as in the header")
    return header, rows


def find_columns(header: list[str], names: Mapping[str, str]) -> dict[str, int]:
    """Returns the position of the column of each role that the header has.

    Args:
        header: Names in the file.
        names: Possible names by role, separated by spaces, the preferred one first.

    Example:
        >>> find_columns(["Video", "Onset", "onset_frame"], {"video": "file video", "onset": "onsetframe onset"})
        {'video': 0, 'onset': 2}
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in header]
    found = {}
    for role, possible in names.items():
        for name in possible.split():
            if name in plain:
                found[role] = plain.index(name)
                break
    return found


def _check_columns(path: Path, header: list[str], columns: Mapping[str, int]) -> None:
    shown = printable(", ".join(header)[:200])
    if "video" not in columns:
        raise IntervalsError(f"{path} has no column of videos; expected one called file or video. It has {shown}")
    if not any(one in columns and other in columns for one, other in _PAIRS):
        raise IntervalsError(
            f"{path} has no onsets and offsets; expected columns onset_frame and offset_frame, or onset_s and "
            f"offset_s (time of the last frame) or end_s (when it ends). It has {shown}"
        )


def _read_row(
    path: Path, place: str, cells: Mapping[str, str], chosen_kinds: Mapping[str, str]
) -> tuple[IntervalRow, bool]:
    """The interval, and whether it ends at its apex, for want of an offset."""
    if not cells["video"]:
        reject(path, place, "has no video", "its name in each row")
    values: dict[str, float] = {}
    for name in (*_NUMBERS, *_WHOLE_NUMBERS):
        if cells.get(name):
            values[name] = parse_number(path, place, name, cells[name])
    for name in ("frame_rate", "duration_s"):
        if values.get(name, 1.0) <= 0:
            reject(path, place, f"has the {name} {cells[name]}", "a number above 0")
    for name in _WHOLE_NUMBERS:
        if values.get(name, 0.0) % 1:
            reject(
                path,
                place,
                f"has the {name} {cells[name]}",
                "a whole number; call columns in seconds onset_s and end_s",
            )
    if not any(one in values and other in values for one, other in _PAIRS):
        reject(path, place, "has no onset or no offset", "both, in frames or in seconds")
    frames = {name: int(values[name]) if name in values else None for name in _WHOLE_NUMBERS}
    # CAS(ME)^2 and SAMM write 0 where the end was not seen.
    ended = frames["offset_frame"] == 0 and (frames["apex_frame"] or 0) > (frames["onset_frame"] or 0)
    if ended:
        frames["offset_frame"] = frames["apex_frame"]
    text = cells.get("kind", "")
    kind = parse_kind(text, chosen_kinds) if "kind" in cells else GIVEN
    if kind is None:
        reject(path, place, f"has the type {text!r}", f"one of {', '.join(CHOICES)}, or --tier '{text}=micro'")
    row = IntervalRow(
        video=cells["video"],
        place=place,
        kind=kind,
        onset_frame=frames["onset_frame"],
        offset_frame=frames["offset_frame"],
        apex_frame=frames["apex_frame"],
        onset_s=values.get("onset_s"),
        offset_s=values.get("offset_s"),
        end_s=values.get("end_s"),
        face_id=frames["face_id"] or 0,
        score=values.get("score"),
        label=cells.get("label") or None,
    )
    return row, ended


def _read_videos(
    path: Path, rows: tuple[IntervalRow, ...], cells: list[tuple[str, dict[str, str]]]
) -> dict[str, VideoFacts]:
    """Facts about the videos from columns; a rate that no row states is counted between frames with their times."""
    videos: dict[str, VideoFacts] = {}
    timed: dict[str, list[tuple[int, float]]] = {}
    for row, (place, values) in zip(rows, cells, strict=True):
        frame_rate, duration_s = (
            parse_number(path, place, name, values[name]) if values.get(name) else None
            for name in ("frame_rate", "duration_s")
        )
        facts = VideoFacts(subject=values.get("subject") or None, frame_rate=frame_rate, duration_s=duration_s)
        known = videos.get(row.video, VideoFacts())
        if None not in (known.subject, facts.subject) and known.subject != facts.subject:
            reject(
                path,
                place,
                f"has the video {row.video!r} of {facts.subject}, which was of {known.subject} before",
                f"a name of its own for each video, such as {facts.subject}/{row.video}",
            )
        videos[row.video] = known.fill(facts)
        ends = timed.setdefault(row.video, [])
        for frame, time_s in ((row.onset_frame, row.onset_s), (row.offset_frame, row.offset_s)):
            if frame is not None and time_s is not None:
                ends.append((frame, time_s))
    return {name: facts.fill(VideoFacts(frame_rate=_count_rate(timed[name]))) for name, facts in videos.items()}


def _count_rate(timed: list[tuple[int, float]]) -> float | None:
    """Frames per second between the first and the last of some frames with their times; None where no time passes."""
    if not timed:
        return None
    # A difference, because frames may be counted from 1, and times from elsewhere.
    (first, first_s), (last, last_s) = min(timed), max(timed)
    return (last - first) / (last_s - first_s) if last > first and last_s > first_s else None
