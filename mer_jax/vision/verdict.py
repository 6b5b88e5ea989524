"""The verdict on a clip: `ok`, `warn` or `fail`, with the reasons as values.

`judge_preparation` judges the result of `prepare_clip`, so that every command that prepares clips keeps the same ones.
`mer inspect` adds findings about every frame and joins both into one verdict.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from mer_jax.vision.frame_runs import name_frames
from mer_jax.vision.landmarks import roll_degrees
from mer_jax.vision.prepare import PreparedClip

Level = Literal["error", "warning", "note"]
_LEVELS = ("note", "warning", "error")

# Fractions of the prepared frames.
_MOST_UNALIGNED = 0.2
# Fraction of the pixels of one picture that may differ by one gray level, by rounding; camera noise changes most.
_ROUNDED_SHARE = 1e-3
# Distance between the eyes, pixels of the original frame: half of the width of the face.
_SMALL_EYES_PX, _TOO_SMALL_EYES_PX = 35.0, 16.0
_TILTED_DEGREES, _TURNED_DEGREES = 20.0, 45.0
_RESIDUAL_PX = 0.5
_CLIPPED_FRACTION = 0.1
# Variance of the Laplacian over the variance of the gray levels, which a darker exposure does not change. Sharp real
# faces have .07 to .13 (at half the size .03), blurred by a sigma of 2 pixels .008 to .014.
BLURRED_RATIO = 0.018


class Reason(enum.Enum):
    """Why a clip is doubtful or unusable."""

    UNREADABLE = "frames cannot be decoded"
    CUT_SHORT = "the file is cut short"
    INTERLACED = "interlaced video"
    LENGTH = "too few frames"
    STILL = "all frames are the same picture"
    REPEATED = "repeated frames"
    FRAME_SIZE = "frames differ in size"
    FRAME_RATE = "frame rate"
    CORRECTED = "corrected"
    SECOND_LOOK = "found by a second look"
    EMPTY = "frames without content"
    DARK = "dark"
    EXPOSURE = "badly exposed"
    BLURRED = "blurred"
    DRAWN = "no texture"
    FLICKER = "flickering light"
    CUT = "a cut"
    NO_FACE = "no face"
    SEVERAL_FACES = "several faces"
    OTHER_PERSON = "another face"
    FACE_LOST = "the face is lost"
    NOT_ALIGNED = "cannot be aligned"
    HEAD_MOTION = "head motion remains"
    TURNED = "on its side or upside down"
    TILTED = "tilted"
    TURNED_AWAY = "turned away"
    TOO_SMALL = "the face is small"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a clip, or worth knowing.

    Attributes:
        level: `error`: the clip cannot be used; `warning`: look at it; `note`: nothing to do.
        reason: What it is about.
        message: One line.
        frames: (first, last) of each run of frames concerned, 0-based; empty if it concerns the whole clip.
    """

    level: Level
    reason: Reason
    message: str
    frames: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return self.message + (f" [{name_frames(self.frames)}]" if self.frames else "")


