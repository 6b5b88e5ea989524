"""From the frames of a video to what a model takes, and its answer; needs OpenCV and MediaPipe."""

import dataclasses
import os

import numpy as np
from jaxtyping import UInt8

from mer_jax.data.motion import EYES_FLOW, quantize
from mer_jax.data.views import VIEWS
from mer_jax.errors import ConfigError, NoFaceError
from mer_jax.prediction.answer import Answerer
from mer_jax.prediction.result import Prediction
from mer_jax.vision.crop import EYES_BORDER
from mer_jax.vision.flow import motion_features
from mer_jax.vision.frames import ArrayFrames, FrameSource, SelectedFrames
from mer_jax.vision.landmarks import FaceLandmarker
from mer_jax.vision.prepare import prepare_clip
from mer_jax.vision.sources import open_frames
from mer_jax.vision.verdict import Verdict, judge, judge_preparation


class ClipReader:
    """Prepares clips as a model's training clips were prepared, and asks the model.

    Attributes:
        options: How clips are prepared.
        landmarker: Detects the faces.

    Args:
        model: What answers; its `description.vision` is not None. Not the `TrainedModel`, which holds this reader: in
            a cycle of references, the garbage collector would stop the detector at any time and in any thread.
        face: Which face to use if there are several, see `VisionOptions.face`; None takes that of the model.
        turn: How frames are turned, see `VisionOptions.turn`; None takes that of the model.
    """

    def __init__(self, model: Answerer, *, face: str | None = None, turn: str | None = None):
        assert model.description.vision is not None  # checked by TrainedModel.reader
        self._model, options = model, model.description.vision
        self.options = dataclasses.replace(options, face=face or options.face, turn=turn or options.turn)
        self.landmarker = FaceLandmarker()

    @property
    def provenance(self) -> str:
        """Of what the model was trained on."""
        return self._model.description.provenance

    def close(self) -> None:
        """Stops the face detector."""
        self.landmarker.close()

    def read(
        self,
        clip: "str | os.PathLike[str] | np.ndarray | FrameSource",
        *,
        onset: int | None = None,
        offset: int | None = None,
        apex: int | None = None,
    ) -> tuple[Prediction, UInt8[np.ndarray, "t 128 128"] | None]:
        """Predicts one clip, see `TrainedModel.predict`; returns its preprocessed faces too, or None without a face."""
        if isinstance(clip, FrameSource):
            return self.read_interval(clip, onset, offset, apex)
        with ArrayFrames(clip) if isinstance(clip, np.ndarray) else open_frames(os.fspath(clip)) as frames:
            return self.read_interval(frames, onset, offset, apex)

    def predict_interval(
        self,
        frames: FrameSource,
        onset: int | None = None,
        offset: int | None = None,
        apex: int | None = None,
        *,
        face: str | None = None,
    ) -> Prediction:
        """Predicts the expression between two frames of an open source.

        Args:
            frames: The whole video.
            onset: First frame, 0-based; None for the first of all.
            offset: Last frame, 0-based, included; None for the last of all.
            apex: Frame of the largest movement, 0-based in the video; None to spot it where it is needed.
            face: Whom to follow, see `VisionOptions.face`; None takes that of the reader.

        Raises:
            ConfigError: Frames that the video does not have.
            DecodeError: A frame that is needed cannot be decoded.
        """
        return self.read_interval(frames, onset, offset, apex, face=face)[0]

    def read_interval(
        self,
        frames: FrameSource,
        onset: int | None = None,
        offset: int | None = None,
        apex: int | None = None,
        *,
        face: str | None = None,
    ) -> tuple[Prediction, UInt8[np.ndarray, "t 128 128"] | None]:
        """Predicts like `predict_interval`, and returns the prepared faces too; None where there is no face."""
        first, last = _check_interval(frames, onset, offset, apex)
        part = SelectedFrames(frames, range(first, last + 1))
        try:
            options = self.options if face is None else dataclasses.replace(self.options, face=face)
            clip = prepare_clip(part, options, self.landmarker, apex=None if apex is None else apex - first)
        except NoFaceError as error:
            nothing = Prediction.without_answer(
                str(error),
                provenance=self.provenance,
                onset_frame=first,
                offset_frame=last,
                verdict=Verdict.FAIL.value,
            )
            return nothing, None
        findings = judge_preparation(clip)
        verdict = judge(findings)
        reasons = [str(each) for each in findings if each.level == "error"]
        prediction = self._model.decide(
            self._model.probabilities(self._pictures(clip.faces[None]))[0],
            abstained=reasons,
            frames_used=tuple(int(index) + first for index in clip.frame_indices),
            verdict=verdict.value,
            findings=tuple(map(str, findings)),
            face_box=(*clip.landmarks.min(axis=0).tolist(), *clip.landmarks.max(axis=0).tolist()),
            onset_frame=first,
            offset_frame=last,
        )
        return prediction, clip.faces

    def _pictures(self, faces: UInt8[np.ndarray, "n t h w"]) -> UInt8[np.ndarray, "n ..."]:
        is_motion = VIEWS[self._model.description.view].stored == "motion"
        return motion_pictures(faces, self.options.crop) if is_motion else faces


def motion_pictures(faces: UInt8[np.ndarray, "n t 128 128"], crop: str = "onset") -> UInt8[np.ndarray, "n 28 28 3"]:
    """Computes the motion features between the onset and the apex of prepared clips, in 8 bits.

    Args:
        faces: Prepared with sampling `apex`, which puts the apex at position t // 2.
        crop: That they were prepared with; the border of `eyes` is cut off.
    """
    apex = faces.shape[1] // 2
    border, method = (EYES_BORDER, EYES_FLOW) if crop == "eyes" else (0, "tvl1")
    return np.stack([quantize(motion_features(clip[0], clip[apex], method, border=border)) for clip in faces])


def _check_interval(frames: FrameSource, onset: int | None, offset: int | None, apex: int | None) -> tuple[int, int]:
    first, last = 0 if onset is None else onset, len(frames) - 1 if offset is None else offset
    if not (0 <= first < last and frames.holds(last)):
        raise ConfigError(
            f"got the interval from frame {first} to {last} of {frames.name}, which has {len(frames)} frames; expected "
            f"an onset before an offset, both from 0 to {len(frames) - 1}"
        )
    if apex is not None and not first <= apex <= last:
        raise ConfigError(f"got the apex in frame {apex}; expected one from {first} to {last}, the interval")
    return first, last
