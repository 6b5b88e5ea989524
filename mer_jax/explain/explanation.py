"""The explanation of one answer: the one value that every file, table and page about it is written from."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mer_jax.explain.attention import TemporalWeights
from mer_jax.explain.checks import Check
from mer_jax.explain.layout import Cells, Layout
from mer_jax.prediction.result import Prediction
from mer_jax.prediction.usage import usage_notes


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedMap:
    """One map with its checks.

    Attributes:
        name: `occlusion`, `integrated_gradients`, `grad_cam` or `spatial_attention`.
        title: Name for people.
        meaning: What a cell of it says.
        values: One number a cell.
        check: Whether it may be drawn.
    """

    name: str
    title: str
    meaning: str
    values: Cells
    check: Check

    @property
    def is_signed(self) -> bool:
        """Whether cells may speak against the class."""
        return self.name in ("occlusion", "integrated_gradients")


@dataclasses.dataclass(frozen=True)
class Shares:
    """By how much the score falls without the motion of one half of the face.

    Attributes:
        upper: Without that of the upper half.
        lower: Without that of the lower half.
    """

    upper: float
    lower: float

    @property
    def upper_share(self) -> float | None:
        """Share of the upper half in both falls, 0 to 1; None where a half speaks against the class."""
        return (
            self.upper / (self.upper + self.lower)
            if min(self.upper, self.lower) >= 0 < self.upper + self.lower
            else None
        )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """Why a model answered as it did about one clip.

    Attributes:
        name: Of the clip.
        model: Name of the model.
        provenance: Of what the model was trained on.
        class_name: What is explained: why this class rather than the others.
        prediction: The answer.
        logits: Of each class, before calibration.
        score: Logit of the class less the mean of the others.
        still_score: The same for the face without motion.
        shares: Of the upper and the lower half.
        maps: Those that the model has, occlusion and integrated gradients first.
        gradient_total: Sum of integrated gradients, which approaches `score - still_score`.
        gradient_steps: Points of the integral.
        temporal: Weights of the time steps; None without such a block.
        finer: Fields of the model that make attention finer, one line each.
        layout: Cells of the maps.
        faces: Prepared faces; None for a clip that came as a picture of motion.
        picture: What the map lies on where there are no faces: the amount of motion, 0 to 255.
        box: Left, top, right and bottom of the map on the face, pixels.
        shown: Onset, apex and offset among the faces, 0-based; the apex is the frame that differs most from the onset.
        text: All of it in plain English, one line each, without the notes on use.
    """

    name: str
    model: str
    provenance: str
    class_name: str
    prediction: Prediction
    logits: dict[str, float]
    score: float
    still_score: float
    shares: Shares
    maps: tuple[CheckedMap, ...]
    gradient_total: float
    gradient_steps: int
    temporal: TemporalWeights | None
    finer: tuple[str, ...]
    layout: Layout
    faces: UInt8[np.ndarray, "t h w"] | None
    picture: UInt8[np.ndarray, "h2 w2"] | None
    box: tuple[int, int, int, int]
    shown: tuple[int, int, int]
    text: tuple[str, ...] = ()

    @property
    def drawn(self) -> tuple[CheckedMap, ...]:
        """Maps that passed their checks."""
        return tuple(each for each in self.maps if each.check.is_passed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What an answer means and may be used for; no option removes it."""
        return tuple(usage_notes(self.provenance))

    def to_plain(self) -> dict[str, Any]:
        """Returns plain values for JSON; a map that failed its check has no values."""
        return {
            "surrogate": self.provenance == "surrogate",
            "clip": self.name,
            "model": self.model,
            "provenance": self.provenance,
            "class": self.class_name,
            "prediction": self.prediction.to_plain(),
            "logits": self.logits,
            "score": self.score,
            "still_score": self.still_score,
            "falls_without": {"upper": self.shares.upper, "lower": self.shares.lower},
            "upper_share": self.shares.upper_share,
            "cells": {"rows": self.layout.rows, "columns": self.layout.columns, "box": list(self.box)},
            "frames_shown": dict(zip(("onset", "apex", "offset"), self.shown, strict=True)),
            "maps": {
                each.name: {
                    "drawn": each.check.is_passed,
                    "reasons": list(each.check.reasons),
                    "rank_correlation_with_random_weights": dict(each.check.correlations),
                    "falls_without_its_highest_cells": each.check.deletion,
                    "falls_without_random_cells": each.check.random_deletion,
                    "p": each.check.p,
                    "values": each.values.tolist() if each.check.is_passed else None,
                }
                for each in self.maps
            },
            "integrated_gradients": {
                "total": self.gradient_total,
                "expected": self.score - self.still_score,
                "steps": self.gradient_steps,
            },
            "temporal_attention": None
            if self.temporal is None
            else {path: each.tolist() for path, each in self.temporal.weights.items()},
            "finer": list(self.finer),
            "text": list(self.text),
            "notes": list(self.notes),
        }
