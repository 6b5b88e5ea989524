import os
import subprocess
import sys
from pathlib import Path

import pytest

from mer_jax.vision.libraries import without_start_messages

ROOT = Path(__file__).parents[1]
PACKAGES = "libegl1 libgles2 libgl1 libglib2.0-0"


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_loads_nothing_heavy():
    result = run_python(
        "import sys, mer_jax.vision, mer_jax.vision.options, mer_jax.vision.face_model\n"
        "print([m for m in ('cv2', 'mediapipe', 'jax', 'numpy') if m in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_vision_never_loads_jax():
    result = run_python("import sys, mer_jax.vision.prepare\nprint('jax' in sys.modules, 'mediapipe' in sys.modules)")
    assert result.stdout.strip() == "False False", result.stderr


def test_opencv_without_its_libraries_names_the_packages(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    result = run_python(
        "from mer_jax.errors import FaceModelError\n"
        "try:\n    import mer_jax.vision.frames\n"
        "except FaceModelError as error:\n    print(error)",
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
    )
    assert "libGL.so.1" in result.stdout, result.stderr
    assert PACKAGES in result.stdout


def test_mediapipe_without_its_libraries_names_the_packages():
    # MediaPipe loads its C library when the first landmarker is created.
    result = run_python(
        "import ctypes\n"
        "from mer_jax.errors import FaceModelError\n"
        "from mer_jax.vision.landmarks import FaceLandmarker\n"
        "def missing(*args, **kwargs):\n    raise OSError('libEGL.so.1: cannot open shared object file')\n"
        "import mediapipe\n"
        "ctypes.CDLL = missing\n"
        "try:\n    FaceLandmarker()\n"
        "except FaceModelError as error:\n    print(error)"
    )
    assert "libEGL.so.1" in result.stdout, result.stderr
    assert PACKAGES in result.stdout


def test_a_missing_module_is_not_taken_for_a_missing_library(tmp_path):
    (tmp_path / "cv2.py").write_text("import surely_not_installed")
    result = run_python(
        "from mer_jax.errors import FaceModelError\n"
        "try:\n    import mer_jax.vision.frames\n"
        "except FaceModelError as error:\n    print(error)",
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
    )
    assert "'surely_not_installed' is not installed" in result.stdout, result.stderr
    assert "libegl1" not in result.stdout


def test_start_messages_are_dropped_and_everything_else_is_kept(capfd):
    with without_start_messages():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nE0000 a real problem\n")
    assert capfd.readouterr().err == "E0000 a real problem\n"


def test_messages_are_kept_when_the_start_fails(capfd):
    def start():
        with without_start_messages():
            os.write(2, b"E0000 the reason\n")
            raise RuntimeError("start failed")

    with pytest.raises(RuntimeError, match="start failed"):
        start()
    assert capfd.readouterr().err == "E0000 the reason\n"
    os.write(2, b"stderr works again\n")
    assert capfd.readouterr().err == "stderr works again\n"


@pytest.mark.parametrize("ending", ["landmarker.close()\nlandmarker.close()\n", "", "del landmarker\n"])
def test_a_landmarker_starts_works_and_ends_silently(ending):
    result = run_python(
        "import numpy as np\n"
        "from mer_jax.vision.landmarks import FaceLandmarker\n"
        "landmarker = FaceLandmarker()\n"
        "assert landmarker.detect(np.zeros((480, 640, 3), np.uint8)) is None\n" + ending
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
