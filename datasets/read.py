"""Built clips, from disk into memory."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from mer_jax.data.clips import Clips
from mer_jax.errors import CorpusError

FACES = "faces"
FLOW = "flow"  # also a key of the metadata where motion features were built
SPLIT = "clips"  # TFDS reserves "all"
# What a build has to say of itself to be read.
_NEEDED = ("corpus", "class_names", "provenance", "checksums", "skipped", "source_fingerprint")
_REBUILD = "Delete that folder and build again; frames that are prepared already are not prepared anew."


def checksum_clip(clip_id: str, subject: str, corpus: str, class_name: str, *arrays: UInt8[np.ndarray, "..."]) -> str:
    """Identifies one clip with all that matters about it, in 32 hexadecimal digits.

    Args:
        clip_id: as built.
        subject: as built.
        corpus: as built.
        class_name: as built.
        *arrays: the faces, or the motion features.
    """
    digest = hashlib.sha256("\0".join((clip_id, subject, corpus, class_name)).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def load_clips(builder_dir: str | os.PathLike[str]) -> Clips:
    """Reads a built corpus, and compares every clip with the checksum that was taken when it was built.

    Args:
        builder_dir: what `datasets.build.build` returned: `<data_dir>/<corpus>/<config>/<version>`.

    Returns:
        all clips, sorted by clip id. Their fingerprint depends on every pixel, label and name.

    Raises:
        CorpusError: nothing was built there, or what was built has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    if FLOW in metadata:
        raise CorpusError(f"{builder_dir} holds motion features and no clips; `load_flow_features` reads them.")
    pictures, fields = _load(builder_dir, metadata, FACES)
    return Clips(pictures=pictures, **fields)


def load_flow_features(builder_dir: str | os.PathLike[str]) -> Clips:
    """Reads built motion features, and compares each with the checksum that was taken when it was built.

    Args:
        builder_dir: `<data_dir>/megc2019/flow_features/<version>`.

    Returns:
        all features, sorted by clip id.

    Raises:
        CorpusError: no features were built there, or what was built has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    if FLOW not in metadata:
        raise CorpusError(f"{builder_dir} holds clips and no motion features; `load_clips` reads them.")
    pictures, fields = _load(builder_dir, metadata, FLOW)
    return Clips(pictures=pictures, **fields)


def _load(
    builder_dir: str | os.PathLike[str], metadata: dict[str, Any], name: str
) -> tuple[np.ndarray, dict[str, Any]]:
    clip_ids = tuple(sorted(metadata["checksums"]))
    position_of = {clip_id: position for position, clip_id in enumerate(clip_ids)}
    label = np.empty(len(clip_ids), np.int32)
    subject, corpus = [""] * len(clip_ids), [""] * len(clip_ids)
    pictures = np.empty(0, np.uint8)
    for clip_id, example in compared_examples(builder_dir):
        if not len(pictures):
            pictures = np.empty((len(clip_ids), *example[name].shape), np.uint8)
        position = position_of[clip_id]
        pictures[position] = example[name]
        label[position] = example["label"]
        subject[position], corpus[position] = example["subject"].decode(), example["corpus"].decode()

    content = json.dumps([metadata["provenance"], metadata["class_names"], sorted(metadata["checksums"].items())])
    return pictures, {
        "label": label,
        "subject": tuple(subject),
        "clip_id": clip_ids,
        "corpus": tuple(corpus),
        "class_names": tuple(metadata["class_names"]),
        "provenance": metadata["provenance"],
        "fingerprint": hashlib.sha256(content.encode()).hexdigest()[:32],
        "corpus_name": metadata["corpus"],
    }


def compared_examples(builder_dir: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads a built corpus clip by clip, in the order on disk, and compares each with its checksum.

    Args:
        builder_dir: `<data_dir>/<corpus>/<config>/<version>`.

    Yields:
        clip id and example, as `datasets.clip_builder` describes its features; text is bytes.

    Raises:
        CorpusError: nothing was built there, or what was built has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    checksums, class_names = metadata["checksums"], metadata["class_names"]
    try:
        source = tfds.builder_from_directory(builder_dir).as_data_source(SPLIT)
        if len(source) != len(checksums):
            raise CorpusError(f"{len(source)} clips are there, {len(checksums)} were built.")
        left = dict(checksums)
        for index in range(len(source)):
            example = source[index]
            clip_id = example["clip_id"].decode()
            checksum = checksum_clip(
                clip_id,
                example["subject"].decode(),
                example["corpus"].decode(),
                class_names[example["label"]],
                example[FLOW if FLOW in metadata else FACES],
            )
            if checksum != left.pop(clip_id, None):
                raise CorpusError(f"clip {clip_id!r} is not what was built: its checksum differs.")
            yield clip_id, example
    except CorpusError as error:
        raise CorpusError(f"{builder_dir}: {error} {_REBUILD}") from error
    # TFDS and array_record say "damaged" in many ways, and never in which folder.
    except Exception as error:
        raise CorpusError(f"{builder_dir} cannot be read: {type(error).__name__}: {error}. {_REBUILD}") from error


def read_metadata(builder_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what a build says about itself: provenance, options, fingerprints, report, quality, clips left out.

    Raises:
        CorpusError: nothing was built there, or what was built has been damaged since.
    """
    path = Path(builder_dir) / "metadata.json"
    if not Path(builder_dir).is_dir():
        raise CorpusError(f"nothing is built in {builder_dir}. Build it first: `python -m datasets.build`.")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}. {_REBUILD}") from error
    lacking = [key for key in _NEEDED if not isinstance(metadata, dict) or key not in metadata]
    if lacking:
        raise CorpusError(
            f"{path} does not say {', '.join(lacking)}: another version of this program built it. {_REBUILD}"
        )
    return metadata
