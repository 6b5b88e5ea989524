"""Reads built clips into memory and applies a class scheme."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from datasets.long_videos import LONG
from datasets.records import ClipRecord
from datasets.release import find_release
from mer_jax.data.action_units import encode_action_units
from mer_jax.data.clips import Clips
from mer_jax.errors import CorpusError
from mer_jax.system.files import is_sealed

SPLIT = "clips"  # TFDS reserves "all"
# What a build has to say about itself to be read.
_NEEDED = ("corpus", "stored", "labels", "provenance", "checksums", "skipped", "source_fingerprint", "checksum")
_REBUILD = "Delete that folder and build again; frames that are prepared already are not prepared again."


def checksum_example(example: Mapping[str, Any]) -> str:
    """Identifies one example by everything in it, in 32 hexadecimal digits.

    Args:
        example: Features as they are written or read: text, integers and arrays.
    """
    digest = hashlib.sha256()
    for name in sorted(example):
        value = example[name]
        if isinstance(value, np.ndarray):
            digest.update(f"{name} {value.dtype} {value.shape}\n".encode() + np.ascontiguousarray(value).tobytes())
        else:
            text = value.decode() if isinstance(value, bytes) else value
            digest.update(f"{name} {text if isinstance(text, str) else int(text)!r}\n".encode())
    return digest.hexdigest()[:32]


def load_clips(builder_dir: str | os.PathLike[str], *, scheme: str | None = None) -> Clips:
    """Loads a built corpus in the classes of a scheme; compares every clip with its checksum.

    Args:
        builder_dir: Result of `datasets.build.build`: `<data_dir>/<corpus>/<part>/<version>`.
        scheme: A class scheme of the corpus; None takes the default. Clips that it leaves aside are not loaded.

    Returns:
        The clips sorted by clip id; whole faces, or motion features where those were built. Their fingerprint depends
        on every pixel, label and name.

    Raises:
        CorpusError: Nothing is built there, it has been damaged since, or no clip has a class of the scheme.
        ConfigError: The corpus has no such scheme.
    """
    metadata = read_metadata(builder_dir)
    chosen = find_release(metadata["corpus"]).find_scheme(scheme)
    clip_ids = sorted(metadata["checksums"])
    position_of = {clip_id: position for position, clip_id in enumerate(clip_ids)}
    records: list[ClipRecord | None] = [None] * len(clip_ids)
    label = np.full(len(clip_ids), -1, np.int32)
    pictures = np.empty(0, np.uint8)
    landmarks = np.empty((len(clip_ids), 68, 2), np.float32)
    for record, example in compared_examples(builder_dir):
        picture = example[metadata["stored"]]
        if not len(pictures):
            pictures = np.empty((len(clip_ids), *picture.shape), np.uint8)
        position = position_of[record.clip_id]
        class_name = chosen.classify(record)
        if class_name is not None:
            records[position], label[position] = record, chosen.class_names.index(class_name)
            pictures[position], landmarks[position] = picture, example["landmarks"]
    taken = [record for record in records if record is not None]
    if not taken:
        raise CorpusError(
            f"{builder_dir} has no clip with a class of the scheme {chosen.name} ({', '.join(chosen.class_names)}); "
            "use another scheme of the corpus."
        )
    checked = [(record.clip_id, metadata["checksums"][record.clip_id], chosen.classify(record)) for record in taken]
    content = json.dumps([metadata["provenance"], chosen.class_names, checked])
    return Clips(
        pictures=pictures if len(taken) == len(clip_ids) else pictures[label >= 0],
        label=label[label >= 0],
        subject=tuple(record.subject for record in taken),
        clip_id=tuple(record.clip_id for record in taken),
        corpus=tuple(record.corpus for record in taken),
        class_names=chosen.class_names,
        provenance=metadata["provenance"],
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:32],
        corpus_name=metadata["corpus"],
        action_units=encode_action_units([record.labels.get("action_units", "") for record in taken]),
        landmarks=landmarks[label >= 0],
    )


def compared_examples(builder_dir: str | os.PathLike[str]) -> Iterator[tuple[ClipRecord, dict[str, Any]]]:
    """Reads a built corpus clip by clip, in the order on disk, and compares each with its checksum.

    Args:
        builder_dir: `<data_dir>/<corpus>/<part>/<version>`.

    Yields:
        The clip with its labels, without frames, and the example, as `datasets.builder` describes its features.

    Raises:
        CorpusError: Nothing is built there, or it has been damaged since.
    """
    metadata = read_metadata(builder_dir)
    left = dict(metadata["checksums"])
    try:
        source = tfds.builder_from_directory(builder_dir).as_data_source(SPLIT)
        if len(source) != len(left):
            raise CorpusError(f"{len(source)} clips are there, {len(left)} were built.")
        for index in range(len(source)):
            example = source[index]
            texts = {name: value.decode() for name, value in example.items() if isinstance(value, bytes)}
            if checksum_example(example) != left.pop(texts["clip_id"], None):
                raise CorpusError(f"clip {texts['clip_id']!r} is not what was built: its checksum differs.")
            if texts["provenance"] != metadata["provenance"]:
                raise CorpusError(f"clip {texts['clip_id']!r} is {texts['provenance']}, not {metadata['provenance']}.")
            labels = {field: texts[field] for field in metadata["labels"]}
            record = ClipRecord(texts["clip_id"], texts["subject"], texts["corpus"], labels, (), (), 0, None, 0)
            yield record, example
    except CorpusError as error:
        raise CorpusError(f"{builder_dir}: {error} {_REBUILD}") from error
    # TFDS and array_record say "damaged" in many ways, and never in which folder.
    except Exception as error:
        raise CorpusError(f"{builder_dir} cannot be read: {type(error).__name__}: {error}. {_REBUILD}") from error


def read_metadata(builder_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what a build says about itself: provenance, options, fingerprints, findings, quality, clips left out.

    Raises:
        CorpusError: Nothing is built there, or it has been damaged since.
    """
    path = Path(builder_dir) / "metadata.json"
    if not Path(builder_dir).is_dir():
        raise CorpusError(f"nothing is built in {builder_dir}. Build it first: `python -m datasets.build`.")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}. {_REBUILD}") from error
    if isinstance(metadata, dict) and metadata.get("part") == LONG:
        raise CorpusError(f"{builder_dir} holds long videos, not clips; load it with `datasets.long_tfds.load_long`.")
    lacking = [key for key in _NEEDED if not isinstance(metadata, dict) or key not in metadata]
    if lacking:
        raise CorpusError(
            f"{path} does not say {', '.join(lacking)}: another version of this program built it. {_REBUILD}"
        )
    if not is_sealed(metadata):
        raise CorpusError(f"{path} is damaged: its checksum differs. {_REBUILD}")
    return metadata
