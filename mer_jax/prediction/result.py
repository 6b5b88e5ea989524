"""What a model answers about one clip."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mer_jax.data.provenance import surrogate_mark


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer about one clip.

    Attributes:
        label: Class name; None where the model abstains.
        probabilities: Calibrated probability of each class; empty where the clip could not be prepared.
        confidence: Highest of them; 0 without any.
        abstained: Why there is no label, one line each; empty where there is one.
        best_guess: Most probable class, also where the model abstains; None where the clip could not be prepared.
        onset_frame: First frame of the clip in its source, 0-based; None for prepared faces.
        offset_frame: Last frame of the clip in its source, 0-based; None for prepared faces.
        frames_used: Frames of the source that the model saw, 0-based, in order.
        face_box: Left, top, right and bottom of the face in the first of these frames that shows it, pixels of the
            frame after `VisionOptions.turn`; None for prepared faces, or without a face.
        verdict: Of the preparation: `ok`, `warn` or `fail`; None for prepared faces.
        findings: What the preparation found wrong or doubtful, one line each.
        provenance: Of what the model was trained on.
    """

    label: str | None
    probabilities: Mapping[str, float]
    confidence: float
    abstained: tuple[str, ...] = ()
    best_guess: str | None = None
    onset_frame: int | None = None
    offset_frame: int | None = None
    frames_used: tuple[int, ...] = ()
    face_box: tuple[float, float, float, float] | None = None
    verdict: str | None = None
    findings: tuple[str, ...] = ()
    provenance: str = "unstated"

    @classmethod
    def without_answer(
        cls, reason: str, *, provenance: str, onset_frame: int, offset_frame: int, verdict: str | None = None
    ) -> "Prediction":
        """Returns the prediction of a clip that the model was not asked about.

        Args:
            reason: Why it was not.
            provenance: Of what the model was trained on.
            onset_frame: First frame of the clip in its source, 0-based.
            offset_frame: Last frame, 0-based, included.
            verdict: Of the preparation, whose only finding is the reason; None if nothing was prepared.
        """
        return cls(
            label=None,
            probabilities={},
            confidence=0.0,
            abstained=(reason,),
            onset_frame=onset_frame,
            offset_frame=offset_frame,
            verdict=verdict,
            findings=() if verdict is None else (reason,),
            provenance=provenance,
        )

    @property
    def shown_label(self) -> str:
        """The label, or that there is none and what it might be, as annotations show it."""
        return self.label or (f"no answer ({self.best_guess}?)" if self.best_guess else "no answer")

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        plain = dataclasses.asdict(self)
        plain["probabilities"] = dict(self.probabilities)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {share:.2f}" for name, share in self.probabilities.items()) or "nothing"
        note = surrogate_mark(self.provenance, before=" (", after=")")
        if self.label is not None:
            return f"{self.label}{note}: {shown}"
        return f"no answer{note}: {'; '.join(self.abstained)} ({shown})"
