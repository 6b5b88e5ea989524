"""Intervals as a file states them, in frames or seconds, and what becomes of them on a common clock."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mer_jax.errors import IntervalsError
from mer_jax.spotting.interval import BLINK, GAZE, GIVEN, MACRO, MICRO, SPEECH, TURN, WHOLE, Interval
from mer_jax.system.files import printable

# Names that files give to kinds, in lower case without signs.
_KIND_NAMES = {
    MICRO: "micro micros microexpression microexpressions me mes",
    MACRO: "macro macros macroexpression macroexpressions mae maes",
    BLINK: "blink blinks blinking eyeblink eyeblinks",
    GAZE: "gaze gazes gazeshift lookaway",
    SPEECH: "speech speaking talking talk",
    TURN: "turn turns headturn headturns headmovement headmovements headmotion",
    GIVEN: "given expression expressions",
    WHOLE: "clip",
}
_KINDS = {name: kind for kind, names in _KIND_NAMES.items() for name in names.split()}
CHOICES = tuple(_KIND_NAMES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalRow:
    """One interval as its file states it: in frames, in seconds, or both.

    Attributes:
        video: Name of the video.
        place: Where it stands in the file, for messages.
        kind: Of movement.
        onset_frame: First frame.
        offset_frame: Last frame, included.
        apex_frame: Frame of the largest movement.
        onset_s: Time of the first frame.
        offset_s: Time of the last frame; None where the file states `end_s`.
        end_s: When the last frame ends.
        face_id: Number of the face, from 0.
        score: Of the spotter.
        label: Emotion; None without one.
    """

    video: str
    place: str
    kind: str
    onset_frame: int | None = None
    offset_frame: int | None = None
    apex_frame: int | None = None
    onset_s: float | None = None
    offset_s: float | None = None
    end_s: float | None = None
    face_id: int = 0
    score: float | None = None
    label: str | None = None

    @property
    def has_frames(self) -> bool:
        """Whether both ends are stated in frames."""
        return self.onset_frame is not None and self.offset_frame is not None

    @property
    def has_times(self) -> bool:
        """Whether both ends are stated in seconds."""
        return self.onset_s is not None and (self.offset_s is not None or self.end_s is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a file says about a video; None where it says nothing.

    Attributes:
        duration_s: Length.
        frame_rate: Frames per second.
        subject: Whom it shows.
        provenance: As a file of videos states it, in any case of letters.
    """

    duration_s: float | None = None
    frame_rate: float | None = None
    subject: str | None = None
    provenance: str | None = None

    def fill(self, other: "VideoFacts") -> "VideoFacts":
        """These facts, and those of another source where one is missing here."""
        own, others = dataclasses.asdict(self), dataclasses.asdict(other)
        return VideoFacts(**{name: others[name] if value is None else value for name, value in own.items()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalTable:
    """The intervals of a file.

    Attributes:
        path: The file or folder.
        rows: In the order of the file.
        videos: Facts by name, of videos without intervals too where the file lists them.
        provenance: What the predictions come from, `surrogate` if any of them says so; `unstated` without a word on it.
        notes: How the file was read, one line each.
        names: Of tiers and annotations, or values of the column of types, from which kinds are read.
    """

    path: Path
    rows: tuple[IntervalRow, ...]
    videos: Mapping[str, VideoFacts]
    provenance: str = "unstated"
    notes: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    @property
    def has_frames(self) -> bool:
        """Whether every interval is stated in frames."""
        return all(row.has_frames for row in self.rows)

    def rename(self, names: Mapping[str, str]) -> "IntervalTable":
        """The same intervals under other names of their videos; names that are missing in `names` stay."""
        rows = tuple(dataclasses.replace(row, video=names.get(row.video, row.video)) for row in self.rows)
        return dataclasses.replace(
            self, rows=rows, videos={names.get(name, name): facts for name, facts in self.videos.items()}
        )

    def place_on_frames(
        self, frame_rates: Mapping[str, float | None], *, from_times: bool = False
    ) -> dict[str, list[tuple[Interval, str | None]]]:
        """Returns the intervals of each video in frames, each with its label.

        A time becomes the nearest frame; an interval that ends at a time ends with the frame before.

        Args:
            frame_rates: Frames per second of each video whose intervals are stated in seconds.
            from_times: Takes times where an interval has both times and frames.

        Raises:
            IntervalsError: No frame rate, or an offset before its onset.
        """
        placed: dict[str, list[tuple[Interval, str | None]]] = {name: [] for name in self.videos}
        for row in self.rows:
            onset, offset = row.onset_frame, row.offset_frame
            if onset is None or offset is None or (from_times and row.has_times):
                onset, offset = self._find_frames(row, frame_rates.get(row.video))
            if not 0 <= onset <= offset:
                reject(self.path, row.place, f"is from frame {onset} to {offset}", "0 or more, and the offset last")
            interval = Interval(
                onset_frame=onset,
                offset_frame=offset,
                apex_frame=row.apex_frame,
                face_id=row.face_id,
                kind=row.kind,
                score=row.score,
            )
            placed.setdefault(row.video, []).append((interval, row.label))
        return placed

    def _find_frames(self, row: IntervalRow, frame_rate: float | None) -> tuple[int, int]:
        if frame_rate is None:
            raise IntervalsError(
                f"{self.path} has {printable(row.video)!r} in seconds, and the frame rate is not known; expected "
                "--frame_rate, or a column frame_rate in --videos"
            )
        assert row.onset_s is not None
        end_s = row.end_s if row.offset_s is None else row.offset_s
        assert end_s is not None
        if end_s < row.onset_s:
            reject(self.path, row.place, f"is from {row.onset_s:g} to {end_s:g} s", "the offset last")
        onset = round(row.onset_s * frame_rate)
        if row.offset_s is not None:
            return onset, round(row.offset_s * frame_rate)
        return onset, max(onset, round(end_s * frame_rate) - 1)  # shorter than a frame: one frame


def parse_kind(text: str, chosen: Mapping[str, str]) -> str | None:
    """Returns the kind that a name of a tier, type or annotation stands for; None for an unknown one.

    Args:
        text: As the file has it.
        chosen: Kinds by name as the user states them; they come first.

    Example:
        >>> parse_kind("Micro-expression", {}), parse_kind("smile", {"smile": "macro"}), parse_kind("smile", {})
        ('micro', 'macro', None)
    """
    if text.strip() in chosen:
        return chosen[text.strip()]
    return _KINDS.get(re.sub(r"[^a-z]", "", text.casefold()))


def parse_number(path: Path, place: str, what: str, text: str) -> float:
    """Reads a number of at most 12 digits before the point.

    Raises:
        IntervalsError: Something else.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e12:  # NaN too; larger frames do not fit their integers
        reject(path, place, f"has the {what} {text[:40]!r}", "a number such as 12.5")
    return number


def reject(path: Path, place: str, got: str, expected: str) -> NoReturn:
    """Raises an `IntervalsError` about a place in a file."""
    raise IntervalsError(f"{path}, {printable(place)}: {printable(got)}; expected {expected}")


def align_names(first: Sequence[str], second: Sequence[str]) -> Callable[[str], str] | None:
    """Finds out whether videos have to be compared by their names without folder and suffix.

    Args:
        first: Names in one file.
        second: Names in the other.

    Returns:
        None where names are compared as they are; otherwise a function that shortens a name: more names are then in
        both files, and no two of one file become the same.
    """
    shorter = [{strip_name(name) for name in names} for names in (first, second)]
    distinct = all(len(short) == len({*names}) for short, names in zip(shorter, (first, second), strict=True))
    if distinct and len(shorter[0] & shorter[1]) > len({*first} & {*second}):
        return strip_name
    return None


def strip_name(name: str) -> str:
    """Returns a video's name without folder and suffix.

    Example:
        >>> strip_name("s01/interview.mp4"), strip_name("16_0101disgustingteeth")
        ('interview', '16_0101disgustingteeth')
    """
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r"(?<=.)\.\w{1,5}$", "", last)
