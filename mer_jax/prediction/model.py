"""A trained model in use: `mer_jax.load(...)` and `model.predict(...)`.

    model = mer_jax.load("runs/smic_ha/model")
    model.predict("clip.mp4")                     # one clip from onset to offset
    model.predict("long.mp4", onset=310, offset=322)
    model.predict(faces)                          # prepared faces, without OpenCV

OpenCV and MediaPipe are imported when the first video is predicted.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_jax.data.provenance import surrogate_mark
from mer_jax.data.stored import fits
from mer_jax.errors import ConfigError, ModelError, ShapeError, near_names
from mer_jax.prediction.answer import Answerer
from mer_jax.prediction.classifier import Classifier, Probabilities, make_classifier
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.model_folder import CARD, is_model_folder, read_model
from mer_jax.prediction.result import Prediction
from mer_jax.sizes import FACE_SIZE
from mer_jax.vision.options import VISION_VERSION

if TYPE_CHECKING:
    from mer_jax.prediction.clip import ClipReader
    from mer_jax.vision.frames import FrameSource

_SMALLEST_FRAME = 64  # pixels: no face is found in smaller ones, which are features of another size
SHIPPED = Path(__file__).parent / "shipped"  # models that come with the library, one folder each


class TrainedModel:
    """A model that answers about clips.

    Several threads may call it.

    Attributes:
        description: What it is, what it was trained on, and what to expect of it.
        folder: Where it was read from; None for a model in memory.

    Args:
        description: What it is.
        arrays: Weights by name, see `mer_jax.prediction.classifier`.
        folder: Where it was read from.
        network: A linen module of the user's own, where it is none of `mer_jax.models`.

    Raises:
        ModelError: Description and weights do not go together.
    """

    def __init__(self, description: ModelDescription, arrays: Any, *, folder: Path | None = None, network: Any = None):
        self.description, self.folder = description, folder
        self._answerer = Answerer(description, make_classifier(description, arrays, network))
        self._reader: ClipReader | None = None
        self._lock = threading.Lock()  # of the reader: a landmarker is not to be shared

    def close(self) -> None:
        """Stops the face detector; the next video starts another one."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def __enter__(self) -> "TrainedModel":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.description.class_names

    @property
    def classifier(self) -> Classifier:
        """Network or linear classifier with its weights."""
        return self._answerer.classifier

    @property
    def card(self) -> str:
        """The model card."""
        from mer_jax.prediction.card import write_card

        return (self.folder / CARD).read_text() if self.folder else write_card(self.description)

    def __repr__(self) -> str:
        name = surrogate_mark(self.description.provenance, after=" ") + self.description.name
        return f"TrainedModel({name}: {self.description.architecture['class']}, {', '.join(self.class_names)})"

    def probabilities(self, pictures: np.ndarray) -> Probabilities:
        """Calibrated class probabilities of pictures as the model stores them.

        Args:
            pictures: Prepared faces, uint8 [n, t, 128, 128], or for a model of motion features uint8 [n, 28, 28, 3].

        Raises:
            ShapeError: Another type or shape.
        """
        return self._answerer.probabilities(pictures)

    def warm_up(self) -> None:
        """Compiles the network for one clip; otherwise the first clip does, which takes seconds."""
        self._answerer.warm_up()

    def predict(
        self,
        clips: "str | os.PathLike[str] | np.ndarray | FrameSource",
        *,
        onset: int | None = None,
        offset: int | None = None,
        apex: int | None = None,
    ) -> Any:
        """Predicts the class of one clip, or of each of several prepared ones.

        Args:
            clips: One of

                * a path: a video or a folder of frames;
                * frames in memory, uint8 or uint16: RGB [t, h, w, 3] or gray [t, h, w], prepared like those of a video;
                * a prepared clip, uint8 [t, 128, 128] with as many frames as the model takes, or [n, t, 128, 128] of
                  them; for a model of motion features also uint8 [28, 28, 3] or [n, 28, 28, 3].
            onset: First frame of the expression in a video or in frames, 0-based; None for the first.
            offset: Last frame, 0-based, included; None for the last.
            apex: Frame of the largest movement, 0-based, in the same count; None to spot it where the model needs it.

        Returns:
            A `Prediction`; for [n, ...] a list of them. A clip that cannot be prepared is an answer that abstains.

        Raises:
            ShapeError: An array of another shape or type.
            DecodeError: The video cannot be read.
            ConfigError: Frames that the clip does not have.
            ModelError: The model takes prepared clips only, or was made with another version of the preparation.
        """
        if isinstance(clips, np.ndarray) and (several := self.as_pictures(clips)) is not None:
            if (onset, offset, apex) != (None, None, None):
                raise ShapeError("got onset, offset or apex with a prepared clip; expected them with frames or a video")
            pictures, is_one = several
            answers = self.answer(pictures)
            return answers[0] if is_one else answers
        with self._lock:
            return self.reader().read(clips, onset=onset, offset=offset, apex=apex)[0]

    def answer(self, pictures: np.ndarray) -> list[Prediction]:
        """Predicts pictures as the model stores them, see `probabilities`."""
        return [self._answerer.decide(row) for row in self.probabilities(pictures)]

    def reader(self, *, face: str | None = None, turn: str | None = None) -> "ClipReader":
        """What prepares videos for this model; loads OpenCV and MediaPipe on the first call.

        Args:
            face: Which face to use if there are several, see `VisionOptions.face`; None takes that of the model.
            turn: How frames are turned, see `VisionOptions.turn`: `none` for frames that are upright already; None
                turns them as the model's clips were.

        Returns:
            The same reader every time that both are None; otherwise a new one, which the caller has to close.

        Raises:
            ModelError: The model takes prepared clips only, or was made with another version of the preparation.
        """
        is_own = face is None and turn is None
        if self._reader is None or not is_own:
            if self.description.vision is None:
                raise ModelError(
                    f"the model {self.description.name} was trained on clips that came prepared, so it cannot prepare "
                    "a video; expected prepared clips as an array"
                )
            if self._answerer.view.stored not in ("faces", "motion"):
                raise ModelError(
                    f"the model {self.description.name} takes {self._answerer.view.title}, which are not computed from "
                    f"a video yet; expected them as an array of shape (clips, "
                    f"{', '.join(map(str, self._answerer.view.stored_dims()))})"
                )
            if self.description.vision_version != VISION_VERSION:
                raise ModelError(
                    f"the model {self.description.name} was trained on clips of preparation version "
                    f"{self.description.vision_version}; this is version {VISION_VERSION}, which gives other pixels; "
                    f"use mer_jax {self.description.library}, or train it again"
                )
            from mer_jax.prediction.clip import ClipReader

            if not is_own:
                return ClipReader(self._answerer, face=face, turn=turn)
            self._reader = ClipReader(self._answerer)
        return self._reader

    def as_pictures(self, array: np.ndarray) -> tuple[np.ndarray, bool] | None:
        """Recognises prepared clips, see `predict`.

        Returns:
            Pictures as the model stores them [n, ...], and whether it was one clip; None for frames that are still to
            be prepared.

        Raises:
            ShapeError: Neither prepared clips nor frames.
        """
        view = self._answerer.view
        for pictures, is_one in ((array[None], True), (array, False)):
            if fits(pictures.shape[1:], view.stored_dims()) is not None:
                return pictures, is_one
        if view.stored == "motion" and array.shape[-2:] == (FACE_SIZE, FACE_SIZE) and array.ndim in (3, 4):
            from mer_jax.prediction.clip import motion_pictures

            pictures = array[None] if array.ndim == 3 else array
            self._answerer.check_faces(pictures)
            crop = self.description.vision.crop if self.description.vision else "onset"
            return motion_pictures(pictures, crop), array.ndim == 3
        if view.stored == "motion" and array.ndim in (3, 4) and max(array.shape[-3:-1]) < _SMALLEST_FRAME:
            raise ShapeError(
                f"got pictures of shape {array.shape}; expected motion features of {view.stored_dims()}, or frames of "
                f"at least {_SMALLEST_FRAME} pixels a side"
            )
        if array.ndim == 4 and array.shape[-1] != 3:
            raise ShapeError(
                f"got clips of shape {array.shape}; expected prepared ones, [n, t, {FACE_SIZE}, {FACE_SIZE}]; frames "
                "of another size are predicted one clip at a time, as [t, h, w] or [t, h, w, 3]"
            )
        return None


