"""Where clips are shot: a corpus' camera geometry, a subject before it, and the frames of a clip."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, UInt8

from datasets.surrogate.camera import Camera
from datasets.surrogate.identity import Subject
from datasets.surrogate.mesh import LEFT_EYE, RIGHT_EYE
from datasets.surrogate.portrait import Lamps, paint_portrait
from datasets.surrogate.renderer import FaceRenderer, FaceState
from datasets.surrogate.scenario import LEFT, RIGHT, ClipSpec
from mer_jax.vision.libraries import cv2

FACE_EYES = ((0.31, 0.37), (0.69, 0.37))  # where a registered face has its eyes, fractions of (width, height)


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
        is_gray: whether frames are stored in one channel.
        lamps: how the face is lit in version 2 of the surrogate.
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
    is_gray: bool = False
    lamps: Lamps = dataclasses.field(default_factory=Lamps)

    def scaled(self, scale: float) -> "CorpusGeometry":
        """The same picture with fewer pixels; 1 changes nothing."""
        return dataclasses.replace(
            self,
            height=round(self.height * scale),
            width=round(self.width * scale),
            pixels_per_cm=self.pixels_per_cm * scale,
        )

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


def make_renderer(
    subject: Subject, geometry: CorpusGeometry, anatomy_variation: float = 0.0, *, version: int = 1
) -> FaceRenderer:
    """Paints a subject (about half a second) and returns what moves it.

    Args:
        subject: who.
        geometry: how large.
        anatomy_variation: see `scenario.Difficulty`.
        version: of the surrogate; 2 paints rougher skin, lights the face as the laboratory does, and lets skin drag
            its neighbourhood.
    """
    scale = geometry.supersampling
    size = (round(geometry.height * scale), round(geometry.width * scale))
    center = (geometry.width / 2 * scale, geometry.eye_level * geometry.height * scale)
    lamps = None if version == 1 else geometry.lamps
    portrait = paint_portrait(subject, size, geometry.pixels_per_cm * scale, center, lamps=lamps)
    return FaceRenderer(subject, portrait, geometry.shape, scale, anatomy_variation, has_drag=version > 1)


def state_at(spec: ClipSpec, frame: int, gain: float = 1.0) -> FaceState:
    """The face in one frame of a clip; `gain` exaggerates every movement of an action unit."""
    return FaceState(
        # A unit at rest moves nothing and would cost as much as one that does.
        activations={key: gain * float(path[frame]) for key, path in spec.activations.items() if path[frame]},
        lid_closure=(float(spec.lid_closure[frame, RIGHT]), float(spec.lid_closure[frame, LEFT])),
        gaze=(float(spec.gaze[frame, 0]), float(spec.gaze[frame, 1])),
        pose=tuple(spec.pose[frame].tolist()),
    )


def render_clip(
    renderer: FaceRenderer, camera: Camera, spec: ClipSpec, *, frames: Iterable[int] | None = None, gain: float = 1.0
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
        light = renderer.render(state)
        if spec.tilt is not None:
            light = _tilt_light(light, spec.tilt[frame], renderer.iod)
        image = camera.expose(light, float(spec.exposure[frame]), noise)
        yield RenderedFrame(frame, image, state)


def _tilt_light(light: np.ndarray, tilt: np.ndarray, iod: float) -> np.ndarray:
    """Brightens one side of the picture; `tilt` is the relative change over 1.6 IOD (10 cm), (right, down)."""
    height, width = light.shape[:2]
    right = (np.arange(width, dtype=np.float32) - width / 2) * np.float32(tilt[0] / (1.6 * iod))
    down = (np.arange(height, dtype=np.float32) - height / 2) * np.float32(tilt[1] / (1.6 * iod))
    return light * (1 + right[None] + down[:, None])[..., None]


def place_face(renderer: FaceRenderer, onset: FaceState, shape: tuple[int, int]) -> Float[np.ndarray, "2 3"]:
    """Finds how a frame is turned, scaled and moved so that the eyes come to lie at `FACE_EYES`.

    Args:
        renderer: of the clip's subject.
        onset: the face in the clip's first frame, which decides for all of them.
        shape: height and width of the registered face.
    """
    points = renderer.landmarks(onset)
    right, left = (points[list(ring)].mean(0) for ring in (RIGHT_EYE, LEFT_EYE))
    wanted_right, wanted_left = (np.multiply(eye, (shape[1] - 1, shape[0] - 1)) for eye in FACE_EYES)
    # A similarity is one complex number: the line between the eyes onto the line that is wanted.
    turn = complex(*(wanted_left - wanted_right)) / complex(*(left - right))
    linear = np.array([(turn.real, -turn.imag), (turn.imag, turn.real)])
    return np.column_stack([linear, wanted_right - linear @ right])


def cut_face(
    image: UInt8[np.ndarray, "h w 3"], transform: Float[np.ndarray, "2 3"], shape: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Cuts the registered face out of a frame; `transform` and `shape` as in `place_face`."""
    return cv2.warpAffine(image, transform, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
