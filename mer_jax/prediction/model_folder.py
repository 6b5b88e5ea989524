"""A model on disk: a folder that can be handed on, and holds data only.

    model.json    what it is, see `ModelDescription`, and the checksum of every file
    weights.npz   float32 arrays; nothing in it is executed
    CARD.md       what it was taught on, measured on whom, and what it may not be used for

A folder is written beside its place and then renamed, so that a reader finds a whole one or none.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.errors import ModelError
from mer_jax.prediction.card import write_card
from mer_jax.prediction.description import ModelDescription, read_description
from mer_jax.system.files import is_sealed, output_folder, seal, write_atomically

DESCRIPTION, WEIGHTS, CARD = "model.json", "weights.npz", "CARD.md"
_AGAIN = "copy the folder again from its source"
_MOST_BYTES = 2**32  # of all arrays: a small archive may claim to hold terabytes

Arrays = Mapping[str, np.ndarray]


def write_model(folder: str | os.PathLike[str], description: ModelDescription, arrays: Arrays) -> Path:
    """Writes a model, in place of one that is there.

    Args:
        folder: Where to.
        description: What it is.
        arrays: Weights by name, float32; see `mer_jax.prediction.classifier`.

    Returns:
        The folder.

    Raises:
        ModelError: An array is not float32, or not finite.
        ConfigError: The folder cannot be written.
    """
    folder = output_folder(folder, "the folder of the model")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ModelError(f"the weights {name} are {array.dtype}, or not finite; expected finite float32")
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    files = {WEIGHTS: content.getvalue(), CARD: write_card(description).encode()}
    checksums = {name: {"bytes": len(each), "sha256": _digest(each)} for name, each in files.items()}
    sealed = seal({**description.to_plain(), "files": checksums})
    files[DESCRIPTION] = (json.dumps(sealed, indent=1) + "\n").encode()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for name, each in files.items():
            write_atomically(fresh / name, each)
        if folder.exists():
            os.rename(folder, Path(scratch) / "old")
        os.rename(fresh, folder)
    return folder


def read_model(folder: str | os.PathLike[str]) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a model and checks that every byte is what was written.

    Args:
        folder: From `write_model`.

    Returns:
        What it is, and its weights by name.

    Raises:
        ModelError: No model is there, or it is cut short, damaged, or of a newer version.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    plain = _read_description_file(path)
    if not is_sealed(plain):
        raise ModelError(f"{path} is damaged or was changed by hand: its checksum does not hold; {_AGAIN}")
    files = plain.pop("files", None)
    del plain["checksum"]
    if not isinstance(files, dict) or not all(_is_checksum(files.get(name)) for name in (WEIGHTS, CARD)):
        raise ModelError(f"{path} lacks the checksums of {WEIGHTS} and {CARD}; {_AGAIN}")
    description = read_description(plain, path)
    content = {name: _read_file(folder / name, files[name]) for name in (WEIGHTS, CARD)}
    return description, _read_arrays(folder / WEIGHTS, content[WEIGHTS])


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model, whole or damaged."""
    return (path / DESCRIPTION).is_file()


def _read_description_file(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{path.parent} holds no model: {error.strerror}: {path}; expected model.json, weights.npz and CARD.md"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged or cut short: {error}; {_AGAIN}") from error
    if not isinstance(plain, dict):
        raise ModelError(f"{path} holds a {type(plain).__name__}; expected an object; {_AGAIN}")
    return plain


def _read_file(path: Path, expected: Mapping[str, Any]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; {_AGAIN}") from error
    if len(content) != expected["bytes"]:
        raise ModelError(f"{path} has {len(content):,} bytes; expected {expected['bytes']:,}; {_AGAIN}")
    if _digest(content) != expected["sha256"]:
        raise ModelError(f"{path} is damaged or was changed: its checksum does not hold; {_AGAIN}")
    return content


def _read_arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > _MOST_BYTES:
            raise ModelError(f"{path} claims to hold {claimed:,} bytes; at most {_MOST_BYTES:,} are read")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{path} is no archive of arrays: {error}; {_AGAIN}") from error
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ModelError(f"{path}: {name} is {array.dtype}, or not finite; expected finite float32")
    return arrays


def _is_checksum(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
