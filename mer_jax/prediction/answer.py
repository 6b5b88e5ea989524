"""From prepared pictures to an answer: calibrated, and withheld where it is not sure enough."""

from typing import Any

import numpy as np

from mer_jax.data.stored import fits
from mer_jax.errors import ShapeError
from mer_jax.evaluation.temperature import apply_temperature
from mer_jax.prediction.classifier import Classifier, Probabilities
from mer_jax.prediction.description import ModelDescription
from mer_jax.prediction.result import Prediction
from mer_jax.sizes import FACE_SIZE


class Answerer:
    """A classifier with the calibration and the threshold of its description.

    Attributes:
        description: What the model is.
        classifier: Its weights.
        view: What the classifier takes.

    Args:
        description: What the model is.
        classifier: Its weights.
    """

    def __init__(self, description: ModelDescription, classifier: Classifier):
        self.description, self.classifier, self.view = description, classifier, classifier.view

    def probabilities(self, pictures: np.ndarray) -> Probabilities:
        """Calibrated class probabilities; see `TrainedModel.probabilities`."""
        self._check_pictures(pictures)
        return apply_temperature(self.classifier.probabilities(pictures), self.description.temperature)

    def warm_up(self) -> None:
        """Answers an empty clip once, so that the first real one does not have to wait for the compiler."""
        frames = self.description.num_frames
        shape = [frames if isinstance(size, str) else size for size in self.view.stored_dims()]
        self.probabilities(np.zeros((1, *shape), np.uint8))

    def decide(self, probabilities: np.ndarray, **facts: Any) -> Prediction:
        """Makes an answer of calibrated probabilities: abstains below the threshold, and after a bad preparation.

        Args:
            probabilities: Of each class.
            **facts: Fields of `Prediction`; `abstained` adds reasons.
        """
        best, confidence = int(probabilities.argmax()), float(probabilities.max())
        reasons: list[str] = list(facts.pop("abstained", ()))
        if confidence < self.description.threshold:
            reasons.append(f"confidence {confidence:.2f} is below {self.description.threshold:.2f}")
        return Prediction(
            label=None if reasons else self.description.class_names[best],
            best_guess=self.description.class_names[best],
            probabilities=dict(zip(self.description.class_names, map(float, probabilities), strict=True)),
            confidence=confidence,
            abstained=tuple(reasons),
            provenance=self.description.provenance,
            **facts,
        )

    def _check_pictures(self, pictures: np.ndarray) -> None:
        if self.view.stored == "faces":
            self.check_faces(pictures)
        elif pictures.dtype != np.uint8 or fits(pictures.shape[1:], self.view.stored_dims()) is None:
            raise ShapeError(
                f"got pictures as {pictures.dtype} of shape {pictures.shape}; expected {self.view.title}, uint8 of "
                f"shape (clips, {', '.join(map(str, self.view.stored_dims()))})"
            )

    def check_faces(self, pictures: np.ndarray) -> None:
        """Validates the type and shape of prepared faces.

        Args:
            pictures: Uint8 [n, t, 128, 128].

        Raises:
            ShapeError: They are others, or have another number of frames.
        """
        expected = (self.description.num_frames, FACE_SIZE, FACE_SIZE)
        if pictures.dtype != np.uint8 or pictures.shape[1:] != expected:
            raise ShapeError(
                f"got clips as {pictures.dtype} of shape {pictures.shape}; expected prepared faces, uint8 of shape "
                f"(clips, {', '.join(map(str, expected))}): the model takes {expected[0]} frames"
            )
