"""What is wrong with a clip, in one line each, with the frames concerned."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from mer_jax.vision.camera import CameraFrames
from mer_jax.vision.figures import FrameFigures
from mer_jax.vision.frame_runs import count_frames, frame_runs, name_frames
from mer_jax.vision.frames import FolderFrames, Frame, FrameSource
from mer_jax.vision.landmarks import MAX_FACES, FaceLandmarker, eye_centres
from mer_jax.vision.libraries import cv2
from mer_jax.vision.tracks import Track

_BLACK_LEVEL, _FLAT_LEVEL = 8.0, 4.0  # mean and spread of the gray levels of a frame that shows nothing
_DARK_LEVEL = 25.0  # mean gray level of a frame that shows little
_REPEATED_CHANGE = 0.05  # gray levels; of real frames .2 and more, even after MPEG-1
_CUT_CHANGE, _CUT_TIMES = 12.0, 8.0  # gray levels, and times the median change; talking faces change by .5 to 2
_FLICKER = 0.05  # of the brightness, from frame to frame; steady light .001
_BLURRED_SHARPNESS = 25.0  # real sharp faces have 90 and more, smoothed by 3 pixels 5
_CLIPPED_SHARE = 0.1
_DRAWN_FLATNESS = 0.4  # real faces have .03 at most, even after MPEG-1
_SMALL_FACE_PX = 70.0
_TURNED_DEGREES = 25.0
_TILTED_DEGREES = 20.0
RARE_FACE = 0.5  # share of the frames below which the others are turned round to look for it
_RESIDUAL_PX = 0.5
_LOW_RATE = 50.0  # frames a second: a micro-expression of .2 s has ten
_UNEVEN = 0.25  # of the median interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a clip, or worth knowing.

    Attributes:
        level: `error`: the clip cannot be used; `warning`: look at it; `note`: nothing to do.
        message: One line.
        frames: (first, last) of each run of frames that it concerns, 0-based; empty if it concerns all.
    """

    level: Literal["error", "warning", "note"]
    message: str
    frames: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return self.message + (f" [{name_frames(self.frames)}]" if self.frames else "")