class Verdict(enum.Enum):
    """What to do with a clip."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


def judge(findings: Iterable[Finding]) -> Verdict:
    """Returns the verdict on a clip with these findings: `fail` with an error, `warn` with a warning, else `ok`."""
    levels = {finding.level for finding in findings}
    if "error" in levels:
        return Verdict.FAIL
    return Verdict.WARN if "warning" in levels else Verdict.OK


def merge_findings(findings: Iterable[Finding], more: Iterable[Finding]) -> list[Finding]:
    """Joins two lists of findings, errors first.

    One of the second list is dropped if the first has one with the same reason at the same or a higher level.
    """
    first = list(findings)
    levels = {reason: max(_rank(f) for f in first if f.reason is reason) for reason in {f.reason for f in first}}
    added = [extra for extra in more if _rank(extra) > levels.get(extra.reason, -1)]
    return sorted(first + added, key=_rank, reverse=True)


def judge_preparation(prepared: PreparedClip) -> list[Finding]:
    """Judges a prepared clip; `judge` turns the findings into a verdict.

    Args:
        prepared: Result of `prepare_clip`, or the same from a cache; measurements that an older cache lacks are not
            judged.
    """
    quality = prepared.quality
    total = len(prepared.faces)
    found: list[Finding] = []

    def add(level: Level, reason: Reason, message: str) -> None:
        found.append(Finding(level, reason, message))

    if _is_still(prepared.faces):
        add("error", Reason.STILL, "all prepared frames are the same picture")
    found += _judge_alignment(quality, total)
    if quality["num_faces"] > 1:
        add("warning", Reason.SEVERAL_FACES, f"{quality['num_faces']:.0f} faces in frame {_detected(quality)}")
    if quality["detected_frame"] > 0:
        add("warning", Reason.FACE_LOST, f"no face before frame {_detected(quality)}")
    eyes = quality["interocular_px"]
    if eyes < _SMALL_EYES_PX:
        level = "error" if eyes < _TOO_SMALL_EYES_PX else "warning"
        add(level, Reason.TOO_SMALL, f"the eyes are {eyes:.0f} px apart; micro-expressions need {_SMALL_EYES_PX:.0f}")
    roll = roll_degrees(prepared.landmarks)
    if abs(roll) > _TURNED_DEGREES:
        add("error", Reason.TURNED, describe_turn(round(-roll / 90) * 90 % 360))
    elif abs(roll) > _TILTED_DEGREES:
        add("warning", Reason.TILTED, f"tilted by {roll:.0f} degrees")
    if quality["residual_shift_px"] > _RESIDUAL_PX:
        shift = quality["residual_shift_px"]
        add("warning", Reason.HEAD_MOTION, f"head motion remains after registration: {shift:.2f} px of 128")
    if quality["clipped_fraction"] > _CLIPPED_FRACTION:
        add("warning", Reason.EXPOSURE, f"{quality['clipped_fraction']:.0%} of the face is black or white")
    contrast = quality.get("contrast")
    if contrast and quality["blur"] / contrast**2 < BLURRED_RATIO:
        add("warning", Reason.BLURRED, f"blurred: sharpness {quality['blur']:.0f}")
    return found


def describe_turn(degrees: int) -> str:
    """Says how to turn a clip, and by which option."""
    position = "upside down" if degrees == 180 else "on its side"
    other_way = ", that is 90 counterclockwise" if degrees == 270 else ""
    return f"the picture is {position}: turn by {degrees} degrees clockwise{other_way} (option turn, --turn {degrees})"


def _is_still(faces: UInt8[np.ndarray, "t h w"]) -> bool:
    """Whether all frames are identical, apart from rounding differences of the registration."""
    away = np.abs(faces.astype(np.int16) - faces[0])
    return bool(away.max() <= 1 and (away > 0).mean() < _ROUNDED_SHARE)


def _judge_alignment(quality: Mapping[str, float], total: int) -> list[Finding]:
    """Judges the frames that were prepared without the face where it should be."""
    lost, other = int(quality.get("lost_faces", 0)), int(quality.get("other_faces", 0))
    failed, missed = int(quality["registration_failures"]), int(quality["missed_detections"])
    level: Level = "error" if max(failed, missed) > _MOST_UNALIGNED * total else "warning"
    found = []
    for reason, number, what in (
        (Reason.FACE_LOST, max(lost, missed), "no face in {}"),
        (Reason.OTHER_PERSON, other, "the face is elsewhere, or another person's, in {}"),
        (
            Reason.NOT_ALIGNED,
            failed - lost - other,
            "a cut, a turn or another person: no alignment to the onset in {}",
        ),
    ):
        if number > 0:
            found.append(Finding(level, reason, what.format(f"{number} of {total} prepared frames")))
    return found


def _detected(quality: Mapping[str, float]) -> int:
    return int(quality["detected_frame"])


def _rank(finding: Finding) -> int:
    return _LEVELS.index(finding.level)
