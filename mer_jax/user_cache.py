"""Where files are kept that can be made again: the face model, compiled programs, the native library."""

import os
from pathlib import Path


def user_cache_dir() -> Path:
    """Returns our cache folder: $MER_CACHE_DIR, else $XDG_CACHE_HOME/mer_jax, else ~/.cache/mer_jax."""
    if own := os.environ.get("MER_CACHE_DIR"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "mer_jax"
    return Path.home() / ".cache" / "mer_jax"
