"""Explains the answer of a trained model about one clip."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from mer_jax.errors import ConfigError, NoFaceError, ShapeError, near_names
from mer_jax.explain.attention import spatial_attention, temporal_attention
from mer_jax.explain.checks import DRAWS, CheckMaterial, check_map, prepare_checks
from mer_jax.explain.explanation import CheckedMap, Explanation, Shares
from mer_jax.explain.layout import Cells, Inputs, find_layout, still_inputs
from mer_jax.explain.linear import explain_linear, shape_features
from mer_jax.explain.maps import (
    Explained,
    contrast_of,
    integrate_gradients,
    occlude,
    score_without,
    weigh_features,
)
from mer_jax.explain.network import explain_network
from mer_jax.explain.wording import describe, suggest_finer
from mer_jax.prediction.classifier import LinearClassifier
from mer_jax.prediction.model import TrainedModel
from mer_jax.prediction.result import Prediction
from mer_jax.sizes import FACE_SIZE, MOTION_ZERO

if TYPE_CHECKING:
    from mer_jax.prediction.clip import ClipReader
    from mer_jax.vision.frames import FrameSource

_CHECK_STEPS = 16  # of integrated gradients of random networks, whose ranks need less precision

MapMaker = Callable[[Explained], Cells | None]


def explain_clip(
    model: TrainedModel,
    clip: "str | os.PathLike[str] | np.ndarray | FrameSource",
    *,
    onset: int | None = None,
    offset: int | None = None,
    apex: int | None = None,
    class_name: str | None = None,
    name: str | None = None,
    reader: "ClipReader | None" = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Explanation:
    """Explains the answer about one clip.

    Args:
        model: From `mer_jax.load`.
        clip: A path, frames, or one prepared clip, also as a batch of one; see `TrainedModel.predict`.
        onset: First frame of the expression in a video or in frames, 0-based; None for the first.
        offset: Last frame, 0-based, included; None for the last.
        apex: Frame of the largest movement, 0-based; None to spot it where the model needs it.
        class_name: What to explain; None takes the most probable class.
        name: Of the clip, for the reader; None takes that of the file.
        reader: Prepares videos; None takes that of the model.
        draws: Random networks at each depth of the check.
        seed: Of the checks.

    Raises:
        ModelError: A view that cannot be explained yet, or see `TrainedModel.reader`.
        NoFaceError: No face in the clip.
        ConfigError: An unknown class, or frames that the clip does not have.
        ShapeError: An array of another shape or type, or several clips.
        DecodeError: The video cannot be read.
    """
    check_explainable(model, class_name)
    options: dict[str, Any] = {"class_name": class_name, "draws": draws, "seed": seed}
    if isinstance(clip, np.ndarray) and (prepared := model.as_pictures(clip)) is not None:
        pictures, is_one = prepared
        if not is_one and len(pictures) != 1:
            raise ShapeError(f"got {len(pictures)} prepared clips; expected one, to explain it")
        if (onset, offset, apex) != (None, None, None):
            raise ShapeError("got onset, offset or apex with a prepared clip; expected them with frames or a video")
        one = clip if is_one else clip[0]
        faces = one if one.ndim == 3 and one.shape[-1] == FACE_SIZE else None
        return explain_pictures(model, pictures[0], faces=faces, name=name or "clip", **options)

    from mer_jax.prediction.clip import motion_pictures
    from mer_jax.vision.frames import FrameSource

    reader = reader or model.reader()
    prediction, faces = reader.read(clip, onset=onset, offset=offset, apex=apex)
    if faces is None:
        raise NoFaceError("; ".join(prediction.abstained))
    if name is None:
        name = clip.name if isinstance(clip, FrameSource) else "frames" if isinstance(clip, np.ndarray) else str(clip)
    is_motion = model.description.view == "motion"
    pictures = motion_pictures(faces[None], reader.options.crop)[0] if is_motion else faces
    return explain_pictures(model, pictures, faces=faces, name=name, prediction=prediction, **options)


def explain_pictures(
    model: TrainedModel,
    pictures: UInt8[np.ndarray, "..."],
    *,
    faces: UInt8[np.ndarray, "t 128 128"] | None = None,
    name: str = "clip",
    prediction: Prediction | None = None,
    class_name: str | None = None,
    draws: int = DRAWS,
    depths: int = 3,
    signed_only: bool = False,
    seed: int = 0,
    explained: Explained | None = None,
) -> Explanation:
    """Explains the answer about one clip as the model stores it.

    Args:
        model: From `mer_jax.load`.
        pictures: Prepared faces [t, 128, 128], or for a model of motion features [28, 28, 3].
        faces: What to draw the maps on; None takes the pictures.
        name: Of the clip, for the reader.
        prediction: The answer, where it is known.
        class_name: What to explain; None takes the most probable class.
        draws: Random networks at each depth of the check.
        depths: Steps of the cascade, see `prepare_checks`.
        signed_only: Leaves Grad-CAM and attention out.
        seed: Of the checks.
        explained: From `make_explained` for another clip of the model, so that nothing is compiled again.

    Raises:
        ModelError: A view that cannot be explained yet.
        ConfigError: An unknown class.
        ShapeError: Pictures of another type or shape.
    """
    check_explainable(model, class_name)
    prediction = prediction or model.answer(pictures[None])[0]
    class_index = model.class_names.index(class_name or prediction.best_guess or model.class_names[0])
    inputs = make_inputs(model, pictures)
    explained = explained or make_explained(model, inputs)
    contrast = contrast_of(class_index, len(model.class_names))
    layout = explained.layout
    still = still_inputs(layout, inputs)
    whole = np.stack([np.ones((layout.rows, layout.columns)), np.zeros((layout.rows, layout.columns))])
    logits = explained.logits(inputs, still, whole)
    halves = np.stack([np.zeros_like(layout.half("upper")), layout.half("upper"), layout.half("lower")])
    intact, without_upper, without_lower = score_without(explained, inputs, contrast, halves).tolist()
    attribution = integrate_gradients(explained, inputs, contrast)
    material = prepare_checks(explained, inputs, contrast, draws=draws, depths=depths, seed=seed)
    values: dict[str, Cells | None] = {
        "occlusion": occlude(explained, inputs, contrast),
        "integrated_gradients": attribution.cells,
    }
    if not signed_only:
        values |= {
            "grad_cam": weigh_features(explained, inputs, contrast),
            "spatial_attention": spatial_attention(explained, inputs),
        }
    if layout.has_frames and faces is None:
        faces = pictures
    explanation = Explanation(
        name=name,
        model=model.description.name,
        provenance=model.description.provenance,
        class_name=model.class_names[class_index],
        prediction=prediction,
        logits=dict(zip(model.class_names, logits[0].tolist(), strict=True)),
        score=float(logits[0] @ contrast),
        still_score=float(logits[1] @ contrast),
        shares=Shares(intact - without_upper, intact - without_lower),
        maps=_check_maps(values, material),
        gradient_total=attribution.total,
        gradient_steps=attribution.steps,
        temporal=None if signed_only else temporal_attention(explained, inputs),
        finer=_finer(model),
        layout=layout,
        faces=faces,
        picture=None if layout.has_frames else _draw_motion(pictures),
        box=_place_box(model, faces),
        shown=_choose_frames(faces, is_apex_known=not layout.has_frames),
    )
    return dataclasses.replace(explanation, text=describe(explanation))


def check_explainable(model: TrainedModel, class_name: str | None = None) -> None:
    """Refuses a model without maps, or a class that it does not have, before a clip is prepared.

    Args:
        model: From `mer_jax.load`.
        class_name: What is to be explained; None for the most probable class.

    Raises:
        ModelError: A view that cannot be explained yet.
        ConfigError: An unknown class.
    """
    classifier = model.classifier
    if isinstance(classifier, LinearClassifier):
        explain_linear(classifier.maps, model.description.view, type(classifier.baseline).__name__)
    else:
        find_layout(model.description.view)
    if class_name is not None and class_name not in model.class_names:
        raise ConfigError(f"the model has no class {class_name!r}; {near_names(class_name, model.class_names)}")


def make_inputs(model: TrainedModel, pictures: UInt8[np.ndarray, "..."]) -> Inputs:
    """Returns what a network, or the linear part of a classifier, is given of one clip.

    Args:
        model: From `mer_jax.load`.
        pictures: One clip as the model stores it.
    """
    classifier = model.classifier
    if isinstance(classifier, LinearClassifier):
        return shape_features(classifier.baseline.features(pictures[None]))
    made = classifier.view.make(jnp.asarray(pictures, jnp.float32), model.description.normalization)
    return tuple(np.asarray(each, np.float32) for each in made)


def make_explained(model: TrainedModel, inputs: Inputs) -> Explained:
    """Makes a model explainable.

    Args:
        model: From `mer_jax.load`.
        inputs: Of any clip, for their shapes.

    Raises:
        ModelError: A view that cannot be explained yet.
    """
    classifier, view = model.classifier, model.description.view
    if isinstance(classifier, LinearClassifier):
        return explain_linear(classifier.maps, view, type(classifier.baseline).__name__)
    return explain_network(classifier.module, classifier.members, view, inputs)


def map_makers(inputs: Inputs, contrast: np.ndarray) -> dict[str, tuple[str, str, MapMaker]]:
    """Title, meaning and maker of every map, by name.

    Args:
        inputs: Of one clip.
        contrast: What is explained of it, see `contrast_of`.
    """
    return {
        "occlusion": (
            "Occlusion",
            "how far the score falls when this cell alone loses its motion; negative cells speak against the class",
            lambda model: occlude(model, inputs, contrast),
        ),
        "integrated_gradients": (
            "Integrated gradients",
            "share of the cell in what the motion adds to the score; the cells add up to it",
            lambda model: integrate_gradients(model, inputs, contrast, _CHECK_STEPS, tolerance=np.inf).cells,
        ),
        "grad_cam": (
            "Grad-CAM on the pool's output (what the block weighs)",
            "features of the pool, weighted by their mean gradient",
            lambda model: weigh_features(model, inputs, contrast),
        ),
        "spatial_attention": (
            "Spatial attention (what the block weighs)",
            "what the features of this place are multiplied by, mean over the time steps",
            lambda model: spatial_attention(model, inputs),
        ),
    }


def _check_maps(values: Mapping[str, Cells | None], material: CheckMaterial) -> tuple[CheckedMap, ...]:
    makers = map_makers(material.inputs, material.contrast)
    return tuple(
        CheckedMap(name, title, meaning, cells, check_map(cells, make, material))
        for name, (title, meaning, make) in makers.items()
        if (cells := values.get(name)) is not None
    )


def _finer(model: TrainedModel) -> tuple[str, ...]:
    classifier = model.classifier
    if isinstance(classifier, LinearClassifier):
        return ()
    return suggest_finer(classifier.module, model.description.num_frames)


def _place_box(model: TrainedModel, faces: np.ndarray | None) -> tuple[int, int, int, int]:
    vision, border = model.description.vision, 0
    if model.description.view == "motion" and faces is not None and vision is not None and vision.crop == "eyes":
        from mer_jax.vision.crop import EYES_BORDER  # brings OpenCV

        border = EYES_BORDER
    return border, border, FACE_SIZE - border, FACE_SIZE - border


def _choose_frames(faces: np.ndarray | None, *, is_apex_known: bool) -> tuple[int, int, int]:
    if faces is None:
        return 0, 0, 0
    if is_apex_known:  # sampling `apex` puts it there
        return 0, len(faces) // 2, len(faces) - 1
    change = np.abs(faces.astype(np.float32) - faces[0]).mean(axis=(1, 2))
    return 0, int(change.argmax()), len(faces) - 1


def _draw_motion(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Length of the flow, 0 to 255."""
    flow = picture[..., :2].astype(np.float64) - MOTION_ZERO
    return np.clip(2 * np.hypot(flow[..., 0], flow[..., 1]), 0, 255).astype(np.uint8)
