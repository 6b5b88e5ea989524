"""Files: the cache folder, atomic writes, CSV, checksums, and names: their order and how to print them."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mer_jax.errors import ConfigError


def user_cache_dir() -> Path:
    """Returns the cache folder: $MER_CACHE_DIR, else $XDG_CACHE_HOME/mer_jax, else ~/.cache/mer_jax."""
    if own := os.environ.get("MER_CACHE_DIR"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "mer_jax"
    return Path.home() / ".cache" / "mer_jax"


def output_folder(path: str | os.PathLike[str], option: str) -> Path:
    """Expands and checks a folder that will be written, before any work begins.

    Args:
        path: As the user gave it; `~` is expanded.
        option: Name of the option, for the message.

    Returns:
        The path, which may not exist yet.

    Raises:
        ConfigError: It is a file or lies below one, cannot be written, or is no possible name.
    """
    folder = Path(path).expanduser()
    for place in (folder, *folder.absolute().parents):
        try:
            status = os.stat(place)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:  # a NUL is a ValueError
            if isinstance(error, NotADirectoryError):
                continue
            reason = error.strerror if isinstance(error, OSError) else str(error)
            shown = f"{str(path)[:80]!r}" + (" ..." if len(str(path)) > 80 else "")
            raise ConfigError(f"got {option} {shown}: {reason}; expected a folder, or a new name") from error
        if not stat.S_ISDIR(status.st_mode):
            what = "is a file" if place == folder else f"lies below the file {place}"
            raise ConfigError(f"got {option} {path}, which {what}; expected a folder, or a new name")
        if not os.access(place, os.W_OK | os.X_OK):
            raise ConfigError(f"got {option} {path}: {place} cannot be written to; choose another folder")
        break
    return folder


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key for names with numbers in them: `s2` before `s10`, in any case.

    Example:
        >>> sorted(["s10", "S2"], key=natural_key)
        ['S2', 's10']
    """
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.casefold()))


def checksum_array(array: Any) -> str:
    """Checksum of an array over its content, type and shape: 32 hexadecimal digits.

    Example:
        >>> import numpy as np
        >>> checksum_array(np.zeros(2, np.float32)) == checksum_array(np.zeros((2, 1), np.float32))
        False
    """
    import numpy as np  # here, so that `mer --help` does not wait for it

    array = np.asarray(array)
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\0".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:32]


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON object with a checksum of its content, under "checksum".

    Example:
        >>> is_sealed(seal({"epoch": 1})), is_sealed({**seal({"epoch": 1}), "epoch": 2})
        (True, False)
    """
    return {**content, "checksum": _checksum_of_json(content)}


def is_sealed(content: Any) -> bool:
    """Whether a JSON object is what `seal` returned."""
    return isinstance(content, dict) and content.get("checksum") == _checksum_of_json(content)


def _checksum_of_json(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def printable(text: str) -> str:
    r"""Escapes control characters and undecodable bytes, which file names may contain, for terminals and files.

    Example:
        >>> print(printable("clip\x1b[31m"), printable("a\udcff b\n"))
        clip\x1b[31m a\xff b\n
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in names
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable() or character == " ":
        return character
    return character.encode("unicode_escape").decode()


def format_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Returns a CSV file of a header and rows.

    Example:
        >>> format_csv(["file", "label"], [["a, b.mp4", None]])
        'file,label\n"a, b.mp4",\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Writes a file atomically: under a temporary name, synced to disk, then renamed.

    Args:
        path: The file; its folder must exist. An existing file is replaced.
        content: Text, written as UTF-8 with its line ends unchanged, or bytes.

    Returns:
        The path.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp creates files that only their owner can read
        os.replace(name, path)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mask
