"""Files about one explained answer: page, strip picture, video, numbers and maps."""

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.data.provenance import mark_provenance, surrogate_mark
from mer_jax.explain.explanation import Explanation
from mer_jax.report.maps import blend_map, draw_strip
from mer_jax.report.page import load_template
from mer_jax.sizes import FACE_SIZE
from mer_jax.system.files import printable, write_atomically
from mer_jax.vision.overlay import OverlayWriter

NUMBERS, STRIP, VIDEO, MAPS, PAGE = (
    "explanation.json",
    "strip.png",
    "explanation.webm",
    "maps.npz",
    "explanation.html",
)
_FRAMES_PER_S = 6.0  # slow: a clip has about 18 frames
_ZOOM = 2  # of a face in the video


def write_explanation(explanation: Explanation, out: Path) -> Path:
    """Writes every file about an explanation.

    Args:
        explanation: What was found.
        out: Folder; created if it is missing.

    Returns:
        The page.

    Raises:
        DecodeError: OpenCV cannot write the video.
    """
    out.mkdir(parents=True, exist_ok=True)
    strip = draw_strip(explanation)
    partial = out / f".{VIDEO}.part.webm"
    try:
        _write_video(explanation, partial)
        partial.replace(out / VIDEO)
    finally:
        partial.unlink(missing_ok=True)
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **_collect_arrays(explanation))
    write_atomically(out / MAPS, arrays.getvalue())
    write_atomically(out / NUMBERS, json.dumps(explanation.to_plain(), indent=1) + "\n")
    write_atomically(out / STRIP, strip)
    return write_atomically(out / PAGE, render_page(explanation, strip))


def render_page(explanation: Explanation, strip: bytes) -> str:
    """Returns the page.

    Args:
        explanation: What was found.
        strip: From `draw_strip`.
    """
    return load_template("explanation.html.j2").render(
        title=printable(explanation.name),
        surrogate=explanation.provenance == "surrogate",
        notes=explanation.notes,
        explanation=explanation,
        text=[printable(line) for line in explanation.text],
        strip=base64.b64encode(strip).decode(),
        files=(STRIP, VIDEO, NUMBERS, MAPS),
    )


def _write_video(explanation: Explanation, path: Path) -> None:
    """The prepared face in slow motion, and beside it the same under the first map that passed its checks."""
    faces = explanation.faces
    if faces is None:
        assert explanation.picture is not None
        zoom = FACE_SIZE // explanation.picture.shape[0]
        grown = explanation.picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        margin = FACE_SIZE - grown.shape[0]
        faces = np.pad(grown, ((0, margin), (0, margin)))[None].repeat(2, axis=0)
    shown = explanation.drawn[:1]
    mark = surrogate_mark(explanation.provenance, after=" ")
    heading = f"{mark}why {explanation.class_name}: movement, not a feeling"
    size = FACE_SIZE * _ZOOM
    with contextlib.closing(OverlayWriter(path, 2 * size, size, _FRAMES_PER_S, heading)) as video:
        for index, face in enumerate(faces):
            plain = np.repeat(face[..., None], 3, axis=-1)
            frame = np.concatenate([plain, blend_map(plain, shown[0], explanation.box) if shown else plain], axis=1)
            name = shown[0].name.replace("_", " ") if shown else "no map passed its checks"
            video.write(frame.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1), (), f"{index + 1} of {len(faces)}: {name}")


def _collect_arrays(explanation: Explanation) -> dict[str, Any]:
    """Maps that passed their checks, temporal weights and the faces."""
    arrays: dict[str, Any] = {each.name: each.values for each in explanation.drawn}
    if explanation.temporal is not None:
        arrays |= {f"temporal_attention_{path}": each for path, each in explanation.temporal.weights.items()}
    if explanation.faces is not None:
        arrays["faces"] = explanation.faces
    if explanation.picture is not None:
        arrays["motion"] = explanation.picture
    arrays["provenance"] = np.array(mark_provenance(explanation.provenance))
    return arrays
