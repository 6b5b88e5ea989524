"""Inspects a clip before anything is trained on it: measures every frame and names what is wrong.

`inspect_clip` never fails because of the content of the frames; a problem becomes a `Finding` with its frames.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

from mer_jax.errors import DecodeError, NoFaceError, SeveralFacesError
from mer_jax.vision.apex import HALF_INTERVAL_S, movement_curve
from mer_jax.vision.crop import box_crop, transform_points, warp_gray
from mer_jax.vision.examination import examine_frames
from mer_jax.vision.figures import FrameFigures, PerFrame, collect_figures
from mer_jax.vision.findings import find_faults
from mer_jax.vision.frame_runs import frame_runs
from mer_jax.vision.frames import Frame, FrameSource, SelectedFrames
from mer_jax.vision.landmarks import EYE_CORNERS, NOSE, FaceLandmarker, Landmarks, interocular_distance
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import PreparedClip, prepare_clip
from mer_jax.vision.registration import register_frames
from mer_jax.vision.tracks import Track, choose_face, link_faces
from mer_jax.vision.turn import find_turn, turn_frames
from mer_jax.vision.verdict import Finding, Reason, Verdict, judge, judge_preparation, merge_findings

_BLINK_SCORE = 0.5  # mean of MediaPipe's two blink scores; open eyes stay below .2, closed eyes reach .7
_TURN_PICTURES = 3  # in which all four orientations are examined
_LONG_ABSENCE = 3  # examined frames
_STABLE = (*EYE_CORNERS, *range(NOSE.start, NOSE.stop))


@dataclasses.dataclass(frozen=True, eq=False)
class ClipQuality:
    """Result of `inspect_clip`.

    Attributes:
        name: Name of the clip.
        num_frames: Its length.
        frame_size: Width and height of the first frame, pixels; None if no frame can be decoded.
        frames_per_s: Mean rate by the timestamps; None without timestamps.
        figures: Measurements of each frame.
        detections: Frame number to the faces detected there, the widest first.
        track: The face that the figures describe; None if there is none.
        num_tracks: Number of faces over the clip.
        summary: One number per question, see `SUMMARY`; NaN if it cannot be measured.
        blinks: (first, last) frame of each.
        movement: The motion curve (`apex.movement_curve`) over the examined frames from the first to the last detection
            of the face; empty if it could not be measured.
        movement_index: Frame numbers of `movement`.
        findings: What is wrong or worth knowing, errors first.
        prepared: What a network would see of the clip, or of the longest stretch with the face in a video or an
            unusable clip; None if nothing can be prepared. Frame indices of a stretch count from its beginning.
        pictures: Frame number to RGB frame, evenly spaced.
    """

    name: str
    num_frames: int
    frame_size: tuple[int, int] | None
    frames_per_s: float | None
    figures: FrameFigures
    detections: dict[int, tuple[Landmarks, ...]]
    track: Track | None
    num_tracks: int
    summary: dict[str, float]
    blinks: list[tuple[int, int]]
    movement: PerFrame
    movement_index: Int[np.ndarray, "m"]
    findings: list[Finding]
    prepared: PreparedClip | None
    pictures: dict[int, Frame]

    @property
    def verdict(self) -> Verdict:
        """What to do with the clip."""
        return judge(self.findings)

    @property
    def usable(self) -> bool:
        """Whether no finding is an error."""
        return self.verdict is not Verdict.FAIL

    @property
    def apex_frame(self) -> int | None:
        """The frame of the largest motion, 0-based; None if it was not measured."""
        if not len(self.movement) or self.movement.max() <= 0:
            return None
        return int(self.movement_index[self.movement.argmax()])


# Meaning of each number of the summary.
SUMMARY = {
    "detection_rate": "fraction of frames in which the face is detected",
    "jitter_percent": "landmark jitter at eye corners and nose, % of the distance between the eyes",
    "interocular_px": "distance between the eyes, pixels, median",
    "residual_shift_px": "estimated head shift that remains after registration, pixels of the 128x128 face, mean",
    "registration_shift_px": "shift removed by registration, the same pixels, mean",
    "sharpness": "variance of the Laplacian of the 128x128 face, median",
    "clipped": "fraction of the face's pixels that are black or white, mean",
    "blinks": "number of blinks",
    "max_turn_degrees": "largest yaw or pitch of the head, degrees",
}


def inspect_clip(
    frames: FrameSource,
    landmarker: FaceLandmarker,
    options: VisionOptions | None = None,
    *,
    kind: Literal["clip", "video"] = "clip",
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> ClipQuality:
    """Inspects every frame of a clip, or 600 evenly spaced ones.

    Args:
        frames: The clip.
        landmarker: With blendshapes and pose; without them blinks and rotations of the head stay unknown.
        options: How it would be prepared for a network; `face` chooses among several faces.
        kind: `clip` runs from onset to offset and has to be usable as a whole; in a `video` the expression may be
            anywhere.
        on_frame: Called after each frame with the number of frames done and to do.
    """
    options = options or VisionOptions()
    options.validate()
    frames = turn_frames(frames, options.turn, landmarker)
    options = dataclasses.replace(options, turn="none")
    seen = examine_frames(frames, landmarker, on_frame)
    tracks = link_faces(seen.detections)
    track = _choose_track(tracks, seen.detections, options.face)
    figures = collect_figures(seen.whole, seen.detections, seen.measured, track, frames.timestamps_s)
    readable = figures.index.tolist()
    rate = _frame_rate(frames.timestamps_s)
    blinks = frame_runs(figures.index[figures.eye_closure > _BLINK_SCORE].tolist(), readable)

    prepared, judged = None, []
    movement, movement_index = np.zeros(0), np.zeros(0, int)
    if track is not None:
        inside = [index for index in readable if track.first_frame <= index <= track.last_frame]
        prepared, judged = _prepare(frames, kind, _longest_stretch(track, inside), options, landmarker)
        half = None if kind == "clip" else max(1, round(HALF_INTERVAL_S * (rate or 25.0) / seen.step))
        movement_index = np.array([index for index in inside if index in track.faces])
        movement = _measure_movement(frames, movement_index.tolist(), track, half)

    summary = _summarise(figures, track, prepared, blinks, seen.step)
    turn = find_turn(_few(seen.pictures), landmarker)
    findings = find_faults(
        frames=frames, figures=figures, tracks=tracks, track=track, seen=seen, rate=rate, choice=options.face, turn=turn
    )
    return ClipQuality(
        name=frames.name,
        num_frames=len(frames),
        frame_size=next(iter(seen.sizes), None),
        frames_per_s=rate,
        figures=figures,
        detections=seen.detections,
        track=track,
        num_tracks=len(tracks),
        summary=summary,
        blinks=blinks,
        movement=movement,
        movement_index=movement_index,
        findings=merge_findings(findings, [] if turn else judged),
        prepared=prepared,
        pictures=seen.pictures,
    )


def summarise_corpus(clips: Sequence[ClipQuality]) -> dict[str, dict[str, float]]:
    """Returns median, minimum and maximum over the clips of each number of the summary.

    Args:
        clips: The inspected clips; those without a measurement do not count for it.
    """
    overview = {}
    for name in SUMMARY:
        values = np.array([clip.summary[name] for clip in clips], np.float64)
        values = values[np.isfinite(values)]
        if len(values):
            overview[name] = {
                "median": float(np.median(values)), "min": float(values.min()), "max": float(values.max()),
                "clips": len(values),
            }  # fmt: skip
    return overview


def _prepare(
    frames: FrameSource, kind: str, stretch: list[int], options: VisionOptions, landmarker: FaceLandmarker
) -> tuple[PreparedClip | None, list[Finding]]:
    """Prepares the whole of a clip, or the stretch of a video with the face; a stretch is shown if the whole fails."""
    refusals: list[Finding] = []
    if kind == "clip":
        try:
            prepared = prepare_clip(frames, options, landmarker)
            return prepared, judge_preparation(prepared)
        except DecodeError as error:
            refusals = [Finding("error", Reason.UNREADABLE, str(error))]
        except NoFaceError as error:
            refusals = [Finding("error", _reason_of(error), str(error))]
    try:
        prepared = prepare_clip(SelectedFrames(frames, stretch), options, landmarker)
    except NoFaceError as error:
        return None, refusals or [Finding("error", _reason_of(error), str(error))]
    return prepared, refusals or judge_preparation(prepared)


def _reason_of(error: NoFaceError) -> Reason:
    return Reason.SEVERAL_FACES if isinstance(error, SeveralFacesError) else Reason.NO_FACE


def _few(pictures: dict[int, Frame]) -> list[Frame]:
    """A few evenly spaced pictures."""
    return list(pictures.values())[:: max(1, len(pictures) // _TURN_PICTURES)][:_TURN_PICTURES]


def _frame_rate(times: Float64[np.ndarray, "t"] | None) -> float | None:
    """Returns the mean rate by the times of the frames: the rate in the header of a browser's recording is wrong."""
    if times is None or len(times) < 2 or times[-1] <= times[0]:
        return None
    return float((len(times) - 1) / (times[-1] - times[0]))


