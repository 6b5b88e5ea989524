"""Cuts one clip: the frames from onset to offset, repaired where that is safe, or the reason why there are none."""

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.records import ClipRecord, Reason, Unusable
from datasets.report import Findings

MAX_CLIP_FRAMES = 20_000  # 100 s at 200 frames per second; a longer expression is a mistake in the annotation
_MIN_COVERAGE = 0.5  # of onset to offset that must be there

Key = tuple[int, str]  # number of the subject, name of the clip in lower case


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One row of an annotation, interpreted.

    Attributes:
        clip_id: Unique within the corpus.
        subject: Spelled as in the corpus.
        key: Under which its folder is looked up.
        labels: By field, see `datasets.records.LABELS`; lower case.
        place: File, sheet and row, for messages.
        onset: Number of the first frame, as in the names of files; None if the row lacks it.
        apex: Likewise.
        offset: Number of the last frame.
    """

    clip_id: str
    subject: str
    key: Key
    labels: Mapping[str, str]
    place: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None


@dataclasses.dataclass(frozen=True)
class Cutter:
    """Cuts the clips of one tree.

    Attributes:
        findings: Takes what is repaired.
        is_cut: Whether folders hold onset to offset only, and not whole recordings.
        has_ranges: Whether onset and offset are annotated; otherwise a folder is a clip.
        has_apex: Whether the apex is annotated.
        clamp_apex: Whether an apex out of range goes to the nearer end instead of the middle.
    """

    findings: Findings
    is_cut: bool
    has_ranges: bool
    has_apex: bool
    clamp_apex: bool

    def cut(
        self, row: Annotation, record: ClipRecord, folder: Path, frames: list[Path], numbers: list[int]
    ) -> ClipRecord | Unusable:
        """Returns the record with its frames, or the reason why there are none.

        Args:
            row: Annotation of the clip.
            record: The clip without frames.
            folder: Where its frames are, for messages.
            frames: All frames of the folder in order.
            numbers: Their numbers.
        """
        if not frames:
            return Unusable(Reason.NO_FRAMES, f"no frames in {folder}", record)
        if len(frames) == 1:
            return Unusable(
                Reason.FEW_FRAMES, f"{folder} has one frame, {frames[0].name}; expected two or more", record
            )
        apex = None
        if self.has_ranges:
            found = self._range(row, numbers, record)
            if isinstance(found, Unusable):
                return found
            onset, apex, offset = found
            first, last = bisect.bisect_left(numbers, onset), bisect.bisect_right(numbers, offset)
            length, there = offset - onset + 1, last - first
            if not there and self.is_cut and len(frames) == length:
                self.findings.add(
                    "repairs",
                    f"{row.clip_id} ({row.place}): files are numbered {numbers[0]} to {numbers[-1]} instead of {onset} "
                    f"to {offset}; they are used in their order",
                )
                numbers, first, last, there = list(range(onset, offset + 1)), 0, length, length
            if there < max(1, _MIN_COVERAGE * length):
                detail = f"{row.place} says frames {onset} to {offset}; {folder} has {there} of these {length}"
                return Unusable(Reason.FEW_FRAMES, f"{detail} (it holds {numbers[0]} to {numbers[-1]})", record)
            frames, numbers = frames[first:last], numbers[first:last]
        else:
            onset, offset = numbers[0], numbers[-1]
        lacking = offset - onset + 1 - len(numbers)
        has_jump = not self.has_ranges and lacking >= len(numbers)
        filled = numbers if has_jump else fill_gaps(numbers)
        if lacking:
            what = "its counter jumps, so it is left as it is" if has_jump else "the previous frame is used"
            named = _name_ranges(onset, offset, numbers)
            self.findings.add(
                "frames_missing",
                f"{row.clip_id} lacks {lacking} of its frames {onset} to {offset} in {folder} ({named}); {what}",
            )
        onset, offset, by_number = numbers[0], numbers[-1], dict(zip(numbers, frames, strict=True))
        return dataclasses.replace(
            record,
            frames=tuple(by_number[number] for number in filled),
            frame_numbers=tuple(filled),
            apex=None if apex is None else min(max(apex, onset), offset) - onset,
            offset=len(filled) - 1,
        )

    def _range(
        self, row: Annotation, numbers: Sequence[int], record: ClipRecord
    ) -> tuple[int, int | None, int] | Unusable:
        """Returns onset, apex and offset as frame numbers, repaired where that is safe, or the reason why it is not."""
        onset, apex, offset = row.onset, row.apex, row.offset
        who = f"{row.clip_id} ({row.place})"
        if onset is None:
            if not self.is_cut:
                return Unusable(Reason.NO_RANGE, f"{row.place} has no onset", record)
            onset = numbers[0]
            self.findings.add("repairs", f"{who}: no onset; the first file, frame {onset}, is used")
        if offset is None:
            offset, instead = (numbers[-1], "the last file") if self.is_cut else (apex, "the apex")
            if offset is None:
                return Unusable(Reason.NO_RANGE, f"{row.place} has no offset and no apex", record)
            self.findings.add("repairs", f"{who}: no offset; {instead}, frame {offset}, is used")
        if not 0 <= offset - onset < MAX_CLIP_FRAMES:
            what = "the wrong way round" if offset < onset else "which is longer than any expression"
            return Unusable(Reason.WRONG_RANGE, f"{row.place} says frames {onset} to {offset}, {what}", record)
        if not self.has_apex:
            return onset, None, offset
        middle = (onset + offset) // 2
        if apex is None:
            self.findings.add("repairs", f"{who}: no apex; the frame in the middle, {middle}, is used")
            return onset, middle, offset
        if onset <= apex <= offset:
            return onset, apex, offset
        told = f"{who}: apex {apex} is not within onset {onset} to offset {offset}; "
        if self.is_cut and apex > offset and numbers[-1] == apex:
            self.findings.add("apex_out_of_range", f"{told}the folder ends with it, so the two were swapped")
            return onset, offset, apex
        instead = min(max(apex, onset), offset) if self.clamp_apex else middle
        self.findings.add("apex_out_of_range", f"{told}frame {instead} is used")
        return onset, instead, offset


def fill_gaps(numbers: Sequence[int]) -> list[int]:
    """Returns the frame to use for every count from the first to the last: the frame itself, or the previous one.

    Args:
        numbers: Counters of the frames that are there, ascending, at least one.

    Example:
        >>> fill_gaps([7, 8, 10])
        [7, 8, 8, 10]
    """
    there, filled = set(numbers), []
    for number in range(numbers[0], numbers[-1] + 1):
        filled.append(number if number in there else filled[-1])
    return filled


def _name_ranges(first: int, last: int, there: Sequence[int], limit: int = 5) -> str:
    """Names the numbers from first to last that are not there, such as `7, 12-15`."""
    gaps = [(before + 1, after - 1) for before, after in itertools.pairwise([first - 1, *there, last + 1])]
    named = [str(start) if start == end else f"{start}-{end}" for start, end in gaps if start <= end]
    return ", ".join(named[:limit]) + (f" and {len(named) - limit} more gaps" if len(named) > limit else "")
