"""Checks what `make setup` cannot install: the interpreter, its venv module, and shared libraries.

    python3 .ci/check_system.py              # says what is missing and how to get it; exit code 1
    python3 .ci/check_system.py --packages   # only the Debian packages of missing libraries, for scripts

It runs on the interpreter that is being checked, so it keeps to what Python 3.6 can read.
"""

import ctypes
import importlib.util
import sys

OLDEST, NEWEST = (3, 11), (3, 13)

# MediaPipe and the OpenCV wheel that it brings load these; a slim Debian has none of them.
DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
}


def find_python_fault(version, find_spec=importlib.util.find_spec):
    """Says why this interpreter will not do, or returns None.

    Args:
        version: major and minor number.
        find_spec: looks a module up; returns None where it is missing.
    """
    name = "{}.{}".format(*version)
    if not OLDEST <= tuple(version) <= NEWEST:
        return (
            f"this is Python {name}, and mer_jax needs 3.11, 3.12 or 3.13. "
            "Name one that you have: `make setup PYTHON=python3.12`."
        )
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        return (
            f"Python {name} has no venv module. On Debian or Ubuntu: `sudo apt-get install -y python3-venv` "
            f"(or python{name}-venv, if that Python is not the system's own)."
        )
    return None


def find_missing_packages(libraries=None):
    """Returns the Debian packages of the libraries that the loader does not find; on Linux only.

    Args:
        libraries: package by library; `DEBIAN_PACKAGES` by default.
    """
    missing = []
    for library, package in (DEBIAN_PACKAGES if libraries is None else libraries).items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing if sys.platform == "linux" else []


def main():
    """Runs the command; returns its exit code."""
    packages = find_missing_packages()
    if sys.argv[1:] == ["--packages"]:
        print(" ".join(packages))
        return 0
    faults = [find_python_fault(sys.version_info[:2])]
    if packages:
        faults.append(
            "shared libraries that MediaPipe and OpenCV load are missing. "
            "On Debian or Ubuntu: `sudo apt-get install -y {}`.".format(" ".join(packages))
        )
    for fault in filter(None, faults):
        print("error: " + fault, file=sys.stderr)
    return 1 if any(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