def _choose_track(tracks: list[Track], detections: dict[int, tuple[Landmarks, ...]], choice: str) -> Track | None:
    """Returns the track of the face that `prepare_clip` would use."""
    if not tracks:
        return None
    if choice.isdecimal():
        for faces in detections.values():
            found = choose_face(faces, choice, "")
            if found is not None:
                return next(track for track in tracks if any(face is found for face in track.faces.values()))
        return None
    longest = len(tracks[0].faces)
    return max((t for t in tracks if len(t.faces) >= longest / 2), key=lambda track: track.median_width_px)


def _longest_stretch(track: Track, inside: Sequence[int]) -> list[int]:
    """Returns the longest run of frames without a long absence of the face; one or two misses are ignored."""
    stretches: list[list[int]] = [[]]
    gone = 0
    for index in inside:
        if index not in track.faces:
            gone += 1
        else:
            if gone >= _LONG_ABSENCE:
                stretches[-1] = stretches[-1][:-gone]
                stretches.append([])
            gone = 0
        stretches[-1].append(index)
    return max(stretches, key=len)


def _measure_movement(frames: FrameSource, indices: Sequence[int], track: Track, half: int | None) -> PerFrame:
    if len(indices) < 3:
        return np.zeros(len(indices))
    points = track.faces[indices[0]].ibug
    held = box_crop(points)
    # Decoded twice instead of kept: a long video does not fit into memory.
    corrections = register_frames(map(frames.gray, indices), points, 0).corrections
    faces = np.stack(
        [warp_gray(frames.gray(index), held @ each) for index, each in zip(indices, corrections, strict=True)]
    )
    return movement_curve(faces, transform_points(held, points), half)


