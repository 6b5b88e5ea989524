"""Clips that a report shows: one of each class, and clips that were confused with another class."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datasets.release import why_not_shown
from mer_jax.config import Experiment
from mer_jax.data.clips import Clips
from mer_jax.data.views import find_view, make_face
from mer_jax.evaluation.mistakes import ConfusedPair, find_confused_pairs
from mer_jax.evaluation.results import ProtocolResult
from mer_jax.report.figures import FaceExample
from mer_jax.report.mistakes import ShownClip
from mer_jax.training.checkpoint import read_weights

PAIRS_SHOWN = 3


def hidden_faces(clips: Clips) -> dict[int, str]:
    """Why the face of a clip must not be shown, by position; clips that may be shown are not listed."""
    return {index: reason for index in range(len(clips)) if (reason := why_not_shown(clips, index))}


def pick_faces(clips: Clips, normalization: str, hidden: Collection[int] = ()) -> list[FaceExample]:
    """Picks the first clip of each class that may be shown, as stored and as network input.

    No clips for motion features.
    """
    examples = []
    if clips.kind != "faces":
        return examples
    for label, class_name in enumerate(clips.class_names):
        index = next((int(i) for i in np.flatnonzero(clips.label == label) if i not in hidden), None)
        if index is None:
            continue
        (fed,) = make_face(jnp.asarray(clips.pictures[index]), normalization)
        examples.append(
            FaceExample(
                class_name=class_name,
                clip_id=clips.clip_id[index],
                subject=clips.subject[index],
                stored=clips.pictures[index],
                fed=np.asarray(fed)[..., 0],
            )
        )
    return examples


def pick_errors(
    experiment: Experiment,
    clips: Clips,
    result: ProtocolResult,
    checkpoint_folder: Callable[[str, int, int], Path],
    hidden: Collection[int] = (),
) -> list[tuple[ConfusedPair, list[ShownClip]]]:
    """Picks the most confused pairs of classes, each with a recognised, a confused, and a recognised clip of the other.

    Of several clips, the one of which the network was most certain is shown, with the attention of the network of the
    fold that tested it.

    Args:
        experiment: Validated.
        clips: The corpus.
        result: Result of a protocol that tests original clips, without copies.
        checkpoint_folder: Protocol, seed and fold -> folder of the checkpoints.
        hidden: Positions of clips whose faces must not be shown.
    """
    if clips.kind != "faces":
        return []
    shown = []
    for pair in find_confused_pairs(result)[:PAIRS_SHOWN]:
        true, given = (result.class_names.index(name) for name in (pair.true, pair.given))
        rows = [
            _most_certain(result, find_answers(clips, result, *answer, hidden))
            for answer in ((true, true), (true, given), (given, given))
        ]
        show = [_show(experiment, clips, result, row, checkpoint_folder) for row in rows if row is not None]
        shown.append((pair, show))
    return shown


def find_answers(
    clips: Clips, result: ProtocolResult, true: int, given: int, hidden: Collection[int] = ()
) -> np.ndarray:
    """Finds original clips of one class that were predicted as one class, and may be shown.

    Args:
        clips: The corpus.
        result: Result of a protocol.
        true: Index of the true class.
        given: Index of the predicted class.
        hidden: Positions of clips whose faces must not be shown.

    Returns:
        Rows of the result, int [n].
    """
    rows = np.flatnonzero((result.true == true) & (result.predicted == given) & (result.copy == 0))
    return rows[[clips.clip_id.index(result.clip_id[row]) not in hidden for row in rows]]


def _most_certain(result: ProtocolResult, rows: np.ndarray) -> int | None:
    """The row of which the network was most certain; None without any."""
    if not len(rows):
        return None
    return int(rows[np.argmax(result.probabilities[rows, result.predicted[rows]])])


def _show(
    experiment: Experiment,
    clips: Clips,
    result: ProtocolResult,
    row: int,
    checkpoint_folder: Callable[[str, int, int], Path],
) -> ShownClip:
    index = clips.clip_id.index(result.clip_id[row])
    faces = clips.pictures[index : index + 1].astype(np.float32)
    frame = int(abs(faces[0] - faces[0, :1]).mean((1, 2)).argmax())
    folder = checkpoint_folder(result.protocol, int(result.seed[row]), int(result.fold[row]))
    inputs = find_view(experiment.model).make(jnp.asarray(faces), experiment.normalization)
    spatial, temporal = _attend(experiment.model, read_weights(folder), inputs, frame / (faces.shape[1] - 1))
    return ShownClip(
        clip_id=result.clip_id[row],
        true=result.class_names[result.true[row]],
        given=result.class_names[result.predicted[row]],
        certainty=float(result.probabilities[row, result.predicted[row]]),
        face=faces[0, frame].astype(np.uint8),
        frame=frame,
        spatial=spatial,
        temporal=temporal,
    )


def _attend(model: Any, weights: Any, inputs: tuple, when: float) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the spatial attention map at a moment (0 to 1 of the clip) and the temporal weights."""
    if weights is None:  # a checkpoint that cannot be read costs its picture, not the report
        return None, None
    _, sown = model.apply(weights, *inputs, is_training=False, mutable=["intermediates"])
    maps: dict[str, list[np.ndarray]] = {"spatial_map": [], "temporal_weights": []}
    paths = jax.tree_util.tree_leaves_with_path(sown.get("intermediates", {}))
    # By name, upper before lower, as the face is.
    for path, value in sorted(paths, key=lambda item: "lower" in jax.tree_util.keystr(item[0])):
        for name, found in maps.items():
            if name in jax.tree_util.keystr(path):
                found.append(np.asarray(value, np.float32)[0])
    spatial = [each[round(when * (len(each) - 1)), :, :, 0] for each in maps["spatial_map"]]
    temporal = [each.reshape(-1) for each in maps["temporal_weights"]]
    return (np.concatenate(spatial) if spatial else None), (np.mean(temporal, axis=0) if temporal else None)
