"""The rules for skipped tests in conftest.py, on small suites of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest

def test_passes():
    pass

@pytest.mark.skipif({skip!r}, reason={reason!r})
def test_is_skipped():
    pass
"""


def run_suite(folder: Path, reason: str | None, *options: str) -> subprocess.CompletedProcess:
    """Runs one passing test and one that is skipped for this reason (None: not skipped)."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_suite.py").write_text(SUITE.format(skip=reason is not None, reason=reason or ""))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_listed_skip_is_reported_in_one_line(tmp_path):
    done = run_suite(tmp_path, "needs Keras: make test-extras")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2] == "skipped: 1 (needs Keras)"


def test_no_skip_is_reported_too(tmp_path):
    done = run_suite(tmp_path, None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: nothing" in done.stdout.splitlines()


@pytest.mark.parametrize("reason", ["too slow today", "needs luck: try again", "Keras"])
def test_unlisted_skip_fails_the_session(tmp_path, reason):
    done = run_suite(tmp_path, reason)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"error: tests were skipped, and ALLOWED_SKIPS in tests/conftest.py lacks the reason: {reason}" in (
        done.stdout.splitlines()
    )


def test_skip_of_a_whole_module_counts(tmp_path):
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('nothing_of_this_name')\n")
    done = run_suite(tmp_path, None)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "could not import 'nothing_of_this_name'" in done.stdout


def test_no_skips_option_fails_listed_skips(tmp_path):
    done = run_suite(tmp_path, "needs Keras: make test-extras", "--no-skips")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: tests were skipped, and --no-skips forbids it: needs Keras" in done.stdout.splitlines()


def test_failures_keep_their_exit_status(tmp_path):
    (tmp_path / "test_failure.py").write_text("def test_fails():\n    raise ValueError\n")
    done = run_suite(tmp_path, "needs Keras: make test-extras")
    assert done.returncode == 1
    assert "skipped: 1 (needs Keras)" in done.stdout
