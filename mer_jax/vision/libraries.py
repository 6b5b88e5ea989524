"""Loads OpenCV and MediaPipe, or says which library is missing.

Both wheels need a few shared libraries of the system. A minimal Debian has none of them: OpenCV then fails at import,
MediaPipe only when a landmarker is created.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from mer_jax.errors import FaceModelError

DEBIAN_PACKAGES = ("libegl1", "libgles2", "libgl1", "libglib2.0-0")

# Lines that MediaPipe 1.2 and TensorFlow Lite print whenever a landmarker starts, at any log level.
_KNOWN_START_LINES = re.compile(
    rb"Logging before InitGoogle\(\) is written to STDERR"
    rb"|All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|Sets FaceBlendshapesGraph acceleration to xnnpack by default"
    rb"|Created TensorFlow Lite XNNPACK delegate for CPU"
    rb"|Feedback manager requires a model with a single signature inference"
    rb"|gl_context(_egl)?\.cc"
    # OpenCV, whenever it writes VP8 into a WebM file: the file is right all the same.
    rb"|FFMPEG: tag 0x30385056/'VP80' is not supported with codec id"
)


def describe_load_failure(module: str, error: Exception) -> FaceModelError:
    """Returns the error to raise when `module` or one of its libraries cannot be loaded.

    Args:
        module: Python module that was being loaded.
        error: The exception raised by the import or the first use.
    """
    if isinstance(error, ModuleNotFoundError):
        return FaceModelError(
            f"the Python module {error.name!r} is not installed, and {module} needs it. "
            "Install mer_jax with its dependencies (`make setup`)."
        )
    return FaceModelError(
        f"{module} cannot be loaded: {error}. A system library is missing; on Debian or Ubuntu install "
        f"{' '.join(DEBIAN_PACKAGES)} (`sudo apt-get install -y {' '.join(DEBIAN_PACKAGES)}`)."
    )


# FFmpeg inside OpenCV prints to stderr what we raise as DecodeError; a value set by the user has priority.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# A small file may claim a huge image. Has no effect if OpenCV was imported before.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))

try:
    import cv2
except ImportError as error:
    raise describe_load_failure("OpenCV (cv2)", error) from error

__all__ = [
    "DEBIAN_PACKAGES",
    "cv2",
    "describe_load_failure",
    "load_mediapipe",
    "quiet_opencv",
    "without_start_messages",
]


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silences OpenCV's log of decoding failures that the caller raises as errors."""
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def load_mediapipe() -> ModuleType:
    """Imports MediaPipe (about 2 s) and returns it.

    Raises:
        FaceModelError: It is not installed, or a shared library is missing.
    """
    try:
        import mediapipe
    except (ImportError, OSError) as error:
        raise describe_load_failure("MediaPipe", error) from error
    return mediapipe


@contextlib.contextmanager
def without_start_messages() -> Iterator[None]:
    """Filters harmless lines from stderr while a landmarker or an encoder starts.

    They are written from C++, bypassing `sys.stderr` and every log setting, so the file descriptor is captured.
    All other lines are written afterwards, also if the start fails.
    """
    try:
        sys.stderr.flush()
        real_stderr = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr, as under pythonw or a daemon
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real_stderr, 2)
            caught.seek(0)
            for line in caught:
                if not _KNOWN_START_LINES.search(line):
                    os.write(real_stderr, line)
            os.close(real_stderr)