def find_faults(
    *,
    frames: FrameSource,
    figures: FrameFigures,
    tracks: Sequence[Track],
    track: Track | None,
    unreadable: Mapping[int, str],
    sizes: Mapping[tuple[int, int], int],
    refusal: str | None,
    summary: Mapping[str, float],
    unaligned: int,
    turn: int | None,
    stated_frames: int,
    rate: float | None,
    choice: str,
) -> list[Finding]:
    """Judges what was measured; errors come first, then warnings, then notes.

    Args:
        frames: The clip.
        figures: Per frame that could be decoded.
        tracks: Every face that was told apart.
        track: The face that is meant, if there is one.
        unreadable: Frame number to the reason why it cannot be decoded.
        sizes: Width and height to the first frame of that size.
        refusal: Why the clip cannot be prepared, if it cannot.
        summary: Of the clip.
        unaligned: Frames, of those prepared, that registration could not align.
        turn: By how many degrees the frames have to be turned clockwise for a face to appear; None if by none.
        stated_frames: As the file says, 0 if it does not.
        rate: Frames per second by the timestamps, if there are any.
        choice: `VisionOptions.face`.
    """
    looked_at = figures.index.tolist()
    found: list[Finding] = []

    def add(level: Literal["error", "warning", "note"], message: str, chosen: Sequence[int] = ()) -> None:
        found.append(Finding(level, message, tuple(frame_runs(chosen, looked_at))))

    def where(mask: np.ndarray) -> list[int]:
        return figures.index[mask].tolist()

    if unreadable:
        first, reason = next(iter(unreadable.items()))
        level = "warning" if looked_at else "error"
        runs = frame_runs(list(unreadable), sorted([*unreadable, *looked_at]))
        found.append(
            Finding(level, f"{count_frames(len(unreadable))} cannot be decoded; frame {first}: {reason}", tuple(runs))
        )
    if stated_frames > 1.02 * len(frames) + 1:
        add("warning", f"cut short: the file says that it has {stated_frames} frames, {len(frames)} can be decoded")
    if isinstance(frames, CameraFrames) and frames.timestamps_s[-1] < frames.asked_s:
        add("warning", f"the camera stopped after {frames.timestamps_s[-1]:.1f} of {frames.asked_s:.1f} s")
    shows_nobody = figures.num_faces == 0
    black = (figures.brightness < _BLACK_LEVEL) & shows_nobody
    empty = ~black & (figures.contrast < _FLAT_LEVEL) & shows_nobody
    dark = ~black & ~empty & (figures.brightness < _DARK_LEVEL)
    if black.any():
        add("warning", f"black: {count_frames(int(black.sum()))}", where(black))
    if empty.any():
        add("warning", f"of one single shade: {count_frames(int(empty.sum()))}", where(empty))
    if dark.any():
        level = float(np.median(figures.brightness[dark]))
        why = "; 12-bit pictures in 16-bit files look so" if isinstance(frames, FolderFrames) else ""
        add("warning", f"dark: gray level {level:.0f} of 255{why}", where(dark))
    repeated = (figures.change < _REPEATED_CHANGE) & (figures.brightness >= _DARK_LEVEL) & ~empty
    if repeated.any():
        add("warning", f"the same as the one before: {count_frames(int(repeated.sum()))}", where(repeated))
    found += _judge_changes(figures, looked_at)
    if len(sizes) > 1:
        named = ", ".join(f"{width}x{height} from frame {index}" for (width, height), index in sizes.items())
        add("warning", f"frames differ in size: {named}")

    if track is None and looked_at:
        add("error", _no_face(tracks, figures, black | empty, choice) + _name_turn(turn), looked_at)
    elif track is not None:
        found += _judge_face(figures, tracks, track, looked_at, summary, choice, dark)
        if len(looked_at) > 1 and (turn is not None or len(track.faces) == 1):
            seen = f"a face is seen in {count_frames(len(track.faces))} of {len(looked_at)}"
            add("error" if len(track.faces) == 1 else "warning", seen + _name_turn(turn), list(track.faces))
    if unaligned:
        add("warning", f"{count_frames(unaligned)} of those prepared cannot be aligned with the first")
    if refusal:
        add("error", refusal)
    if len(frames) == 1:
        add("error", "one single frame: a movement needs two", [0] if looked_at else [])
    elif len(frames) < 6:
        add("warning", f"only {count_frames(len(frames))}")
    found += _judge_rate(figures, rate)
    order = ("error", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.level))


def _no_face(tracks: Sequence[Track], figures: FrameFigures, without_content: np.ndarray, choice: str) -> str:
    if tracks:
        return f"no face number {choice}: never more than {figures.num_faces.max()} at once"
    if without_content.all():
        return "no face: the frames are black or of one single shade"
    return "no face in any frame: perhaps a profile, a covered face, or one too small for the detector"


def find_turn(pictures: Iterable[Frame], landmarker: FaceLandmarker) -> int | None:
    """Looks for a face in frames that lie on their side or on their head.

    Args:
        pictures: A few frames.
        landmarker: What finds it.

    Returns:
        By how many degrees they have to be turned clockwise; None if that does not help.
    """
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    for picture in pictures:
        for degrees, code in turns.items():
            face = landmarker.detect(cv2.rotate(picture, code))
            if face is None:
                continue
            # The detector also finds faces that lie on their side; only an upright one counts.
            across, down = np.subtract(*reversed(eye_centres(face.ibug))).tolist()
            if abs(math.degrees(math.atan2(down, across))) < _TILTED_DEGREES:
                return degrees
    return None


def _name_turn(turn: int | None) -> str:
    return "" if turn is None else f"; turned clockwise by {turn} degrees, the frames show one"


