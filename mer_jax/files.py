"""Files: the cache folder and atomic writes."""

import contextlib
import os
import tempfile
from pathlib import Path


def user_cache_dir() -> Path:
    """Returns our cache folder: $MER_CACHE_DIR, else $XDG_CACHE_HOME/mer_jax, else ~/.cache/mer_jax."""
    if own := os.environ.get("MER_CACHE_DIR"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "mer_jax"
    return Path.home() / ".cache" / "mer_jax"


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Writes a file under another name and renames it once it is complete and on the disk.

    Args:
        path: The file; its folder must exist. An older file is replaced.
        content: Text, written as UTF-8 with the line ends it has, or bytes.

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
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(name, path)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0)  # the only way to read it is to set it
    os.umask(mask)
    return mask
