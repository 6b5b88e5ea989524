"""What each action unit of the face moves and shades.

A unit's field is a sum of Gaussian pushes. All are given for the subject's right side; the left
is their mirror image. A unit of amplitude 1 moves the centre of a push by its (outward, up)
vector; amplitudes are stated as a fraction of the inter-ocular distance (IOD).

Differs: FACS describes what a coder sees, not how far skin moves. These vectors were set by eye
and checked against MediaPipe's blendshapes, an independent judge (tests/test_surrogate_faces.py).
"""

from typing import NamedTuple

RIGHT, LEFT = 0, 1  # the subject's sides


class Push(NamedTuple):
    """A Gaussian displacement around the mean of some vertices (the subject's right side)."""

    vertices: tuple[int, ...]
    outward: float  # away from the midline
    up: float
    width_cm: float  # standard deviations of the Gaussian
    height_cm: float


class Lids(NamedTuple):
    """Movement of the lid edges over the eyeball, which stays where it is; up is positive."""

    upper: float
    lower: float


class Gap(NamedTuple):
    """Parting of the lips: how far the upper lip rises and the lower one sinks."""

    upper: float
    lower: float


class Bulge(NamedTuple):
    """Skin that swells: lit on the side of the lamp, darker on the other."""

    vertex: int
    height: float
    radius_cm: float


PUSHES: dict[str, tuple[Push, ...]] = {
    "1": (Push((107, 55), 0, 1.0, 1.2, 1.1), Push((108,), 0, 0.45, 1.5, 1.5)),  # inner brow raiser
    "2": (Push((105, 63), 0, 1.0, 1.3, 1.0), Push((104,), 0, 0.40, 1.5, 1.4)),  # outer brow raiser
    "4": (Push((107, 55), -0.55, -0.85, 1.1, 1.0), Push((105, 66), -0.15, -0.45, 1.4, 0.9)),  # brow lowerer
    "5": (Push((159,), 0, 0.15, 1.2, 0.5),),  # upper lid raiser
    "6": (  # cheek raiser
        Push((50, 117), -0.10, 0.80, 1.7, 1.2),
        Push((226,), -0.30, 0.05, 0.7, 0.8),
        Push((118, 119), 0, 0.45, 1.4, 0.5),
    ),
    "7": (Push((145,), 0, 0.25, 1.2, 0.4),),  # lid tightener
    "9": (  # nose wrinkler
        Push((129,), 0.10, 0.75, 0.8, 0.9),
        Push((198,), 0, 0.65, 0.8, 1.1),
        Push((55,), -0.25, -0.45, 0.9, 0.8),
        Push((37,), 0, 0.35, 1.0, 0.6),
    ),
    "10": (Push((39, 37), 0, 0.95, 1.3, 0.7), Push((203,), 0.25, 0.45, 0.9, 1.0)),  # upper lip raiser
    "12": (Push((61,), 0.72, 0.72, 1.3, 1.1), Push((205,), 0.20, 0.50, 1.6, 1.4)),  # lip corner puller
    "14": (Push((61,), 0.75, 0.10, 0.8, 0.9),),  # dimpler
    "15": (Push((61,), 0.10, -0.95, 1.1, 0.9), Push((204,), 0, -0.30, 1.1, 1.1)),  # lip corner depressor
    "17": (Push((199,), 0, 0.70, 1.8, 1.1), Push((17,), 0, 0.75, 1.5, 0.6)),  # chin raiser
    "20": (Push((61,), 0.95, -0.15, 1.2, 1.0),),  # lip stretcher
    "24": (Push((37,), 0, -0.45, 1.3, 0.45), Push((84,), 0, 0.45, 1.3, 0.45)),  # lip pressor
    "25": (),  # lips part
    "26": (Push((152,), 0, -1.0, 3.2, 2.2), Push((17,), 0, -0.55, 1.6, 0.8)),  # jaw drop
}
ACTION_UNITS = tuple(PUSHES)
LIDS: dict[str, Lids] = {
    "1": Lids(0.12, 0), "2": Lids(0.08, 0), "4": Lids(-0.12, 0), "5": Lids(0.75, 0), "6": Lids(0, 0.35),
    "7": Lids(-0.35, 0.65), "9": Lids(0, 0.25), "12": Lids(0, 0.10),
}  # fmt: skip
GAPS: dict[str, Gap] = {"10": Gap(0.15, 0), "25": Gap(0.15, 0.65), "26": Gap(0.05, 0.55)}
BULGES: dict[str, tuple[Bulge, ...]] = {
    "4": (Bulge(107, 0.4, 0.7),),
    "6": (Bulge(50, 0.55, 1.2),),
    "9": (Bulge(198, 0.5, 0.7),),
    "10": (Bulge(203, 0.4, 0.7),),
    "12": (Bulge(205, 0.6, 1.2),),
    "17": (Bulge(199, 0.5, 0.9),),
}
# Units on the midline move both sides alike and cannot be one-sided.
MIDLINE_UNITS = frozenset({"17", "24", "25", "26"})