def _summarise(
    figures: FrameFigures,
    track: Track | None,
    prepared: PreparedClip | None,
    blinks: list[tuple[int, int]],
    step: int,
) -> dict[str, float]:
    summary = dict.fromkeys(SUMMARY, float("nan"))
    summary["detection_rate"] = len(track.faces) / len(figures.index) if track and len(figures.index) else 0.0
    if track is None:
        return summary
    summary["jitter_percent"] = _jitter_percent(track, step)
    summary["interocular_px"] = float(np.median([interocular_distance(face.ibug) for face in track.faces.values()]))
    summary["sharpness"] = float(np.nanmedian(figures.sharpness))
    summary["clipped"] = float(np.nanmean(figures.clipped))
    if np.isfinite(figures.eye_closure).any():
        summary["blinks"] = float(len(blinks))
    if np.isfinite(figures.yaw).any():
        summary["max_turn_degrees"] = float(np.nanmax(np.abs([figures.yaw, figures.pitch])))
    if prepared is not None:
        for name in ("residual_shift_px", "registration_shift_px"):
            summary[name] = prepared.quality[name]
    return summary


def _jitter_percent(track: Track, step: int) -> float:
    """RMS deviation of each point from its neighbours in time; it includes fast true motion."""
    points = {index: face.ibug.astype(np.float64) for index, face in track.faces.items()}
    deviations = [
        (points[index] - (points[index - step] + points[index + step]) / 2)[list(_STABLE)]
        / interocular_distance(points[index])
        for index in points
        if index - step in points and index + step in points
    ]
    if not deviations:
        return float("nan")
    # For white noise, the difference from the mean of two neighbours has 1.5 times the variance. The median over time
    # ignores nods.
    variance = np.median((np.stack(deviations) ** 2).sum(axis=-1), axis=0).mean() / 1.5
    median_to_mean = 1 / np.log(2)  # of the squared length of a 2D normal deviate
    return float(100 * np.sqrt(variance * median_to_mean))
