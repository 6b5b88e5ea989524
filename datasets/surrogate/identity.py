"""A random subject: the shape of a face and what it is painted with."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from datasets.surrogate.action_units import ACTION_UNITS
from datasets.surrogate.mesh import LEFT_EYE, RIGHT_EYE, load_mesh

# From light to dark; RGB, 0 to 255.
SKIN_TONES = (
    np.array([(236, 200, 180), (232, 192, 168), (226, 184, 155), (220, 175, 143), (212, 164, 129),
              (200, 148, 112), (176, 124, 90), (150, 102, 72), (122, 80, 56), (98, 64, 46)], float)
)  # fmt: skip
HAIR_COLORS = (
    np.array([(26, 22, 20), (38, 28, 22), (20, 18, 20), (58, 40, 28), (84, 58, 36), (120, 86, 52),
              (168, 134, 86), (120, 60, 36), (130, 128, 126)], float)
)  # fmt: skip
IRIS_COLORS = (
    np.array([(70, 44, 26), (58, 36, 22), (50, 32, 22), (90, 62, 34), (104, 96, 60), (96, 120, 140),
              (110, 130, 112)], float)
)  # fmt: skip
NUM_DARK = 3  # the first so many hair and iris colours go with every skin tone
DARK_SKIN = 5.5  # position in SKIN_TONES from which only those occur
HAIR_STYLES = {"short": 0.30, "fringe": 0.15, "long": 0.25, "buzz": 0.15, "bald": 0.02, "side": 0.13}


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """One rendered person.

    Attributes:
        vertices: neutral face in centimetres, axes as in `FaceMesh`.
        skin, hair, iris, clothes: RGB, 0 to 255.
        hair_style: a key of `HAIR_STYLES`.
        brow_thickness: 1 is the mesh's own.
        wrinkles: 0 (smooth) to 1.
        stubble: 0 to 1.
        lip_redness: 0 to 1.
        has_lid_crease: whether the upper lid shows a fold.
        expressivity: by action unit, how far this subject moves it compared with others (median 1).
        seed: of everything painted at random.
    """

    vertices: Float[np.ndarray, "468 3"]
    skin: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]
    iris: Float[np.ndarray, "3"]
    clothes: Float[np.ndarray, "3"]
    hair_style: str
    brow_thickness: float
    wrinkles: float
    stubble: float
    lip_redness: float
    has_lid_crease: bool
    expressivity: dict[str, float]
    seed: int


def sample_subject(seed: int, index: int, tones: tuple[float, float] = (0.0, 9.0)) -> Subject:
    """Draws the subject number `index` of the corpus with this seed.

    Args:
        seed: of the corpus.
        index: 0-based.
        tones: range of positions in `SKIN_TONES` to draw from.
    """
    rng = np.random.default_rng([seed, index, 77])
    vertices = _sample_shape(rng)
    tone = rng.uniform(*tones)
    low = min(int(tone), len(SKIN_TONES) - 2)
    skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    is_dark = tone > DARK_SKIN
    hair = rng.choice(HAIR_COLORS[:NUM_DARK] if is_dark else HAIR_COLORS)
    iris = rng.choice(IRIS_COLORS[:NUM_DARK] if is_dark else IRIS_COLORS)
    return Subject(
        vertices=vertices,
        skin=skin * rng.uniform(0.95, 1.04, 3),
        hair=hair * rng.uniform(0.85, 1.15),
        iris=iris * rng.uniform(0.9, 1.1),
        clothes=rng.uniform(30, 170, 3),
        hair_style=str(rng.choice(list(HAIR_STYLES), p=list(HAIR_STYLES.values()))),
        brow_thickness=rng.uniform(0.65, 1.25),
        wrinkles=rng.uniform(0, 1),
        stubble=rng.uniform(0.1, 0.5) if rng.random() < 0.25 else 0.0,
        lip_redness=rng.uniform(0.3, 1.0),
        has_lid_crease=bool(rng.random() < 0.75),
        expressivity={unit: float(np.exp(0.25 * rng.standard_normal())) for unit in ACTION_UNITS},
        seed=int(rng.integers(1 << 31)),
    )


def sample_people(seed: int, first: int, names: Sequence[str], tones: tuple[float, float]) -> dict[str, Subject]:
    """Samples the subjects of a corpus, by name.

    Args:
        seed: of the corpus.
        first: number of the first one; corpora begin at numbers far apart, so that nobody is in two of them.
        names: of all, in order.
        tones: see `sample_subject`.
    """
    return {name: sample_subject(seed, first + index, tones) for index, name in enumerate(names)}


def _sample_shape(rng: np.random.Generator) -> Float[np.ndarray, "468 3"]:
    """The canonical face with a smooth random deformation, other proportions and other eyes."""
    mesh = load_mesh()
    vertices = mesh.vertices.copy()
    for length, spread in ((7.0, (0.40, 0.50, 0.40)), (2.6, (0.13, 0.15, 0.15))):  # all in cm
        vertices += _smooth_field(rng, mesh.vertices, mesh.mirror, length) * spread
    center = vertices.mean(0)
    vertices = center + (vertices - center) * (1 + np.array([0.045, 0.040, 0.060]) * rng.standard_normal(3))
    opening = 1.08 * np.exp(np.clip(0.16 * rng.standard_normal(), -0.3, 0.3))
    for ring in (RIGHT_EYE, LEFT_EYE):
        middle = vertices[list(ring)].mean(0)
        vertices[list(ring)] = middle + (vertices[list(ring)] - middle) * (1.06, opening, 1.0)
    return vertices


def _smooth_field(rng: np.random.Generator, points: np.ndarray, mirror: np.ndarray, length: float) -> np.ndarray:
    """A Gaussian-process sample of unit variance on the mesh, mostly mirror-symmetric.

    Random Fourier features of the squared-exponential kernel, instead of a decomposition of its
    matrix: smooth, cheap, and the same to the last bit whatever the number of BLAS threads.
    """
    num_waves = 160
    frequencies = rng.standard_normal((num_waves, 3)) / length
    phases = rng.uniform(0, 2 * np.pi, num_waves)
    waves = np.cos((points[:, None, :] * frequencies).sum(-1) + phases) * np.sqrt(2 / num_waves)
    even, odd = ((waves[:, :, None] * rng.standard_normal((num_waves, 3))).sum(1) for _ in range(2))
    flip = np.array([-1.0, 1.0, 1.0])
    symmetric = (even + even[mirror] * flip) / np.sqrt(2)
    return symmetric + 0.18 * odd