def load(model: str | os.PathLike[str], *, network: Any = None) -> TrainedModel:
    """Loads a trained model.

    Args:
        model: A model folder, a run folder that contains one, or the name of a model that comes with the library.
        network: A linen module of your own, where the model's network is none of `mer_jax.models`.

    Raises:
        ModelError: There is no such model, or it is damaged, or of a newer version.
    """
    path = find_model_folder(model)
    description, arrays = read_model(path)
    return TrainedModel(description, arrays, folder=path, network=network)


def find_model_folder(model: str | os.PathLike[str]) -> Path:
    """Finds the folder of a model.

    Args:
        model: See `load`.

    Raises:
        ModelError: There is none.
    """
    path = Path(model).expanduser()
    for place in (path, path / "model", *([SHIPPED / model] if isinstance(model, str) else [])):
        if is_model_folder(place):
            return place
    if (path / "config.json").is_file():
        raise ModelError(
            f"the run {path} has no model; `python -m experiments.run --resume --final` with its --config and "
            "--workdir writes one, if a protocol of the run keeps people apart"
        )
    if path.exists():
        raise ModelError(f"{path} holds no model; expected model.json, weights.npz and CARD.md, or a run folder")
    known = shipped_models()
    hint = near_names(str(model), known) if known else "this version comes with no model"
    raise ModelError(f"there is no model {str(model)!r}: no such folder, and none of that name is shipped; {hint}")


def choose_model(model: str | None) -> str:
    """Returns the model that a command is given, or without one that of the library.

    Args:
        model: See `load`; None for that of the library.

    Raises:
        ConfigError: None is given, and the library has none, or several.
    """
    if model is not None:
        return model
    known = shipped_models()
    if len(known) != 1:
        listed = f": one of {', '.join(known)}, or a folder" if known else ": a model folder or a run folder"
        raise ConfigError(f"no --model given; expected one{listed}")
    return known[0]


def shipped_models() -> Sequence[str]:
    """Names of the models that come with the library."""
    return sorted(path.name for path in SHIPPED.glob("*") if is_model_folder(path)) if SHIPPED.is_dir() else []
