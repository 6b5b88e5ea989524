"""Prepared motion features as clips in memory, checked for how they are encoded; no build is needed."""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from datasets.folders import size_fault
from datasets.megc2019.flow_features import read_flow_features
from datasets.schemes import THREE
from mer_jax.data.clips import Clips
from mer_jax.data.motion import standardize, stretch
from mer_jax.errors import CorpusError, DecodeError
from mer_jax.sizes import MOTION_SIZE
from mer_jax.system.files import write_atomically
from mer_jax.vision.frames import FolderFrames
from mer_jax.vision.libraries import cv2

_FEWEST_CLIPS = 20  # below, the order of the channels cannot be told


def load_prepared(folder: Path) -> Clips:
    """Reads prepared motion features: `<corpus>/<subject>/<clip>.png`, and a label csv.

    Args:
        folder: See `datasets.megc2019.flow_features`.

    Returns:
        The clips in the classes negative, positive and surprise.

    Raises:
        CorpusError: No features are there, a picture has another form, the channels are in another order, or a class
            has no clip.
    """
    corpus = read_flow_features(folder, "MEGC 2019 motion features")
    records = corpus.records
    clips = Clips.from_arrays(
        np.stack([read_picture(record.frames[0]) for record in records]),
        np.array([THREE.index(record.labels["coarse_emotion"]) for record in records], np.int32),
        [record.subject for record in records],
        class_names=THREE,
        clip_ids=[record.clip_id for record in records],
        corpora=[record.corpus for record in records],
        corpus_name=corpus.name,
        provenance=corpus.provenance,
    )
    absent = [name for name, count in zip(THREE, clips.class_counts(), strict=True) if not count]
    if absent:
        raise CorpusError(
            f"no clip of class {', '.join(absent)} is in {corpus.annotation}; expected clips of all three."
        )
    if fault := find_channel_fault(clips.pictures):
        raise CorpusError(f"{corpus.root}: {fault}")
    return clips


def find_channel_fault(pictures: UInt8[np.ndarray, "n h w 3"]) -> str:
    """Describes a wrong channel order; empty if none is found, or if there are too few clips to tell.

    Strain has no sign, so its values are skewed; of the two flows the horizontal one changes its sign where left and
    right are exchanged, since most expressions move both sides of the face alike.
    """
    if len(pictures) < _FEWEST_CLIPS:
        return ""
    if (pictures == pictures[..., :1]).all():
        return (
            "the three channels are the same, as in gray pictures; expected horizontal flow, vertical flow and strain."
        )
    features = standardize(pictures).astype(np.float64)
    skew = (features**3).mean(axis=(0, 1, 2))
    expected = "expected horizontal flow, vertical flow and strain as red, green and blue"
    if skew.argmax() != 2:
        place = ("first", "second")[int(skew.argmax())]
        return f"the {place} channel looks like strain, which has no sign; {expected}. Are they stored as BGR?"
    symmetry = _symmetry(features)
    if symmetry[0] > symmetry[1]:
        return f"the first channel looks like vertical flow, as if two were exchanged; {expected}."
    return ""


def _symmetry(features: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "3"]:
    """Mean correlation of each channel with its mirror image."""
    return (features * features[:, :, ::-1]).mean(axis=(0, 1, 2))


def read_picture(path: Path) -> UInt8[np.ndarray, "28 28 3"]:
    """Reads one picture of motion features.

    Raises:
        CorpusError: It is damaged, or of another size.
    """
    try:
        if fault := size_fault(path, MOTION_SIZE):  # known before it is decoded: it may be a bomb
            raise CorpusError(f"{fault}.")
        picture = FolderFrames([path])[0]
    except (DecodeError, OSError) as error:
        raise CorpusError(f"{error} To leave such pictures out, build with --skip-unreadable.") from error
    if picture.shape != (MOTION_SIZE, MOTION_SIZE, 3):
        raise CorpusError(f"{path} is {picture.shape}; expected motion features of {MOTION_SIZE}x{MOTION_SIZE}.")
    if picture.dtype != np.uint8:
        raise CorpusError(f"{path} holds {picture.dtype}; expected 8 bits a channel.")
    return picture


def write_prepared(clips: Clips, folder: Path) -> Path:
    """Writes motion features in the layout that `load_prepared` reads, each channel stretched to 0 .. 255.

    Rendered ones are marked by a file SURROGATE.json, as rendered corpora are.

    Args:
        clips: Of kind "motion", in three classes; corpora are casme2, samm or smic.
        folder: Created if it is missing.
    """
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(("corpus", "subject", "clip", "label"))
    columns = zip(clips.corpus, clips.subject, clips.clip_id, clips.label.tolist(), clips.pictures, strict=True)
    for corpus, subject, clip, label, picture in columns:
        place = folder / corpus / subject / f"{clip}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, cv2.imencode(".png", np.ascontiguousarray(stretch(picture)[..., ::-1]))[1].tobytes())
        table.writerow((corpus, subject, clip, label))
    if clips.provenance == "surrogate":
        write_atomically(folder / "SURROGATE.json", '{"surrogate": true, "corpus": "megc2019"}\n')
    write_atomically(folder / "labels.csv", rows.getvalue())
    return folder
