"""Prepares one clip for a network: a pure function of (frames, options)."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from mer_jax.errors import ConfigError, NoFaceError
from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.apex import spot_apex
from mer_jax.vision.crop import (
    Affine,
    box_crop,
    eyes_crop,
    following_crops,
    similarity_crop,
    transform_points,
    warp_gray,
)
from mer_jax.vision.figures import clipped_fraction, sharpness
from mer_jax.vision.frame_runs import name_frames
from mer_jax.vision.frames import Frame, FrameSource
from mer_jax.vision.landmarks import FaceLandmarker, Landmarks, Points68, interocular_distance
from mer_jax.vision.magnification import magnify_motion
from mer_jax.vision.masks import face_mask
from mer_jax.vision.options import VisionOptions
from mer_jax.vision.registration import Registration, register_frames, residual_shifts_px
from mer_jax.vision.sampling import SamplingWeights, sampling_weights
from mer_jax.vision.second_look import detect_in_parts, detect_near, smallest_face_px
from mer_jax.vision.tracks import choose_face, follow_face
from mer_jax.vision.turn import turn_frames

# The onset frame, then the next sampled ones: the detector may miss a frame, or the face appears late.
_DETECTION_ATTEMPTS = 5

_FIXED_CROPS = {"onset": box_crop, "similarity": similarity_crop, "eyes": eyes_crop}

_DARK_FRAME = 8.0  # mean gray level
_FLAT_FRAME = 4.0  # standard deviation, gray levels

FaceClip = UInt8[np.ndarray, "t 128 128"]


@dataclasses.dataclass(frozen=True)
class PreparedClip:
    """One clip, ready for the network.

    Attributes:
        faces: T gray faces, masked.
        landmarks: The 68 iBUG points that the crop is based on, in pixels of the frame after `turn`: those of the onset
            frame, or of frame `quality["detected_frame"]` if no face was detected in the onset frame.
        frame_indices: Source frame of each of the T faces, 0-based; with `linear` sampling the one with the larger
            weight.
        quality: Measurements by name:
            detected_frame: frame that the landmarks come from, 0-based (0 is the onset);
            num_faces: faces in that frame;
            second_look: 1 if the face was found only in parts of the frame (`second_look`), else 0;
            missed_detections: frames without a detected face (per-frame crops, which need every frame);
            interocular_px: distance between the eyes in that frame, pixels of the original;
            registration_failures: sampled frames that could not be aligned and were left in place;
            lost_faces: those of them in which no face is detected;
            other_faces: those of them in which only a face elsewhere, or of another size, is detected;
            registration_shift_px: mean shift removed by the alignment, pixels of the 128x128 face;
            residual_shift_px: mean estimated remaining shift of eyes and nose, in the same pixels;
            blur: variance of the Laplacian of the first face before masking; low values mean blur;
            contrast: standard deviation of its gray levels;
            clipped_fraction: fraction of pixels of the faces before masking that are black or white;
            apex_frame: with `apex` sampling only, frame of the apex, given or spotted, 0-based.
    """

    faces: FaceClip
    landmarks: Points68
    frame_indices: Int[np.ndarray, "t"]
    quality: Mapping[str, float]


def prepare_clip(
    frames: FrameSource, options: VisionOptions, landmarker: FaceLandmarker, *, apex: int | None = None
) -> PreparedClip:
    """Prepares the frames of one clip, onset to offset, as T masked gray faces.

    Decodes only the frames that the sampling needs. The same frames and options give the same bytes.

    Args:
        frames: The clip; its first frame is the onset.
        options: How to prepare it.
        landmarker: Detects the face.
        apex: Frame of the apex, 0-based, if known. Only `apex` sampling uses it; if it is None, every frame is decoded
            to spot it.

    Raises:
        ConfigError: An option is out of range, or the apex is not in the clip.
        NoFaceError: No face in the onset frame or the next sampled frames, or (SeveralFacesError) more than one with
            `face="ask"`.
        DecodeError: A frame that is needed cannot be decoded.
    """
    options.validate()
    frames = turn_frames(frames, options.turn, landmarker)
    weights = clip_weights(len(frames), options, apex)
    needed = np.arange(len(frames)) if weights is None else np.flatnonzero(weights.any(axis=0))

    reference, found, in_parts = _detect_first(frames, needed, landmarker, options.face)
    grays = [frames.gray(index) for index in needed]
    detector = _NearDetector(landmarker, found) if in_parts else landmarker
    crops, counts = _crop_matrices(frames, grays, needed, reference, found, options, detector)
    unmasked = np.stack([warp_gray(gray, crop) for gray, crop in zip(grays, crops, strict=True)])
    points = transform_points(crops[reference], found.ibug)
    detected_frame = float(needed[reference])

    if weights is None:
        apex = spot_apex(unmasked, points)
        weights = sampling_weights(len(frames), options.num_frames, options.sampling, apex)
        picked = np.flatnonzero(weights.any(axis=0))
        unmasked, needed = unmasked[picked], needed[picked]
        reference = int(np.abs(picked - reference).argmin())
    weights = weights[:, needed]

    mask = face_mask(points, options.mask)
    blended = (weights @ unmasked.reshape(len(needed), -1).astype(np.float32)).reshape(-1, FACE_SIZE, FACE_SIZE)
    if options.magnification > 0:
        blended = magnify_motion(blended, options.magnification)
    # The temporal interpolation model may overshoot the 8-bit range.
    faces = np.round(np.clip(blended * mask, 0, 255)).astype(np.uint8)

    quality = {
        "detected_frame": detected_frame,
        "num_faces": float(found.num_faces),
        "second_look": float(in_parts),
        "interocular_px": interocular_distance(found.ibug),
        **counts,
        "residual_shift_px": float(residual_shifts_px(unmasked, unmasked[reference]).mean()),
        "blur": sharpness(unmasked[0]),
        "contrast": float(unmasked[0].std()),
        "clipped_fraction": clipped_fraction(unmasked),
    }
    if options.sampling == "apex" and apex is not None:
        quality["apex_frame"] = float(apex)
    return PreparedClip(faces, found.ibug, needed[weights.argmax(axis=1)], quality)


def clip_weights(num_frames: int, options: VisionOptions, apex: int | None = None) -> SamplingWeights | None:
    """Returns the sampling weights of `prepare_clip`, or None if it has to spot the apex first.

    Args:
        num_frames: Length of the clip.
        options: How to prepare it.
        apex: Frame of the apex, 0-based, if known.

    Raises:
        ConfigError: The apex is not in the clip.
    """
    if options.sampling == "apex":
        if apex is None:
            return None
        if not 0 <= apex < num_frames:
            raise ConfigError(f"the apex is frame {apex}, but the clip has {num_frames} frames (0 to {num_frames - 1})")
    return sampling_weights(num_frames, options.num_frames, options.sampling, apex)


def _detect_first(
    frames: FrameSource, needed: Int[np.ndarray, "n"], landmarker: FaceLandmarker, choice: str
) -> tuple[int, Landmarks, bool]:
    """Returns the first needed frame that shows the chosen face, as an index into `needed`, and the face.

    The last value is True if the face was found only in parts of the frame.
    """
    tried = needed[:_DETECTION_ATTEMPTS]
    most = 0
    for in_parts in (False, True):
        for position, index in enumerate(tried):
            faces = detect_in_parts(frames[index], landmarker) if in_parts else landmarker.detect_all(frames[index])
            most = max(most, len(faces))
            found = choose_face(faces, choice, frames.describe(index))
            if found is not None:
                return position, found, in_parts
        if most:
            break
    looked_at = name_frames([(index, index) for index in tried.tolist()])
    if most:
        raise NoFaceError(
            f"no face number {choice} in {frames.name}: examined {looked_at} of {len(frames)}, which show "
            f"{most} at most. The first one is {frames.describe(0)}."
        )
    raise NoFaceError(
        f"no face in {frames.name}: examined {looked_at} of {len(frames)} (0 is the onset). "
        f"{_where_else(frames, needed, landmarker) or _why_no_face(frames.gray(0))} "
        f"The first one is {frames.describe(0)}."
    )


def _where_else(frames: FrameSource, needed: Int[np.ndarray, "n"], landmarker: FaceLandmarker) -> str:
    """Says in which later frame a face appears; empty if in none."""
    for index in needed[_DETECTION_ATTEMPTS:]:
        if landmarker.detect_all(frames[index]):
            return f"There is a face in frame {index}: cut the clip so that it starts with the face."
    return ""


def _why_no_face(onset: UInt8[np.ndarray, "h w"]) -> str:
    height, width = onset.shape
    if onset.mean() < _DARK_FRAME:
        return f"The onset frame is black (mean gray level {onset.mean():.1f} of 255)."
    if onset.std() < _FLAT_FRAME:
        return f"The onset frame has no content (standard deviation of gray levels {onset.std():.1f} of 255)."
    return (
        f"The frames ({width}x{height}) may show a profile, a covered face, or one narrower than "
        f"{smallest_face_px(width, height)} pixels, the least that can be detected."
    )


def _crop_matrices(
    frames: FrameSource,
    grays: list[UInt8[np.ndarray, "h w"]],
    needed: Int[np.ndarray, "n"],
    reference: int,
    found: Landmarks,
    options: VisionOptions,
    landmarker: "FaceLandmarker | _NearDetector",
) -> tuple[Float64[np.ndarray, "n 3 3"], dict[str, float]]:
    """Returns one crop per needed frame, and the counts for `PreparedClip.quality`."""
    names = ("missed_detections", "registration_failures", "registration_shift_px", "lost_faces", "other_faces")
    counts: dict[str, float] = dict.fromkeys(names, 0.0)
    if options.crop in ("per_frame_bbox", "per_frame_stable"):
        ibug, missed = _detect_all(frames, needed, reference, found, landmarker, options.face)
        counts["missed_detections"] = float(missed)
        if options.crop == "per_frame_bbox":
            return np.stack([box_crop(points) for points in ibug]), counts
        return following_crops(ibug, reference), counts

    held = _FIXED_CROPS[options.crop](found.ibug)
    if not options.register:
        return np.tile(held, (len(grays), 1, 1)), counts
    registration = register_frames(grays, found.ibug, reference)
    crops = held @ registration.corrections
    counts["registration_failures"] = float(registration.failures)
    counts["registration_shift_px"] = _mean_shift_px(registration, held)
    for index in needed[list(registration.failed)]:
        faces = landmarker.detect_all(frames[index])
        if not faces:
            counts["lost_faces"] += 1
        elif follow_face(faces, found) is None:
            counts["other_faces"] += 1
    return crops, counts


class _NearDetector:
    """Detects faces around the last place of one that the whole frame is too large for."""

    def __init__(self, landmarker: FaceLandmarker, found: Landmarks) -> None:
        self._landmarker = landmarker
        self._last = found

    def detect_all(self, frame: Frame) -> tuple[Landmarks, ...]:
        faces = detect_near(frame, self._last, self._landmarker)
        self._last = follow_face(faces, self._last) or self._last
        return faces


def _mean_shift_px(registration: Registration, held: Affine) -> float:
    """Returns the mean displacement of the middle of the face from the reference frame, in pixels of the crop."""
    middle = np.array([FACE_SIZE / 2, FACE_SIZE / 2, 1.0])
    moved = held @ registration.corrections @ np.linalg.inv(held) @ middle
    return float(np.linalg.norm((moved - middle)[:, :2], axis=1).mean())


def _detect_all(
    frames: FrameSource,
    needed: Int[np.ndarray, "n"],
    reference: int,
    found: Landmarks,
    landmarker: "FaceLandmarker | _NearDetector",
    choice: str,
) -> tuple[Float32[np.ndarray, "n 68 2"], int]:
    """Returns the 68 points of every needed frame, and the number of frames without a face.

    A frame without a face takes the points of the frame before it; frames before the reference take its points.
    """
    points = [found.ibug] * (reference + 1)
    missed = reference
    last = found
    for index in needed[reference + 1 :]:
        faces = landmarker.detect_all(frames[index])
        landmarks = next(iter(faces), None) if choice == "largest" else follow_face(faces, last)
        if landmarks is None:
            missed += 1
        else:
            last = landmarks
        points.append(last.ibug)
    return np.stack(points), missed
