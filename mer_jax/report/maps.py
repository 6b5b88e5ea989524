"""Pictures of explanations: maps laid over the prepared face."""

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer_jax.data.provenance import surrogate_mark
from mer_jax.explain.explanation import CheckedMap, Explanation
from mer_jax.prediction.usage import MEANING, SURROGATE_NOTE
from mer_jax.report.figures import DPI, GRAY, INK, RUST, finish_figure, make_figure
from mer_jax.sizes import FACE_SIZE
from mer_jax.system.files import printable

_STRONGEST_ALPHA = 0.75
_FACE_COLUMNS = 3  # of a row in the report of a run: the face alone, and two maps


def draw_strip(explanation: Explanation) -> bytes:
    """Draws onset, apex and offset of the face, a row for each map that passed its checks; the others as text.

    Args:
        explanation: What was found.

    Returns:
        A PNG.
    """
    columns = _pick_pictures(explanation)
    rows: list[CheckedMap | None] = [*explanation.drawn] or [None]
    refused = [
        f"{each.title}: not drawn, because {'; and '.join(each.check.reasons)}."
        for each in explanation.maps
        if not each.check.is_passed
    ]
    width = max(7.2, 2.4 * len(columns) + 1.0)
    foot = textwrap.wrap(" ".join([*refused, *_foot(explanation)]), int(width * 16))
    size = (width, 2.5 * len(rows) + 0.9 + 0.16 * len(foot))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, checked in enumerate(rows):
        for axis, (title, picture) in zip(axes[row], columns, strict=True):
            _show_face(axis, picture, checked, explanation.box)
            if row == 0:
                axis.set_title(title, fontsize=9, color=INK)
        if checked is not None:
            axes[row, 0].set_ylabel(textwrap.fill(checked.title, 24), fontsize=9, color=INK)
            bar = figure.colorbar(axes[row, -1].images[-1], ax=axes[row], shrink=0.8, aspect=16, pad=0.01)
            bar.ax.tick_params(labelsize=7)
    mark = surrogate_mark(explanation.provenance, after=" model · ")
    title = f"{mark}why {explanation.class_name}: {printable(explanation.name)}".replace("$", r"\$")
    figure.suptitle(title, fontsize=12, color=INK, weight="bold")
    figure.supxlabel("\n".join(foot).replace("$", r"\$"), fontsize=7, color=RUST if mark else GRAY)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def draw_explained(explanations: Sequence[Explanation], provenance: str) -> bytes:
    """Draws a row for each explained clip of a run: the face at its apex, then under each signed map.

    Args:
        explanations: Of recognised clips, by networks that had not seen their people.
        provenance: Of the corpus.

    Returns:
        A PNG.
    """
    figure, axes = make_figure(len(explanations), _FACE_COLUMNS, size=(8.4, 2.9 * len(explanations) + 0.8))
    for row, explanation in zip(axes, explanations, strict=True):
        assert explanation.faces is not None  # runs on motion features have no such picture
        apex = explanation.shown[1]
        signed = [each for each in explanation.maps if each.is_signed]
        for axis, checked in zip(row, [None, *signed], strict=True):
            drawn = checked if checked is not None and checked.check.is_passed else None
            _show_face(axis, explanation.faces[apex], drawn, explanation.box)
            title = f"frame {apex + 1} of {len(explanation.faces)}" if checked is None else checked.title
            axis.set_title(title, fontsize=9, color=INK)
            if checked is not None and drawn is None:
                reasons = textwrap.fill("not drawn: " + "; ".join(checked.check.reasons), 52)
                axis.set_xlabel(reasons, fontsize=6, color=RUST)
        share = explanation.shares.upper_share
        halves = "" if share is None else f"\n{100 * share:.0f} % upper half"
        row[0].set_ylabel(f"{explanation.class_name}\n{printable(explanation.name)}{halves}", fontsize=9, color=INK)
    return finish_figure(figure, "What the answers rest on: red speaks for the class, blue against it", provenance)


def _show_face(
    axis: Axes, picture: UInt8[np.ndarray, "h w"], checked: CheckedMap | None, box: tuple[int, int, int, int]
) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, FACE_SIZE, FACE_SIZE, 0))
    if checked is not None:
        _lay_map(axis, checked, box)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlim(0, FACE_SIZE)
    axis.set_ylim(FACE_SIZE, 0)
    axis.spines[:].set(color=GRAY, linewidth=0.5)


def _foot(explanation: Explanation) -> list[str]:
    signed = "Red cells speak for the class, blue ones against it." if explanation.drawn else ""
    notes = [SURROGATE_NOTE] if explanation.provenance == "surrogate" else []
    return [signed, *notes, MEANING]


def _pick_pictures(explanation: Explanation) -> list[tuple[str, UInt8[np.ndarray, "h w"]]]:
    if explanation.faces is None:
        assert explanation.picture is not None
        return [("motion from onset to apex", explanation.picture)]
    used = explanation.prediction.frames_used
    pictures, seen = [], set()
    for name, index in zip(("onset", "apex", "offset"), explanation.shown, strict=True):
        if index in seen:  # some models take two frames
            continue
        seen.add(index)
        number = f"frame {used[index]} of the video" if used else f"frame {index + 1} of {len(explanation.faces)}"
        pictures.append((f"{name}, {number}", explanation.faces[index]))
    return pictures


def _scale(checked: CheckedMap) -> tuple[str, float, float, Float[np.ndarray, "r c"]]:
    """Colours, limits and opacity of a map."""
    values = checked.values
    reach = max(float(np.abs(values).max()), 1e-12)
    if checked.is_signed:
        return "RdBu_r", -reach, reach, _STRONGEST_ALPHA * np.abs(values) / reach
    low = float(values.min())
    return "Reds", low, low + max(reach - low, 1e-12), _STRONGEST_ALPHA * (values - low) / max(reach - low, 1e-12)


def _lay_map(axis: Axes, checked: CheckedMap, box: tuple[int, int, int, int]) -> None:
    colours, low, high, alpha = _scale(checked)
    left, top, right, bottom = box
    extent = (left, right, bottom, top)
    axis.imshow(checked.values, cmap=colours, vmin=low, vmax=high, alpha=alpha, extent=extent, interpolation="nearest")


def blend_map(
    face: UInt8[np.ndarray, "h w 3"], checked: CheckedMap, box: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays a map over a face, pixel by pixel.

    Args:
        face: RGB.
        checked: The map.
        box: Its left, top, right and bottom, pixels.
    """
    colours, low, high, alpha = _scale(checked)
    left, top, right, bottom = box
    rows = np.arange(bottom - top) * checked.values.shape[0] // (bottom - top)
    columns = np.arange(right - left) * checked.values.shape[1] // (right - left)
    paint = np.asarray(colormaps[colours]((checked.values - low) / (high - low)))[..., :3] * 255
    paint, share = paint[np.ix_(rows, columns)], alpha[np.ix_(rows, columns)][..., None]
    blended = face.astype(np.float64)
    blended[top:bottom, left:right] += share * (paint - blended[top:bottom, left:right])
    return np.clip(np.round(blended), 0, 255).astype(np.uint8)