def _judge_changes(figures: FrameFigures, looked_at: Sequence[int]) -> list[Finding]:
    found: list[Finding] = []
    change = figures.change[np.isfinite(figures.change)]
    if len(change) < 3:
        return found
    cut = (figures.change > _CUT_CHANGE) & (figures.change > _CUT_TIMES * np.median(change))
    if cut.any():
        found.append(
            Finding(
                "warning", "another picture at once: a cut", tuple(frame_runs(figures.index[cut].tolist(), looked_at))
            )
        )
    steps = np.abs(np.diff(figures.brightness)) / np.maximum(figures.brightness[1:], 1.0)
    if np.median(steps) > _FLICKER:
        found.append(Finding("warning", f"the light flickers by {np.median(steps):.0%} from frame to frame"))
    return found


def _judge_face(
    figures: FrameFigures,
    tracks: Sequence[Track],
    track: Track,
    looked_at: Sequence[int],
    summary: Mapping[str, float],
    choice: str,
    dark: np.ndarray,
) -> list[Finding]:
    found: list[Finding] = []

    def add(level: Literal["error", "warning", "note"], message: str, chosen: Sequence[int] = ()) -> None:
        found.append(Finding(level, message, tuple(frame_runs(chosen, looked_at))))

    before = [index for index in looked_at if index < track.first_frame]
    after = [index for index in looked_at if index > track.last_frame]
    if before:
        add("warning", f"the face is first seen in frame {track.first_frame}; what comes before is left out", before)
    if after:
        add("warning", f"the face is last seen in frame {track.last_frame}; what comes after is left out", after)
    for first, last in track.absences(looked_at):
        add("warning", "the face is gone and comes back", [i for i in looked_at if first <= i <= last])
    others = [other for other in tracks if other is not track]
    several = figures.num_faces > 1
    if several.any():
        taken = "the one chosen" if choice.isdecimal() else "the largest"
        most = int(figures.num_faces.max())
        counted = f"{most} or more" if most == MAX_FACES else str(most)
        message = f"{counted} faces at once; {taken} is measured, {track.median_width_px:.0f} px wide"
        add("warning", message, figures.index[several].tolist())
    elif others:
        at = ", ".join(f"frame {other.first_frame}" for other in others[:5])
        people = "another person comes" if len(others) == 1 else f"{len(others)} more people come in turn"
        add("warning", f"the face jumps, or {people}: new at {at}")

    tests = (
        (figures.width_px < _SMALL_FACE_PX, "a face {:.0f} px wide: micro-expressions move less than half a pixel",
         figures.width_px),
        (np.maximum(np.abs(figures.yaw), np.abs(figures.pitch)) > _TURNED_DEGREES,
         "turned away by {:.0f} degrees: half of the face is not seen",
         np.maximum(np.abs(figures.yaw), np.abs(figures.pitch))),
        (np.abs(figures.roll) > _TILTED_DEGREES,
         "tilted by {:.0f} degrees: halves cut across the face, unless crop is `similarity`", np.abs(figures.roll)),
        (~dark & (figures.sharpness < _BLURRED_SHARPNESS), "blurred: sharpness {:.0f}", figures.sharpness),
        (figures.clipped > _CLIPPED_SHARE, "badly exposed: {:.0%} of the face is black or white", figures.clipped),
        (figures.flatness > _DRAWN_FLATNESS, "{:.0%} of the face has no texture: a drawing, or heavy compression",
         figures.flatness),
    )  # fmt: skip
    for concerned, message, values in tests:
        if concerned.any():
            add("warning", message.format(float(np.median(values[concerned]))), figures.index[concerned].tolist())
    if summary["residual_shift_px"] > _RESIDUAL_PX:
        add("warning", f"head movement remains after registration: {summary['residual_shift_px']:.2f} px of 128")
    return found


def _judge_rate(figures: FrameFigures, rate: float | None) -> list[Finding]:
    found = []
    if rate is not None and rate < _LOW_RATE:
        found.append(
            Finding("note", f"{rate:.3g} frames a second: a micro-expression of .2 s has {rate / 5:.2g} of them")
        )
    if figures.time_s is not None and len(figures.time_s) > 2:
        intervals = np.diff(figures.time_s)
        middle = float(np.median(intervals))
        if middle > 0 and np.abs(intervals - middle).max() > _UNEVEN * middle:
            found.append(
                Finding("note", f"uneven frame rate: intervals from {intervals.min():.3f} to {intervals.max():.3f} s")
            )
    return found
