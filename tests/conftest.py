"""Session-wide checks: setup is complete, no user settings leak in, and only known reasons skip a test."""

import collections
import signal

import pytest

from mer_jax.errors import FaceModelError
from mer_jax.vision.face_model import find_face_model

# Licensed corpora and the data folder of real runs: tests neither read nor write them.
USER_VARIABLES = ("MER_MANUAL_DIR", "MER_DATA_DIR")

# What a skip reason may begin with, up to its colon. Any other skip fails the session.
ALLOWED_SKIPS = (
    "needs Keras",  # .ci/run runs the first three with `make test-extras`, which allows no skip
    "needs Apache Beam",
    "needs Chromium",
    "needs Linux",
    "needs PyTorch",  # 200 MB: the benchmark checks the same each time that it runs
    "needs a git checkout",
)


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="fail the session if any test is skipped (used by CI)")


def pytest_sessionstart():
    """Reports a missing face model once, instead of in a hundred tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores Ctrl-C, and so would the commands that the tests interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        find_face_model()
    except FaceModelError as error:
        pytest.exit(str(error), returncode=1)


def _count_skips(config) -> collections.Counter[str]:
    """Number of skips by reason; an allowed reason is cut off at its colon."""
    skips = collections.Counter()
    for report in config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        start = reason.partition(":")[0]
        skips[start if start in ALLOWED_SKIPS else reason] += 1
    return skips


def _find_forbidden(config) -> list[str]:
    """The reasons that fail the session."""
    return [reason for reason in _count_skips(config) if config.getoption("no_skips") or reason not in ALLOWED_SKIPS]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):
        return  # of pytest-xdist; the process that started the workers counts the skips of all
    passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if passed and _find_forbidden(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    listed = [f"{number} ({reason})" for reason, number in _count_skips(config).items()]
    terminalreporter.write_line(f"skipped: {', '.join(listed) or 'nothing'}")
    option = config.getoption("no_skips")
    rule = "--no-skips forbids it" if option else "ALLOWED_SKIPS in tests/conftest.py lacks the reason"
    for reason in _find_forbidden(config):
        terminalreporter.write_line(f"error: tests were skipped, and {rule}: {reason}", red=True)


@pytest.fixture(scope="session", autouse=True)
def _without_user_settings():
    with pytest.MonkeyPatch.context() as patch:
        for name in USER_VARIABLES:
            patch.delenv(name, raising=False)
        yield
