"""Where clips are shot: a corpus' camera geometry, a subject before it, and the frames of a clip."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt8

from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import Subject
from datasets.surrogate.portrait import paint_portrait
from datasets.surrogate.renderer import FaceRenderer, FaceState
from datasets.surrogate.scenario import LEFT, RIGHT, ClipSpec


@dataclasses.dataclass(frozen=True)
class CorpusGeometry:
    """How a corpus was filmed.

    Attributes:
        height, width: of a frame, pixels.
        fps: frames per second.
        pixels_per_cm: at the subject's eyes; the eyes of an adult are 6.3 cm apart.
        eye_level: height of the eyes in the frame, 0 (top) to 1.
        duration_s: shortest, typical and longest clip.
        noise: of the camera at gray level 128, in gray levels.
        jpeg_quality: 0 to 100.
        tones: range of skin tones, positions in `identity.SKIN_TONES`.
        supersampling: size of the painted portrait relative to the frame.
    """

    height: int
    width: int
    fps: float
    pixels_per_cm: float
    eye_level: float
    duration_s: tuple[float, float, float]
    noise: float
    jpeg_quality: int
    tones: tuple[float, float]
    supersampling: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.height, self.width


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedFrame:
    """A frame and its truth.

    Attributes:
        index: 0-based in the clip.
        image: RGB.
        state: of the face; `renderer.landmarks(state)` are the true mesh vertices in pixels.
    """

    index: int
    image: UInt8[np.ndarray, "h w 3"]
    state: FaceState


def make_renderer(subject: Subject, geometry: CorpusGeometry, anatomy_variation: float = 0.0) -> FaceRenderer:
    """Paints a subject (about half a second) and returns what moves it.

    Args:
        subject: who.
        geometry: how large.
        anatomy_variation: see `scenario.Difficulty`.
    """
    scale = geometry.supersampling
    size = (round(geometry.height * scale), round(geometry.width * scale))
    center = (geometry.width / 2 * scale, geometry.eye_level * geometry.height * scale)
    portrait = paint_portrait(subject, size, geometry.pixels_per_cm * scale, center)
    return FaceRenderer(subject, portrait, geometry.shape, scale, anatomy_variation)


def state_at(spec: ClipSpec, frame: int, gain: float = 1.0) -> FaceState:
    """The face in one frame of a clip; `gain` exaggerates every movement of an action unit."""
    return FaceState(
        activations={key: gain * float(path[frame]) for key, path in spec.activations.items()},
        lid_closure=(float(spec.lid_closure[frame, RIGHT]), float(spec.lid_closure[frame, LEFT])),
        gaze=(float(spec.gaze[frame, 0]), float(spec.gaze[frame, 1])),
        pose=tuple(spec.pose[frame].tolist()),
    )


def render_clip(
    renderer: FaceRenderer,
    camera: Camera,
    spec: ClipSpec,
    *,
    frames: Iterable[int] | None = None,
    gain: float = 1.0,
) -> Iterator[RenderedFrame]:
    """Renders a clip; each frame is the same whichever others are asked for.

    Args:
        renderer: of the clip's subject.
        camera: of the corpus.
        spec: what happens.
        frames: 0-based indices; all by default.
        gain: exaggerates every movement of an action unit.

    Yields:
        The frames, before any encoding.
    """
    for frame in range(spec.num_frames) if frames is None else frames:
        state = state_at(spec, frame, gain)
        noise = np.random.default_rng([spec.seed, frame])
        image = camera.expose(renderer.render(state), float(spec.exposure[frame]), noise)
        yield RenderedFrame(frame, image, state)
