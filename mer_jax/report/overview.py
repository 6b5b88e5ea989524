"""One tested clip in one picture: the recording, what the network is given, and what it answers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure, SubFigure

from mer_jax.report.figures import BLUE, DPI, GRAY, INK, FaceExample, choose_scale, finish_figure, part_halves

FRAMES_SHOWN = 3  # of the network's input


@dataclass(frozen=True, eq=False)
class AnsweredClip:
    """One clip of the test set, with the answer of the network that had not seen its person.

    Attributes:
        face: The clip as it is stored and as the network is given it.
        recording: One frame of the recording, at the movement's largest extent, RGB or gray.
        frame: Index of that frame among the frames of `face`, 0-based.
        class_names: All classes.
        probabilities: Of each class, as in `predictions.csv`.
        caption: Network, protocol and score of the run, one or two short lines.
    """

    face: FaceExample
    recording: UInt8[np.ndarray, "h w *c"]
    frame: int
    class_names: tuple[str, ...]
    probabilities: Float[np.ndarray, " k"]
    caption: str


def draw_overview(clip: AnsweredClip, provenance: str) -> bytes:
    """Draws the recording, the network's input at a few frames, and the class probabilities.

    Args:
        clip: The clip.
        provenance: "licensed" or "surrogate"; the latter is marked.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(8.4, 3.3), dpi=DPI * 2 / 3, layout="constrained", facecolor="white")
    left, middle, right = np.asarray(figure.subfigures(1, 3, width_ratios=(1.0, 1.75, 1.2)))
    _draw_recording(left, clip)
    _draw_input(middle, clip)
    _draw_answer(right, clip)
    return finish_figure(figure, "from a face to an answer", provenance)


def _draw_recording(part: SubFigure, clip: AnsweredClip) -> None:
    axis = part.subplots()
    axis.imshow(clip.recording, cmap="gray", vmin=0, vmax=255)
    axis.set_axis_off()
    part.suptitle(f"1. The recording\nframe {clip.frame + 1} of {len(clip.face.stored)}", fontsize=10, color=INK)


def _draw_input(part: SubFigure, clip: AnsweredClip) -> None:
    fed = part_halves(clip.face.fed)
    scale = choose_scale([fed])
    last = len(fed) - 1
    indices = sorted({round(last * 0.25), clip.frame, last})[:FRAMES_SHOWN]
    axes = part.subplots(1, len(indices), squeeze=False)[0]
    for axis, index in zip(axes, indices, strict=True):
        axis.imshow(fed[index], **scale)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set(color=GRAY, linewidth=0.5)
        axis.set_xlabel(f"frame {index + 1}", fontsize=8, color=GRAY)
    part.suptitle("2. What the network sees\nchange since the onset, upper and lower half", fontsize=10, color=INK)


def _draw_answer(part: SubFigure, clip: AnsweredClip) -> None:
    axis = part.subplots()
    places = np.arange(len(clip.class_names))
    colors = [BLUE if name == clip.face.class_name else GRAY for name in clip.class_names]
    axis.barh(places, clip.probabilities, color=colors, height=0.6)
    for place, share in zip(places.tolist(), clip.probabilities, strict=True):
        fits = share > 0.8  # inside the bar, since there is no room beside it
        place_x, side, ink = (share - 0.02, "right", "white") if fits else (share + 0.02, "left", INK)
        axis.text(place_x, place, f"{share:.2f}", va="center", ha=side, fontsize=9, color=ink)
    names = [f"{name}\n(true)" if name == clip.face.class_name else name for name in clip.class_names]
    axis.set_yticks(places, names, fontsize=9)
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.set_xlabel(clip.caption, fontsize=8, color=INK)
    part.suptitle("3. What it answers\nprobability of each class", fontsize=10, color=INK)
