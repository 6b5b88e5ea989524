"""What a clip is worth before anything is trained on it: every frame looked at, measured, and its faults named.

`inspect_clip` never fails for what is in the frames; what is wrong is a `Finding`, with the frames concerned.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from mer_jax.errors import DecodeError, NoFaceError
from mer_jax.vision.apex import HALF_INTERVAL_S, movement_curve
from mer_jax.vision.crop import box_crop, transform_points, warp_gray
from mer_jax.vision.figures import (
    FaceFigures,
    FrameFigures,
    PerFrame,
    PictureFigures,
    collect_figures,
    measure_face,
    measure_picture,
)
from mer_jax.vision.findings import RARE_FACE, Finding, find_faults, find_turn
from mer_jax.vision.frame_runs import frame_runs
from mer_jax.vision.frames import Frame, FrameSource, SelectedFrames, VideoFrames
from mer_jax.vision.landmarks import EYE_CORNERS, NOSE, FaceLandmarker, Landmarks, interocular_distance
from mer_jax.vision.libraries import cv2
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.prepare import PreparedClip, prepare_clip
from mer_jax.vision.registration import register_frames
from mer_jax.vision.tracks import Track, choose_face, link_faces

MAX_FRAMES = 600  # of one clip that are looked at; a longer one is looked at evenly spaced
PICTURES = 12  # frames kept for the contact sheet

_BLINK_SCORE = 0.5  # mean of MediaPipe's two blink scores; open eyes stay below .2, closed lids reach .7
_LONG_ABSENCE = 3  # frames looked at
_STABLE = (*EYE_CORNERS, *range(NOSE.start, NOSE.stop))


@dataclasses.dataclass(frozen=True, eq=False)
class ClipQuality:
    """All that `inspect_clip` found.

    Attributes:
        name: Of the clip.
        num_frames: Its length.
        frame_size: Width and height of the first frame, pixels; None if none can be decoded.
        frames_per_s: Mean rate by its timestamps; None where it has none.
        figures: Per frame.
        detections: Frame number to the faces seen there, the widest first.
        track: The face that the figures are about; None if there is none.
        num_tracks: Faces that were told apart over the clip.
        summary: One number per question, see `SUMMARY`; NaN where it cannot be measured.
        blinks: (first, last) frame of each.
        movement: Per frame looked at between the first and last sight of the face, how far it is from the line between
            its neighbours in time (`apex.movement_curve`); empty where it could not be measured.
        movement_index: Frame numbers of `movement`.
        findings: What is wrong or worth knowing, errors first.
        prepared: What a network would see of the longest stretch in which the face is there; None if it cannot be made.
            Its `frame_indices` count from the beginning of that stretch.
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
    def usable(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    @property
    def apex_frame(self) -> int | None:
        """The frame of the largest movement, 0-based; None where it was not measured."""
        if not len(self.movement) or self.movement.max() <= 0:
            return None
        return int(self.movement_index[self.movement.argmax()])


# What each number of the summary means; the pages and pictures print these.
SUMMARY = {
    "detection_rate": "share of frames in which the face was seen",
    "jitter_percent": "landmark jitter, % of the distance between the eyes, at eye corners and nose",
    "interocular_px": "distance between the eyes, pixels, median",
    "residual_shift_px": "estimated shift of the head left after registration, pixels of the 128x128 face, mean",
    "registration_shift_px": "shift that registration took away, the same pixels, mean",
    "sharpness": "variance of the Laplacian of the 128x128 face, median; below 25 is blurred",
    "clipped": "share of the face's pixels that are black or white, mean",
    "blinks": "number of blinks",
    "max_turn_degrees": "largest yaw or pitch of the head, degrees",
}


def inspect_clip(
    frames: FrameSource,
    landmarker: FaceLandmarker,
    options: VisionOptions | None = None,
    *,
    kind: Literal["clip", "video"] = "clip",
    on_frame: Callable[[], None] = lambda: None,
) -> ClipQuality:
    """Looks at every frame of a clip and says what it is worth.

    Args:
        frames: The clip.
        landmarker: With blendshapes and pose; without them blinks and turns of the head stay unknown.
        options: How it would be prepared for a network; `face` says who is meant.
        kind: `clip` runs from onset to offset; in a `video` the expression may be anywhere.
        on_frame: Called after each frame.
    """
    options = options or VisionOptions()
    options.validate()
    step = -(-len(frames) // MAX_FRAMES)
    chosen = np.arange(0, len(frames), step)
    kept = set(chosen[np.linspace(0, len(chosen) - 1, min(PICTURES, len(chosen))).round().astype(int)].tolist())

    detections: dict[int, tuple[Landmarks, ...]] = {}
    unreadable: dict[int, str] = {}
    whole: dict[int, PictureFigures] = {}
    measured: dict[int, list[FaceFigures]] = {}
    pictures: dict[int, Frame] = {}
    sizes: dict[tuple[int, int], int] = {}
    before = None
    for index in chosen.tolist():
        try:
            frame = frames[index]
        except DecodeError as error:
            unreadable[index] = str(error)
            continue
        finally:
            on_frame()
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        whole[index] = measure_picture(gray, before)
        sizes.setdefault((gray.shape[1], gray.shape[0]), index)
        detections[index] = landmarker.detect_all(frame)
        measured[index] = [measure_face(gray, face) for face in detections[index]]
        before = gray
        if index in kept:
            pictures[index] = frame

    tracks = link_faces(detections)
    track = _choose_track(tracks, detections, options.face)
    figures = collect_figures(whole, detections, measured, track, frames.timestamps_s)
    readable = figures.index.tolist()
    times = frames.timestamps_s
    rate = (
        None if times is None or len(times) < 2 or times[-1] <= times[0] else (len(times) - 1) / (times[-1] - times[0])
    )
    blinks = frame_runs(figures.index[figures.eye_closure > _BLINK_SCORE].tolist(), readable)

    prepared, refusal = None, None
    movement, movement_index = np.zeros(0), np.zeros(0, int)
    if track is not None:
        inside = [index for index in readable if track.first_frame <= index <= track.last_frame]
        try:
            prepared = prepare_clip(SelectedFrames(frames, _longest_stretch(track, inside)), options, landmarker)
        except NoFaceError as error:  # several faces, and the options say to ask
            refusal = str(error)
        half = None if kind == "clip" else max(1, round(HALF_INTERVAL_S * (rate or 25.0) / step))
        movement_index = np.array([index for index in inside if index in track.faces])
        movement = _measure_movement(frames, movement_index.tolist(), track, half)

    summary = _summarise(figures, track, prepared, blinks, step)
    doubtful = summary["detection_rate"] < RARE_FACE
    turn = find_turn(list(pictures.values())[:: PICTURES // 3], landmarker) if doubtful else None
    findings = find_faults(
        frames=frames, figures=figures, tracks=tracks, track=track, unreadable=unreadable, sizes=sizes,
        refusal=refusal, summary=summary, turn=turn, rate=rate, choice=options.face,
        unaligned=0 if prepared is None else int(prepared.quality["registration_failures"]),
        stated_frames=frames.stated_frames if isinstance(frames, VideoFrames) else 0,
    )  # fmt: skip
    return ClipQuality(
        name=frames.name,
        num_frames=len(frames),
        frame_size=next(iter(sizes), None),
        frames_per_s=rate,
        figures=figures,
        detections=detections,
        track=track,
        num_tracks=len(tracks),
        summary=summary,
        blinks=blinks,
        movement=movement,
        movement_index=movement_index,
        findings=findings,
        prepared=prepared,
        pictures=pictures,
    )


def summarise_corpus(clips: Sequence[ClipQuality]) -> dict[str, dict[str, float]]:
    """Returns for each number of the summary its median and its two ends over the clips where it is known.

    Args:
        clips: One entry per clip.
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


def _choose_track(tracks: list[Track], detections: dict[int, tuple[Landmarks, ...]], choice: str) -> Track | None:
    """The face that `prepare_clip` would take, over time."""
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
    """The most frames in a row without a long absence of the face; a miss or two of the detector do not count."""
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
    """Root mean square of what each point does between its neighbours in time; fast true movement counts in, too."""
    points = {index: face.ibug.astype(np.float64) for index, face in track.faces.items()}
    deviations = [
        (points[index] - (points[index - step] + points[index + step]) / 2)[list(_STABLE)]
        / interocular_distance(points[index])
        for index in points
        if index - step in points and index + step in points
    ]
    if not deviations:
        return float("nan")
    # Of white noise the difference to the mean of two neighbours has 1.5 times the variance. The median over time: a
    # nod is no jitter.
    variance = np.median((np.stack(deviations) ** 2).sum(axis=-1), axis=0).mean() / 1.5
    median_to_mean = 1 / np.log(2)  # of the squared length of a normal deviate in the plane
    return float(100 * np.sqrt(variance * median_to_mean))
