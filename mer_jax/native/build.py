"""Compiles a C++ file of this folder into the user's cache, once.

The library is keyed by everything that it is made of: sources, jaxlib (whose headers it
is compiled against), compiler flags, operating system and processor family. It holds
the code for every instruction set of that family and chooses when it is loaded, so one
file serves all machines that share a home folder.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import jaxlib.version

from mer_jax.system.files import user_cache_dir, write_atomically

# The first is compiled and includes the others.
SOURCES = (
    "conv_pool.cc",
    "adam.h",
    "adam_calls.h",
    "adam_loops.h",
    "conv_pool_loops.h",
    "conv_pool_pixels.h",
    "faces_loops.h",
    "small_conv.h",
    "small_conv_calls.h",
    "small_conv_loops.h",
)
# No -march and no -ffast-math: the sources name their instruction sets, and the order of sums is theirs.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno", "-w")
COMPILERS = ("c++", "g++", "clang++")  # looked for in this order, after $CXX
_TIMEOUT_S = 300  # a compiler takes about 12 seconds


class BuildError(Exception):
    """The library cannot be made here; the message says why in one line."""


def library_path() -> Path:
    """Where the library of these sources belongs, whether it is there or not."""
    digest = hashlib.sha256()
    for part in (jaxlib.version.__version__, *FLAGS, platform.system(), platform.machine()):
        digest.update(part.encode() + b"\0")
    for name in SOURCES:
        digest.update(_folder().joinpath(name).read_bytes())
    return user_cache_dir() / "native" / f"conv_pool-{digest.hexdigest()[:16]}.so"


def build_library(*, again: bool = False) -> Path:
    """Returns the library, compiled first if it is not in the cache.

    Safe to call from several processes at once: one compiles, the others wait for it.

    Args:
        again: Compile even if it is there, because it could not be loaded.

    Raises:
        BuildError: No compiler, a compiler that fails, or a cache that cannot be written.
    """
    path = library_path()
    _check_owner(path.parent)
    if not again and is_intact(path):
        return path
    if path.exists():
        print(f"note: {path} is not what was compiled, so it is compiled again", file=sys.stderr)
    compiler = find_compiler()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path.with_suffix(".lock")):
            if again or not is_intact(path):
                _compile(compiler, path)
    except OSError as error:
        raise BuildError(f"{path.parent} cannot be written ({error.strerror}); MER_CACHE_DIR names another") from error
    return path


def start_building() -> None:
    """Compiles the library in the background, so that it is there when the first network is trained.

    Says nothing: where it cannot be made, the first network that would use it says why.
    """

    def build() -> None:
        with contextlib.suppress(BuildError):
            build_library()

    threading.Thread(target=build, daemon=True).start()


def is_intact(path: Path) -> bool:
    """Whether a library is there and is what was compiled, by the checksum beside it."""
    try:
        return _checksum(path) == path.with_suffix(".sha256").read_text().strip()
    except (OSError, ValueError):
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_owner(folder: Path) -> None:
    """Refuses a folder in which others could plant a library; write access of others is taken away where it is ours.

    Raises:
        BuildError: It belongs to somebody else, or others can write to it.
    """
    if not folder.exists() or not hasattr(os, "getuid"):
        return
    status = folder.stat()
    if status.st_mode & 0o022 and status.st_uid == os.getuid():
        with contextlib.suppress(OSError):
            folder.chmod(status.st_mode & ~0o022)
            status = folder.stat()
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
        raise BuildError(f"others can write to {folder}, so nothing is loaded from it; MER_CACHE_DIR names another")


def find_compiler() -> list[str]:
    """The command of a C++ compiler: $CXX, else the first of `COMPILERS` that is installed.

    Raises:
        BuildError: There is none.
    """
    if named := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(named[0]):
            return named
        raise BuildError(f"CXX names {named[0]!r}, which is not a command here")
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    raise BuildError(f"no C++ compiler ({', '.join(COMPILERS)}) is installed")


def _compile(compiler: list[str], path: Path) -> None:
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.", suffix=".tmp")
    os.close(handle)
    command = [*compiler, *FLAGS, "-I", jax.ffi.include_dir(), "-o", unfinished, str(_folder() / SOURCES[0])]
    if sys.platform == "linux":
        command.append("-pthread")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise BuildError(f"{compiler[0]} failed: {(lines or ['no message'])[0].strip()}")
        os.chmod(unfinished, 0o755)
        write_atomically(path.with_suffix(".sha256"), _checksum(Path(unfinished)) + "\n")
        os.replace(unfinished, path)  # whoever looks sees no library or a whole one
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{compiler[0]} did not end within {_TIMEOUT_S} s") from error
    finally:
        Path(unfinished).unlink(missing_ok=True)


def _folder() -> Path:
    return Path(__file__).parent


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl  # not on Windows, where nothing is built

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by the system when the process ends, however it ends
        yield
