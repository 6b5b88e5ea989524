"""Names what is wrong with the frames of a clip, in one line each, with the frames concerned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mer_jax.vision.camera import CameraFrames
from mer_jax.vision.cut_short import find_cut
from mer_jax.vision.examination import RARE_FACE, Examination
from mer_jax.vision.figures import FrameFigures
from mer_jax.vision.frame_runs import count_frames, frame_runs
from mer_jax.vision.frames import FolderFrames, FrameSource
from mer_jax.vision.landmarks import MAX_FACES
from mer_jax.vision.second_look import smallest_face_px
from mer_jax.vision.tracks import Track
from mer_jax.vision.verdict import BLURRED_RATIO, Finding, Level, Reason, describe_turn
from mer_jax.vision.video import VideoFrames, deinterlacing_command

_BLACK_LEVEL, _FLAT_LEVEL = 8.0, 4.0  # mean and standard deviation of the gray levels of a frame without content
_DARK_LEVEL = 25.0  # mean gray level of a frame that shows little
# Gray levels, in the whole frame and around the face. A repeated frame has .03 and .05 after MPEG compression, another
# one .2 and .24 or more; but a small face hardly changes a large frame.
_REPEATED_CHANGE, _REPEATED_FACE_CHANGE = 0.05, 0.1
_CUT_CHANGE, _CUT_TIMES = 12.0, 8.0  # gray levels, and times the median change; talking faces change by .5 to 2
_FLICKER = 0.05  # relative change of brightness from frame to frame; .001 in steady light
_CLIPPED_FRACTION = 0.1
_DRAWN_FLATNESS = 0.4  # real faces have at most .03, even after MPEG-1
_SMALL_FACE_PX = 70.0
_TURNED_AWAY_DEGREES = 25.0
_TILTED_DEGREES = 20.0
_LOW_RATE = 50.0  # frames/s: ten frames in a micro-expression of .2 s
_UNEVEN = 0.25  # of the median interval


class _Findings(list[Finding]):
    """Findings of one clip."""

    def __init__(self, examined: Sequence[int]) -> None:
        super().__init__()
        self._examined = examined

    def report(self, level: Level, reason: Reason, message: str, frames: Sequence[int] = ()) -> None:
        """Adds a finding; `frames` are numbers of examined frames."""
        self.append(Finding(level, reason, message, tuple(frame_runs(frames, self._examined))))


def find_faults(
    *,
    frames: FrameSource,
    figures: FrameFigures,
    seen: Examination,
    tracks: Sequence[Track],
    track: Track | None,
    turn: int,
    rate: float | None,
    choice: str,
) -> list[Finding]:
    """Judges what was measured on the frames.

    Args:
        frames: The clip.
        figures: Measurements of each readable frame.
        seen: The examination they come from.
        tracks: All faces.
        track: The chosen face; None if there is none.
        turn: Result of `find_turn`.
        rate: Frames per second by the timestamps, if there are any.
        choice: `VisionOptions.face`.
    """
    found = _Findings(sorted([*seen.detections, *seen.unreadable]))
    _judge_source(found, frames, seen)
    dark = _judge_content(found, frames, figures)
    _judge_changes(found, figures)
    if turn:  # the landmarks mean nothing
        found.report("error", Reason.TURNED, describe_turn(turn))
    elif track is None:
        _judge_missing_face(found, figures, seen, tracks, choice)
    else:
        _judge_track(found, figures, tracks, track, choice)
        _judge_face(found, figures, dark)
    if seen.second_look_s is not None:
        message = f"the face is small in the frame: found by a second look at parts of it, {seen.second_look_s:.1f} s"
        found.report("note", Reason.SECOND_LOOK, message)
    if len(frames) == 1:
        found.report("error", Reason.LENGTH, "one single frame: motion needs two", list(seen.detections))
    elif len(frames) < 6:
        found.report("warning", Reason.LENGTH, f"only {count_frames(len(frames))}")
    _judge_rate(found, figures, rate)
    return found


def _judge_source(found: _Findings, frames: FrameSource, seen: Examination) -> None:
    for correction in frames.corrections:
        found.report("note", Reason.CORRECTED, correction)
    if seen.unreadable:
        first, reason = next(iter(seen.unreadable.items()))
        message = f"{count_frames(len(seen.unreadable))} cannot be decoded; frame {first}: {reason}"
        found.report("warning" if seen.detections else "error", Reason.UNREADABLE, message, list(seen.unreadable))
    if isinstance(frames, CameraFrames):
        lasts, asked = frames.timestamps_s[-1], frames.stated_duration_s
        if lasts < asked:
            found.report("warning", Reason.CUT_SHORT, f"the camera stopped after {lasts:.1f} of {asked:.1f} s")
    elif (cut := find_cut(frames)) is not None:
        found.report("warning", Reason.CUT_SHORT, str(cut))
    if seen.is_combed:
        cure = "deinterlace it before it is split into frames"
        if isinstance(frames, VideoFrames):
            cure = f"convert it with `{deinterlacing_command(Path(frames.name))}`"
        found.report("warning", Reason.INTERLACED, f"interlaced: every other row shows another moment; {cure}")
    if len(seen.sizes) > 1:
        named = ", ".join(f"{width}x{height} from frame {index}" for (width, height), index in seen.sizes.items())
        found.report("warning", Reason.FRAME_SIZE, f"frames differ in size: {named}")


def _judge_content(found: _Findings, frames: FrameSource, figures: FrameFigures) -> np.ndarray:
    """Judges whole frames; returns which of them are dark."""
    black, flat = _without_content(figures)
    dark = ~black & ~flat & (figures.brightness < _DARK_LEVEL)
    index = figures.index
    if black.any():
        found.report("warning", Reason.EMPTY, f"black: {count_frames(int(black.sum()))}", index[black].tolist())
    if flat.any():
        message = f"of one single shade: {count_frames(int(flat.sum()))}"
        found.report("warning", Reason.EMPTY, message, index[flat].tolist())
    if dark.any():
        why = "; 12-bit pictures in 16-bit files look like this" if isinstance(frames, FolderFrames) else ""
        message = f"dark: gray level {np.median(figures.brightness[dark]):.0f} of 255{why}"
        found.report("warning", Reason.DARK, message, index[dark].tolist())
    repeated = (figures.change < _REPEATED_CHANGE) & ~(figures.face_change >= _REPEATED_FACE_CHANGE)
    repeated &= (figures.brightness >= _DARK_LEVEL) & ~flat
    if repeated.any():
        message = f"the same as the frame before: {count_frames(int(repeated.sum()))}"
        found.report("warning", Reason.REPEATED, message, index[repeated].tolist())
    return dark


def _without_content(figures: FrameFigures) -> tuple[np.ndarray, np.ndarray]:
    """Returns which frames are black, and which of another single shade."""
    no_face = figures.num_faces == 0
    black = (figures.brightness < _BLACK_LEVEL) & no_face
    return black, ~black & (figures.contrast < _FLAT_LEVEL) & no_face


def _judge_changes(found: _Findings, figures: FrameFigures) -> None:
    change = figures.change[np.isfinite(figures.change)]
    if len(change) < 3:
        return
    cut = (figures.change > _CUT_CHANGE) & (figures.change > _CUT_TIMES * np.median(change))
    if cut.any():
        found.report("warning", Reason.CUT, "the whole picture changes: a cut", figures.index[cut].tolist())
    steps = np.abs(np.diff(figures.brightness)) / np.maximum(figures.brightness[1:], 1.0)
    if np.median(steps) > _FLICKER:
        message = f"the light flickers by {np.median(steps):.0%} from frame to frame"
        found.report("warning", Reason.FLICKER, message)


def _judge_missing_face(
    found: _Findings, figures: FrameFigures, seen: Examination, tracks: Sequence[Track], choice: str
) -> None:
    examined = figures.index.tolist()
    if not examined:
        return
    if tracks:
        message = f"no face number {choice}: never more than {figures.num_faces.max()} at once"
        found.report("error", Reason.NO_FACE, message, examined)
    elif np.logical_or(*_without_content(figures)).all():
        found.report("error", Reason.NO_FACE, "no face: the frames are black or of one single shade", examined)
    else:
        width, height = next(iter(seen.sizes))
        message = (
            "no face in any frame: perhaps a profile, a covered face, or one narrower than "
            f"{smallest_face_px(width, height)} pixels"
        )
        found.report("error", Reason.NO_FACE, message, examined)


def _judge_track(found: _Findings, figures: FrameFigures, tracks: Sequence[Track], track: Track, choice: str) -> None:
    examined = figures.index.tolist()
    if len(examined) > 1 and len(track.faces) == 1:
        message = f"a face is detected in 1 frame of {len(examined)}"
        found.report("error", Reason.FACE_LOST, message, list(track.faces))
    elif len(track.faces) < RARE_FACE * len(examined):
        message = f"a face is detected in {len(track.faces)} of {count_frames(len(examined))}"
        found.report("warning", Reason.FACE_LOST, message, list(track.faces))
    if before := [index for index in examined if index < track.first_frame]:
        message = f"the face is first detected in frame {track.first_frame}"
        found.report("warning", Reason.FACE_LOST, message, before)
    if after := [index for index in examined if index > track.last_frame]:
        message = f"the face is last detected in frame {track.last_frame}"
        found.report("warning", Reason.FACE_LOST, message, after)
    for first, last in track.absences(examined):
        gap = [index for index in examined if first <= index <= last]
        found.report("warning", Reason.FACE_LOST, "the face disappears and comes back", gap)
    others = [other for other in tracks if other is not track]
    several = figures.num_faces > 1
    if several.any():
        taken = "the chosen one" if choice.isdecimal() else "the largest"
        most = int(figures.num_faces.max())
        counted = f"{most} or more" if most == MAX_FACES else str(most)
        message = f"{counted} faces at once; {taken} is measured, {track.median_width_px:.0f} px wide"
        found.report("warning", Reason.SEVERAL_FACES, message, figures.index[several].tolist())
    elif others:
        at = ", ".join(f"frame {other.first_frame}" for other in others[:5])
        people = "another person appears" if len(others) == 1 else f"{len(others)} more people appear in turn"
        found.report("warning", Reason.OTHER_PERSON, f"the face jumps, or {people}: new at {at}")


def _judge_face(found: _Findings, figures: FrameFigures, dark: np.ndarray) -> None:
    turned_away = np.maximum(np.abs(figures.yaw), np.abs(figures.pitch))
    tests: Mapping[Reason, tuple[np.ndarray, str, np.ndarray]] = {
        Reason.TOO_SMALL: (
            figures.width_px < _SMALL_FACE_PX,
            "a face {:.0f} px wide: micro-expressions move less than half a pixel",
            figures.width_px,
        ),
        Reason.TURNED_AWAY: (
            turned_away > _TURNED_AWAY_DEGREES, "turned away by {:.0f} degrees: half of the face is hidden",
            turned_away,
        ),
        Reason.TILTED: (
            np.abs(figures.roll) > _TILTED_DEGREES,
            "tilted by {:.0f} degrees: halves cut across the face, unless crop is `similarity`",
            np.abs(figures.roll),
        ),
        Reason.BLURRED: (
            ~dark & (figures.relative_sharpness < BLURRED_RATIO), "blurred: sharpness {:.0f}", figures.sharpness,
        ),
        Reason.EXPOSURE: (
            figures.clipped > _CLIPPED_FRACTION, "badly exposed: {:.0%} of the face is black or white", figures.clipped,
        ),
        Reason.DRAWN: (
            figures.flatness > _DRAWN_FLATNESS,
            "{:.0%} of the face has no texture: a drawing, or heavy compression",
            figures.flatness,
        ),
    }  # fmt: skip
    for reason, (concerned, message, values) in tests.items():
        if concerned.any():
            text = message.format(float(np.median(values[concerned])))
            found.report("warning", reason, text, figures.index[concerned].tolist())


def _judge_rate(found: _Findings, figures: FrameFigures, rate: float | None) -> None:
    if rate is not None and rate < _LOW_RATE:
        message = f"{rate:.3g} frames/s: {rate / 5:.2g} of them in a micro-expression of .2 s"
        found.report("note", Reason.FRAME_RATE, message)
    if figures.time_s is not None and len(figures.time_s) > 2:
        intervals = np.diff(figures.time_s)
        middle = float(np.median(intervals))
        if middle > 0 and np.abs(intervals - middle).max() > _UNEVEN * middle:
            message = f"uneven frame rate: intervals from {intervals.min():.3f} to {intervals.max():.3f} s"
            found.report("note", Reason.FRAME_RATE, message)
