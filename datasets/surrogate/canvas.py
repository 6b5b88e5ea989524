"""The canvas: what the functions that paint a portrait share."""

import dataclasses

import numpy as np
from jaxtyping import Float

from datasets.surrogate.drawing import Image, Mask, Numbers, stroke
from datasets.surrogate.identity import Subject


@dataclasses.dataclass(eq=False)
class Canvas:
    """What the painting functions share.

    Attributes:
        subject: who is painted.
        rng: of everything painted at random, consumed in the order of painting.
        image: what has been painted so far.
        points: image positions of the 468 mesh vertices.
        center: image position between the eyes.
        unit: pixels per centimetre.
        light: unit vector towards the key light.
        shade, gloss: diffuse and specular light on the skin (1 is the median of the face).
        normal_y: upward part of the surface normal.
        head: mask of the head.
    """

    subject: Subject
    rng: np.random.Generator
    image: Image
    points: Float[np.ndarray, "468 2"]
    center: Float[np.ndarray, "2"]
    unit: float
    light: Float[np.ndarray, "3"]
    shade: Mask
    gloss: Mask
    normal_y: Mask
    head: Mask

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[:2]

    def stroke(self, points: Numbers, width_cm: float, darkness: float, softness_cm: float) -> None:
        """Darkens along a smooth line."""
        stroke(self.image, np.asarray(points), width_cm * self.unit, darkness, softness_cm * self.unit)

    def at(self, vertex: int, right_cm: float = 0.0, down_cm: float = 0.0) -> np.ndarray:
        """Image position at an offset from a vertex."""
        return self.points[vertex] + np.array([right_cm, down_cm]) * self.unit
